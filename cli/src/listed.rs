//! Settings that are lists, separated by commas in one variable.

use fabric_client::settings::Setting;
use fabric_types::label;
use std::str::FromStr;

/// A list of values, separated by commas.
pub struct List<T>(pub Vec<T>);

impl<T: FromStr> FromStr for List<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

/// A label in a list.
pub struct Label(pub String, pub String);

impl FromStr for Label {
    type Err = label::InvalidLabel;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        label::parse(text).map(|(key, value)| Self(key, value))
    }
}

/// Converts the value of a setting and keeps its origin.
pub fn turned<T, U>(setting: Option<Setting<List<T>>>, turn: impl FnOnce(Vec<T>) -> U) -> Option<Setting<U>> {
    setting.map(|s| Setting { value: turn(s.value.0), origin: s.origin })
}
