//! `settings!`: turns one table of settings into the flags of `fabric serve`, the keys of the configuration file, the
//! environment variables, the help, the checks and the rows of `fabric config show`.

use super::{SettingRow, invalid::InvalidSettings, value::SettingValue};
use crate::Error;
use clap::Arg;
use fabric_client::settings::{Env, Origin, Setting};
use std::path::Path;

/// The names of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// The flag, such as `--job-lease`.
    pub flag: &'static str,
    /// The environment variable, such as `FABRIC_JOB_LEASE`.
    pub variable: &'static str,
}

impl Names {
    /// Returns the key of the configuration file, such as `job-lease`.
    pub(crate) fn key(self) -> &'static str {
        self.flag.trim_start_matches("--")
    }

    /// Returns the setting's flag, without the parser of its type.
    pub(crate) fn arg(self, id: &'static str, value_name: &'static str, help: &str, default: Option<&str>) -> Arg {
        let default = default.map(|text| format!("; default: {text}")).unwrap_or_default();
        let arg = Arg::new(id).long(self.key()).help(format!("{help} [env: {}{default}]", self.variable));
        if value_name.is_empty() { arg } else { arg.value_name(value_name) }
    }

    /// Returns the setting's row in `fabric config show`.
    pub(crate) fn row<T>(self, setting: Option<&Setting<T>>, show: impl Fn(&T) -> String) -> SettingRow {
        let (value, origin) = setting.map_or_else(
            || ("-".to_owned(), Origin::Default),
            |setting| (show(&setting.value), setting.origin.clone()),
        );
        SettingRow::new(self.key(), value, &origin)
    }

    /// Records the setting as invalid if its value is not in the range.
    pub(crate) fn check<T>(
        self,
        setting: Option<&Setting<T>>,
        range: &str,
        is_valid: impl Fn(&T) -> bool,
        invalid: &mut InvalidSettings,
    ) {
        if let Some(Setting { value, origin }) = setting
            && !is_valid(value)
        {
            invalid.push(self.key(), Error::config(format!("{}, from {origin}: use {range}", self.key())));
        }
    }
}

/// The spelling of a name.
#[derive(Clone, Copy)]
pub(crate) enum Spelling {
    /// `job-lease`.
    Kebab,
    /// `JOB_LEASE`.
    Upper,
}

/// Spells a field's name, after a prefix.
pub(crate) const fn spell<const N: usize>(prefix: &str, field: &str, spelling: Spelling) -> [u8; N] {
    let mut text = [0; N];
    let mut rest: &mut [u8] = &mut text;
    let (mut from, mut more) = (prefix.as_bytes(), field.as_bytes());
    loop {
        let Some((byte, next)) = from.split_first() else {
            if more.is_empty() {
                break;
            }
            from = more;
            more = &[];
            continue;
        };
        let Some((slot, after)) = rest.split_first_mut() else { break };
        *slot = match (spelling, *byte) {
            (Spelling::Kebab, b'_') => b'-',
            (Spelling::Kebab, byte) => byte,
            (Spelling::Upper, byte) => byte.to_ascii_uppercase(),
        };
        from = next;
        rest = after;
    }
    text
}

/// Returns the text of spelled bytes.
pub(crate) const fn spelled(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// The layers below the flags: the environment, and the configuration file at `path`.
pub(crate) struct Layers<'a> {
    pub env: Env<'a>,
    pub path: &'a Path,
}

impl Layers<'_> {
    /// Resolves a setting: the flag, else the environment, else the file. Records invalid values.
    pub(crate) fn resolve<T: SettingValue>(
        &self,
        names: Names,
        flag: Option<T>,
        file: Option<T::Raw>,
        invalid: &mut InvalidSettings,
    ) -> Option<Setting<T>> {
        let file = file.map(T::from_file).transpose();
        let file = file.map_err(|e| Error::config(format!("{}: {}: {e}", self.path.display(), names.key())));
        let file = invalid.value_or_record(names.key(), file);
        if let Some(value) = flag {
            return Some(Setting { value, origin: Origin::Flag(names.flag) });
        }
        if let Some(text) = (self.env)(names.variable) {
            let value = T::parse(&text).map(Some);
            let value = value.map_err(|e| Error::config(format!("{}=`{text}`: {e}", names.variable)));
            return invalid
                .value_or_record(names.key(), value)
                .map(|value| Setting { value, origin: Origin::Env(names.variable) });
        }
        file.map(|value| Setting { value, origin: Origin::File(self.path.to_owned()) })
    }
}

/// A resolved setting, with or without a default.
pub(crate) trait Resolved<T> {
    /// Returns the setting; `None` if it has neither a value nor a default.
    fn setting(&self) -> Option<&Setting<T>>;
}

impl<T> Resolved<T> for Setting<T> {
    fn setting(&self) -> Option<&Setting<T>> {
        Some(self)
    }
}

impl<T> Resolved<T> for Option<Setting<T>> {
    fn setting(&self) -> Option<&Setting<T>> {
        self.as_ref()
    }
}

/// The [`Names`] of a field.
macro_rules! names {
    ($field:ident) => {{
        use $crate::settings::declare::{Names, Spelling, spell, spelled};
        const FIELD: &str = stringify!($field);
        const FLAG: [u8; FIELD.len() + 2] = spell("--", FIELD, Spelling::Kebab);
        const VARIABLE: [u8; FIELD.len() + 7] = spell("FABRIC_", FIELD, Spelling::Upper);
        Names { flag: spelled(&FLAG), variable: spelled(&VARIABLE) }
    }};
}

