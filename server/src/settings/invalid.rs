//! Collects invalid settings, so that one of them hides neither the others nor the valid ones. A server refuses to
//! start with any of them; `fabric config show` shows them all.

use crate::Error;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// An invalid setting.
#[derive(Debug)]
pub struct InvalidSetting {
    /// Its key, such as `slots` or `storage.quota`.
    pub name: String,
    /// The error.
    pub error: Error,
}

/// The invalid settings, in the order in which they were found.
#[derive(Debug, Default)]
pub struct InvalidSettings {
    all: Vec<InvalidSetting>,
    /// The parser's error for the file as a whole. Its message shows the line.
    file: Option<Error>,
}

impl InvalidSettings {
    /// Adds an invalid setting.
    pub fn push(&mut self, name: &str, error: Error) {
        self.all.push(InvalidSetting { name: name.to_owned(), error });
    }

    /// Returns the value. On an error, adds it to the invalid settings and returns `None`. `name` is the setting's key.
    pub fn value_or_record<T>(&mut self, name: &str, value: Result<Option<T>, Error>) -> Option<T> {
        value.unwrap_or_else(|error| {
            self.push(name, error);
            None
        })
    }

    /// Returns the error to report if the server refuses to start.
    pub fn into_first(self) -> Option<Error> {
        self.file.or_else(|| self.all.into_iter().next().map(|invalid| invalid.error))
    }

    /// Returns all invalid settings.
    pub fn into_all(self) -> Vec<InvalidSetting> {
        self.all
    }
}

/// Reads a configuration file. Invalid keys are left out and added to `invalid`.
pub fn read_file<T: DeserializeOwned + Default>(path: &Path, invalid: &mut InvalidSettings) -> T {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            invalid.push("config", Error::io(shown, e));
            return T::default();
        }
    };
    let whole = match toml::from_str(&text) {
        Ok(file) => return file,
        Err(e) => Error::config(format!("{shown}: {}", e.to_string().trim_end())),
    };
    let Ok(table) = text.parse::<Table>() else {
        invalid.push("config", whole);
        return T::default();
    };
    let (mut right, mut bad) = (Table::new(), Vec::new());
    split_valid_keys::<T>(&table, &mut Vec::new(), &mut right, &mut bad);
    for (name, problem) in bad {
        invalid.push(&name, Error::config(format!("{shown}: {name}: {problem}")));
    }
    invalid.file = Some(whole);
    right.try_into().unwrap_or_else(|e| {
        invalid.push("config", Error::config(format!("{shown}: {}", e.message())));
        T::default()
    })
}

/// Copies the keys of `table`, at the path `at`, each of which can be read alone as part of a `T`. Reports the others.
fn split_valid_keys<T: DeserializeOwned>(
    table: &Table,
    at: &mut Vec<String>,
    right: &mut Table,
    bad: &mut Vec<(String, String)>,
) {
    for (key, value) in table {
        at.push(key.clone());
        match value {
            Value::Table(inner) => split_valid_keys::<T>(inner, at, right, bad),
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

    fn read(text: &str) -> (File, Vec<InvalidSetting>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let mut invalid = InvalidSettings::default();
        (read_file(&path, &mut invalid), invalid.into_all())
    }

    #[test]
    fn invalid_keys_do_not_hide_the_others() {
        let text = "slots = 3\nlist = [1, \"a\"]\nnone = 1\n[inner]\nsize = \"big\"\nname = \"n\"\n";
        let (file, invalid) = read(text);
        let inner = Inner { name: Some("n".to_owned()), size: None };
        assert_eq!(file, File { slots: Some(3), list: None, inner });
        let names: Vec<_> = invalid.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["inner.size", "list", "none"]);
        assert!(invalid[0].error.message.contains("f.toml: inner.size: invalid type"), "{}", invalid[0].error.message);
        let (_, invalid) = read("slots = = 3");
        assert_eq!((invalid.len(), invalid[0].name.as_str()), (1, "config"));
        assert!(invalid[0].error.message.contains("line 1"), "{}", invalid[0].error.message);
    }
}
