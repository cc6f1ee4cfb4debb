//! Types of settings: how each is read from a flag, an environment variable and the configuration file, and shown.

use super::choices::{GpuChoice, LogFormat, RoleSet, ServerRole};
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use fabric_gateway::{FunctionsDomain, jupyterhub::Rule};
use fabric_types::{
    function::EntryKind,
    label::{self, Labels},
    units::ByteSize,
};
use serde::de::DeserializeOwned;
use std::{
    fmt::{Debug, Display},
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
};

/// The type of a setting.
pub(crate) trait SettingValue: Clone + Sized {
    /// The form in the configuration file.
    type Raw: DeserializeOwned + Debug;

    /// Converts the value of the configuration file.
    fn from_file(raw: Self::Raw) -> Result<Self, String>;
    /// Parses the text of an environment variable.
    fn parse(text: &str) -> Result<Self, String>;
    /// Formats the value for `fabric config show`.
    fn show(&self) -> String;
    /// Adds the parser to the setting's flag.
    fn flag(arg: Arg) -> Arg;
    /// Returns the flag's value, or `None` if it is not on the command line.
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self>;
}

/// Implements [`SettingValue`] for types that are read from one text and displayed as one.
macro_rules! text_value {
    ($($type:ty, $raw:ty, $from_file:expr, $show:expr;)*) => {$(
        impl SettingValue for $type {
            type Raw = $raw;
            fn from_file(raw: $raw) -> Result<Self, String> {
                let convert: fn($raw) -> Result<Self, String> = $from_file;
                convert(raw)
            }
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|e| format!("{e}"))
            }
            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                show(self)
            }
            fn flag(arg: Arg) -> Arg {
                arg.value_parser(value_parser!($type))
            }
            fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
                matches.get_one::<Self>(id).cloned()
            }
        }
    )*};
}

text_value! {
    SocketAddr, Self, Ok, ToString::to_string;
    String, Self, Ok, Clone::clone;
    PathBuf, Self, Ok, |path| path.display().to_string();
    u32, Self, Ok, ToString::to_string;
    u64, Self, Ok, ToString::to_string;
    usize, Self, Ok, ToString::to_string;
    f64, Self, Ok, ToString::to_string;
    ByteSize, Self, Ok, ToString::to_string;
    GpuChoice, Self, Ok, ToString::to_string;
    LogFormat, Self, Ok, ToString::to_string;
    FunctionsDomain, String, |text| text.parse(), ToString::to_string;
}

impl SettingValue for bool {
    type Raw = Self;
    fn from_file(raw: Self) -> Result<Self, String> {
        Ok(raw)
    }
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e| format!("{e}"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn flag(arg: Arg) -> Arg {
        arg.action(ArgAction::SetTrue)
    }
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
        matches.get_flag(id).then_some(true)
    }
}

/// Parses values that are separated by commas.
fn comma_list<T, E: Display, C: FromIterator<T>>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<C, String> {
    text.split(',').map(|part| parse(part.trim())).collect::<Result<C, E>>().map_err(|e| e.to_string())
}

/// Formats values, separated by commas.
fn joined<T: Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the values of a flag that may be repeated.
fn repeated<T: Clone + Send + Sync + 'static, C: FromIterator<T>>(matches: &ArgMatches, id: &str) -> Option<C> {
    Some(matches.get_many::<T>(id)?.cloned().collect())
}

impl SettingValue for RoleSet {
    type Raw = Vec<ServerRole>;
    fn from_file(raw: Self::Raw) -> Result<Self, String> {
        Ok(raw.into_iter().collect())
    }
    fn parse(text: &str) -> Result<Self, String> {
        comma_list(text, ServerRole::from_str)
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn flag(arg: Arg) -> Arg {
        arg.action(ArgAction::Append).value_delimiter(',').value_parser(value_parser!(ServerRole))
    }
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
        repeated::<ServerRole, _>(matches, id)
    }
}

impl SettingValue for Vec<EntryKind> {
    type Raw = Self;
    fn from_file(raw: Self) -> Result<Self, String> {
        Ok(raw)
    }
    fn parse(text: &str) -> Result<Self, String> {
        comma_list(text, EntryKind::from_str)
    }
    fn show(&self) -> String {
        joined(self)
    }
    fn flag(arg: Arg) -> Arg {
        arg.action(ArgAction::Append).value_delimiter(',').value_parser(value_parser!(EntryKind))
    }
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
        repeated::<EntryKind, _>(matches, id)
    }
}

impl SettingValue for Vec<Rule> {
    type Raw = Vec<String>;
    fn from_file(raw: Self::Raw) -> Result<Self, String> {
        raw.iter().map(|rule| Rule::from_str(rule).map_err(|e| e.to_string())).collect()
    }
    fn parse(text: &str) -> Result<Self, String> {
        comma_list(text, Rule::from_str)
    }
    fn show(&self) -> String {
        joined(self)
    }
    fn flag(arg: Arg) -> Arg {
        // One rule per flag: the name of a Hub's user may contain a comma.
        arg.action(ArgAction::Append).value_parser(value_parser!(Rule))
    }
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
        repeated::<Rule, _>(matches, id)
    }
}

impl SettingValue for Labels {
    type Raw = Self;
    fn from_file(raw: Self) -> Result<Self, String> {
        Ok(raw)
    }
    fn parse(text: &str) -> Result<Self, String> {
        comma_list(text, label::parse)
    }
    fn show(&self) -> String {
        label::show(self)
    }
    fn flag(arg: Arg) -> Arg {
        arg.action(ArgAction::Append).value_delimiter(',').value_parser(label::parse)
    }
    fn from_matches(matches: &ArgMatches, id: &str) -> Option<Self> {
        repeated::<(String, String), _>(matches, id)
    }
}
