//! Collects invalid settings, so that one of them hides neither the others nor the valid ones. A server refuses to
//! start with any of them; `fabric config show` shows them all.

use crate::failure::Failure;
use fabric_client::settings::{Env, Origin, Setting};
use serde::de::DeserializeOwned;
use std::{fmt, path::PathBuf, str::FromStr};
use toml::{Table, Value};

/// An invalid setting.
#[derive(Debug)]
pub struct WrongSetting {
    /// Its key, such as `slots` or `storage.quota`.
    pub name: String,
    /// The error.
    pub failure: Failure,
}

/// The invalid settings, in the order in which they were found.
#[derive(Debug, Default)]
pub struct WrongSettings {
    all: Vec<WrongSetting>,
    /// The parser's error for the file as a whole. Its message shows the line.
    file: Option<Failure>,
}

impl WrongSettings {
    /// Adds an invalid setting.
    pub fn push(&mut self, name: &str, failure: Failure) {
        self.all.push(WrongSetting { name: name.to_owned(), failure });
    }

    /// Returns the value. On an error, adds it to the invalid settings and returns `None`. `flag` is the setting's flag
    /// or key.
    pub fn take<T>(&mut self, flag: &str, value: Result<Option<T>, Failure>) -> Option<T> {
        value.unwrap_or_else(|failure| {
            self.push(flag.trim_start_matches("--"), failure);
            None
        })
    }

    /// Returns the failure to report if the server refuses to start.
    pub fn into_first(self) -> Option<Failure> {
        self.file.or_else(|| self.all.into_iter().next().map(|wrong| wrong.failure))
    }

    /// Returns all invalid settings.
    pub fn into_all(self) -> Vec<WrongSetting> {
        self.all
    }
}

/// Resolves one value from its layers: flag, environment, file.
///
/// # Errors
/// Fails if the variable's text is not a valid value.
pub fn layer<T>(
    flag: Option<T>,
    name: &'static str,
    env: Env<'_>,
    variable: &'static str,
    file: Option<(T, &PathBuf)>,
) -> Result<Option<Setting<T>>, Failure>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    if let Some(value) = flag {
        return Ok(Some(Setting { value, origin: Origin::Flag(name) }));
    }
    if let Some(text) = env(variable) {
        let value = text.parse().map_err(|e| Failure::config(format!("{variable}=`{text}`: {e}")))?;
        return Ok(Some(Setting { value, origin: Origin::Env(variable) }));
    }
    Ok(file.map(|(value, path)| Setting { value, origin: Origin::File(path.clone()) }))
}

/// Reads a configuration file. Invalid keys are left out and added to `wrong`.
pub fn read_file<T: DeserializeOwned + Default>(path: &PathBuf, wrong: &mut WrongSettings) -> T {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            wrong.push("config", Failure::io(shown, e));
            return T::default();
        }
    };
    let whole = match toml::from_str(&text) {
        Ok(file) => return file,
        Err(e) => Failure::config(format!("{shown}: {}", e.to_string().trim_end())),
    };
    let Ok(table) = text.parse::<Table>() else {
        wrong.push("config", whole);
        return T::default();
    };
    let (mut right, mut bad) = (Table::new(), Vec::new());
    sift::<T>(&table, &mut Vec::new(), &mut right, &mut bad);
    for (name, problem) in bad {
        wrong.push(&name, Failure::config(format!("{shown}: {name}: {problem}")));
    }
    wrong.file = Some(whole);
    right.try_into().unwrap_or_else(|e| {
        wrong.push("config", Failure::config(format!("{shown}: {}", e.message())));
        T::default()
    })
}

/// Copies the keys of `table`, at the path `at`, each of which can be read alone as part of a `T`. Reports the others.
fn sift<T: DeserializeOwned>(table: &Table, at: &mut Vec<String>, right: &mut Table, bad: &mut Vec<(String, String)>) {
    for (key, value) in table {
        at.push(key.clone());
        match value {
            Value::Table(inner) => sift::<T>(inner, at, right, bad),
            leaf => {
                let mut alone = Table::new();
                insert(&mut alone, at, leaf);
                match alone.try_into::<T>() {
                    Ok(_) => insert(right, at, leaf),
                    Err(e) => bad.push((at.join("."), e.message().to_owned())),
                }
            }
        }
        at.pop();
    }
}

fn insert(table: &mut Table, at: &[String], value: &Value) {
    match at {
        [] => {}
        [key] => {
            table.insert(key.clone(), value.clone());
        }
        [key, rest @ ..] => {
            if let Value::Table(inner) = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())) {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        size: Option<u32>,
        name: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct File {
        slots: Option<u32>,
        list: Option<Vec<u32>>,
        inner: Inner,
    }

    fn read(text: &str) -> (File, Vec<WrongSetting>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let mut wrong = WrongSettings::default();
        (read_file(&path, &mut wrong), wrong.into_all())
    }

    #[test]
    fn wrong_keys_do_not_hide_the_others() {
        let text = "slots = 3\nlist = [1, \"a\"]\nnone = 1\n[inner]\nsize = \"big\"\nname = \"n\"\n";
        let (file, wrong) = read(text);
        let inner = Inner { name: Some("n".to_owned()), size: None };
        assert_eq!(file, File { slots: Some(3), list: None, inner });
        let names: Vec<_> = wrong.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["inner.size", "list", "none"]);
        assert!(wrong[0].failure.message.contains("f.toml: inner.size: invalid type"), "{}", wrong[0].failure.message);
        let (_, wrong) = read("slots = = 3");
        assert_eq!((wrong.len(), wrong[0].name.as_str()), (1, "config"));
        assert!(wrong[0].failure.message.contains("line 1"), "{}", wrong[0].failure.message);
    }
}
