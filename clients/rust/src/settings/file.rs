//! `~/.config/fabric/config.toml`: named servers. The file has mode 0600, because it contains tokens.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

/// A named server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerContext {
    /// Server address.
    pub url: String,
    /// Token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Tenant to act in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// File of certificates to trust in addition to the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// The configuration file.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContextFile {
    /// Name of the context in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All contexts by name.
    pub contexts: BTreeMap<String, ServerContext>,
}

impl ContextFile {
    /// Returns its path: `config.toml` in `FABRIC_CONFIG_HOME`, else `$XDG_CONFIG_HOME/fabric/config.toml`.
    #[must_use]
    pub fn path() -> Option<PathBuf> {
        use etcetera::BaseStrategy as _;
        if let Some(folder) = super::process_env("FABRIC_CONFIG_HOME") {
            return Some(PathBuf::from(folder).join("config.toml"));
        }
        Some(etcetera::choose_base_strategy().ok()?.config_dir().join("fabric").join("config.toml"))
    }

    /// Reads the file. A missing file counts as empty.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Setting`] with the line of the mistake.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|e| Error::Setting(format!("{}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Io { what: path.display().to_string(), source }),
        }
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// [`Error::Setting`] with the line of the mistake.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::Setting(e.to_string().trim_end().to_owned()))
    }

    /// Returns a context.
    ///
    /// # Errors
    /// [`Error::Setting`] with the names of the existing contexts.
    pub fn get(&self, name: &str) -> Result<&ServerContext> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<_> = self.contexts.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "there are none".to_owned() } else { format!("there are: {}", known.join(", ")) };
            Error::Setting(format!("no context `{name}`; {known}"))
        })
    }

    /// Writes the file atomically, readable by this user only.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |source| Error::Io { what: path.display().to_string(), source };
        let text = toml::to_string_pretty(self).map_err(|e| Error::Setting(e.to_string()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let temporary = PathBuf::from(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // The remains of a failed write may contain a token.
            let _ = std::fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_for_its_owner_only_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fabric").join("config.toml");
        let mut file = ContextFile::load(&path).unwrap();
        assert!(file == ContextFile::default());
        let context =
            ServerContext { url: "https://a.example".into(), token: Some("s".into()), tenant: None, ca: None };
        file.contexts.insert("a".into(), context);
        file.current = Some("a".into());
        file.save(&path).unwrap();
        file.save(&path).unwrap();
        assert!(ContextFile::load(&path).unwrap() == file);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn unknown_keys_and_contexts_are_named() {
        let error = ContextFile::parse("[contexts.a]\nurl = \"x\"\ntokn = \"y\"").err().unwrap().to_string();
        assert!(error.contains("tokn") && error.contains("line 3"), "{error}");
        let error = ContextFile::parse(CONTEXT).unwrap().get("b").err().unwrap().to_string();
        assert_eq!(error, "no context `b`; there are: a");
    }

    const CONTEXT: &str = "[contexts.a]\nurl = \"x\"";
}