/// The second argument if there is one, else the first.
macro_rules! or_else {
    ($first:expr) => {
        $first
    };
    ($first:expr, $second:expr) => {
        $second
    };
}

/// The type of a resolved setting: with a default, it always has a value.
macro_rules! resolved_type {
    ($type:ty) => {
        Option<Setting<$type>>
    };
    ($type:ty, $default:expr) => {
        Setting<$type>
    };
}

/// Declares all settings. A row is `field: Type { help, value, … }`, in this order:
///
/// - `help`: the flag's help. The environment variable and the default are added to it.
/// - `value`: the placeholder of the flag's value; empty for a switch.
/// - `default: VALUE => TEXT`: the default and its text in the help. VALUE may use the settings of earlier rows.
/// - `unset: TEXT`: for a setting that may have no value, what applies then. Neither of the two means nothing.
/// - `valid: RANGE => CHECK`: a check of the value, and the values that it allows, for the message.
/// - `show: FUNCTION`: formats the value for `fabric config show`; for a value that contains secrets, without them.
///
/// The tables are keys of the configuration file only. Each type implements `SettingsTable`.
macro_rules! settings {
    (
        rows {
            $(
                $field:ident: $type:ty {
                    help: $help:literal,
                    value: $value_name:literal,
                    $(default: $default:expr => $default_text:literal,)?
                    $(unset: $unset:literal,)?
                    $(valid: $range:expr => $valid:expr,)?
                    $(show: $show:expr,)?
                }
            )*
        }
        tables {
            $($table:ident: $table_type:ty,)*
        }
    ) => {
        /// Flags of `fabric serve`.
        #[derive(Debug, Clone, Default)]
        pub struct ServeArgs {
            pub(crate) config: Option<PathBuf>,
            $(#[doc = $help] pub(crate) $field: Option<$type>,)*
        }

        impl clap::Args for ServeArgs {
            fn augment_args(command: clap::Command) -> clap::Command {
                command.arg(config_flag())
                    $(.arg(<$type as SettingValue>::flag(names!($field).arg(
                        stringify!($field),
                        $value_name,
                        $help,
                        or_else!(None $(, Some($default_text))? $(, Some($unset))?),
                    ))))*
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for ServeArgs {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self {
                    config: matches.get_one::<PathBuf>("config").cloned(),
                    $($field: <$type as SettingValue>::from_matches(matches, stringify!($field)),)*
                })
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        /// The configuration file. Unknown keys are rejected by name and line.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub(super) struct File {
            $($field: Option<<$type as SettingValue>::Raw>,)*
            $($table: $table_type,)*
        }

        /// The effective settings of a server.
        #[derive(Debug, Clone)]
        pub(crate) struct ServeConfig {
            $(#[doc = $help] pub $field: resolved_type!($type $(, $default)?),)*
            $(pub $table: FileTable<$table_type>,)*
        }

        impl ServeArgs {
            /// Resolves the settings, with defaults in place of invalid values. Records the invalid ones.
            pub(super) fn resolve_into(&self, env: Env<'_>, invalid: &mut InvalidSettings) -> ServeConfig {
                let path = self.config.clone().or_else(|| env("FABRIC_CONFIG").map(PathBuf::from)).unwrap_or_default();
                let file: File =
                    if path.as_os_str().is_empty() { File::default() } else { read_file(&path, invalid) };
                let layers = Layers { env, path: &path };
                $(
                    let $field = layers.resolve(names!($field), self.$field.clone(), file.$field, invalid);
                    $(let $field = $field.unwrap_or_else(|| Setting { value: $default, origin: Origin::Default });)?
                )*
                ServeConfig {
                    $($field,)*
                    $($table: FileTable { value: file.$table, path: path.clone() },)*
                }
            }
        }

        impl ServeConfig {
            /// Records the values that are out of their range.
            pub(super) fn check_values(&self, invalid: &mut InvalidSettings) {
                $($(
                    let is_valid: fn(&$type) -> bool = $valid;
                    names!($field).check(self.$field.setting(), $range, is_valid, invalid);
                )?)*
                $(SettingsTable::check(&self.$table.value, &self.$table.path, invalid);)*
            }

            /// Returns the name, value and origin of each setting. Hides values that may contain a secret.
            pub(super) fn rows(&self) -> Vec<SettingRow> {
                let mut rows = vec![
                    $(names!($field).row(
                        self.$field.setting(),
                        or_else!(<$type as SettingValue>::show $(, $show)?),
                    ),)*
                ];
                $(rows.extend(SettingsTable::rows(&self.$table.value, &self.data.value, &self.$table.path));)*
                rows
            }
        }

        #[cfg(test)]
        impl ServeConfig {
            /// Returns, for each setting with a default, the text in the help and the default as it is shown.
            pub(super) fn default_texts() -> Vec<(&'static str, Option<String>, String)> {
                let config = ServeArgs::default().resolve_into(&|_| None, &mut InvalidSettings::default());
                let mut texts = Vec::new();
                $($(
                    let parsed = <$type as SettingValue>::parse($default_text).ok();
                    texts.push((stringify!($field), parsed.map(|v| v.show()), config.$field.value.show()));
                )?)*
                texts
            }
        }
    };
}

pub(crate) use {names, or_else, resolved_type, settings};
