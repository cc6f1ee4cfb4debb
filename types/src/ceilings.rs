//! Ceilings: the highest value that a manifest may set for each limit. An operator sets them for the whole server or
//! for one tenant.

use crate::{count, limits::Limits, units::ByteSize};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A limit above its ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboveCeiling {
    /// Key of the limit in `[limits]`.
    pub key: &'static str,
    /// Requested value.
    pub asked: String,
    /// Ceiling that it exceeds.
    pub ceiling: String,
}

impl fmt::Display for AboveCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limits.{} is {}, and the ceiling is {}", self.key, self.asked, self.ceiling)
    }
}

/// A value that the configuration file and the command line write as text.
trait Value: Copy + Ord {
    fn text(self) -> String;
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for u64 {
    fn text(self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        count::parse(text).map_err(|e| e.to_string())
    }
}

impl Value for u32 {
    fn text(self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Result<Self, String> {
        let count = count::parse(text).map_err(|e| e.to_string())?;
        count.try_into().map_err(|_| format!("`{text}` is above {}", u32::MAX))
    }
}

impl Value for ByteSize {
    fn text(self) -> String {
        self.exact()
    }
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|e: crate::units::InvalidByteSize| e.to_string())
    }
}

fn read<T: Value>(key: &str, text: &str) -> Result<Option<T>, String> {
    if text == "none" {
        return Ok(None);
    }
    T::read(text).map(Some).map_err(|e| format!("ceiling {key}: {e}"))
}

macro_rules! ceilings {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $key:literal, $default:expr, $least:expr, $most:expr;)*) => {
        /// Ceilings that an operator set. A limit without one takes the ceiling of the next level: first the tenant's,
        /// then the server's, then the built-in one.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct Ceilings {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl Ceilings {
            /// All keys, in the order of [`Limits`].
            pub const KEYS: &'static [&'static str] = &[$($key),*];

            /// Returns these ceilings, with `base` for each one that is not set.
            ///
            /// Every field of [`Limits`] is listed here, so a new limit without a ceiling does not compile.
            #[must_use]
            pub fn over(&self, base: &Limits) -> Limits {
                Limits { $($field: self.$field.unwrap_or(base.$field),)* }
            }

            /// Sets a ceiling from text such as `8GiB`. The text `none` removes it.
            ///
            /// # Errors
            /// An unknown key, or a value that can't be parsed.
            pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
                match key {
                    $($key => self.$field = read::<$type>(key, text)?,)*
                    _ => return Err(format!("`{key}` is not a limit: use one of {}", Self::KEYS.join(", "))),
                }
                Ok(())
            }

            /// Returns every key with its value, or `None` if it is not set.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$(($key, self.$field.map(Value::text)),)*]
            }

            /// Checks that each ceiling is within the range that the server supports.
            ///
            /// # Errors
            /// The first ceiling outside its range, with the bounds.
            pub fn check(&self) -> Result<(), String> {
                $(
                    let (least, most): ($type, $type) = ($least, $most);
                    if let Some(value) = self.$field && !(least..=most).contains(&value) {
                        return Err(format!("ceiling {} is {}: use {} to {}", $key, value.text(), least.text(), most.text()));
                    }
                )*
                Ok(())
            }
        }

        impl Limits {
            /// Returns the built-in ceilings, which apply unless an operator sets others.
            #[must_use]
            pub fn default_ceilings() -> Self {
                Self { $($field: $default,)* }
            }

            /// Returns the limits, each lowered to its ceiling.
            #[must_use]
            pub fn clamp(&self, ceilings: &Self) -> Self {
                Self { $($field: self.$field.min(ceilings.$field),)* }
            }

            /// Returns the first limit above its ceiling. A limit with its default value counts as not
            /// requested and is never reported: [`clamp`](Self::clamp) lowers it.
            #[must_use]
            pub fn above(&self, ceilings: &Self) -> Option<AboveCeiling> {
                let usual = Self::default();
                $(
                    if self.$field > ceilings.$field && self.$field != usual.$field {
                        let (asked, ceiling) = (self.$field.text(), ceilings.$field.text());
                        return Some(AboveCeiling { key: $key, asked, ceiling });
                    }
                )*
                None
            }

            /// Returns every key with its value.
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static str, String)> {
                vec![$(($key, self.$field.text()),)*]
            }
        }
    };
}

/// Largest accepted byte size: above the memory and disks of any machine, and low enough that sums do not overflow.
const MOST_BYTES: ByteSize = ByteSize::gib(1 << 14);

ceilings! {
    /// Default 10^15, which takes days to spend: the deadline ends a call earlier.
    #[serde(deserialize_with = "crate::count::option::deserialize")]
    fuel: u64 = "fuel", 1_000_000_000_000_000, 1, 1_000_000_000_000_000_000;
    /// Milliseconds. Default 3,600,000, one hour; at most seven days.
    deadline_ms: u64 = "deadline-ms", 3_600_000, 1, 7 * 24 * 3_600_000;
    /// Default and maximum: 4 GiB, the address space of a 32-bit module.
    memory_bytes: ByteSize = "memory-bytes", ByteSize::gib(4), ByteSize::kib(64), ByteSize::gib(4);
    /// Default and maximum: 100,000, the size of the tables in the instance pool.
    table_elements: u64 = "table-elements", 100_000, 0, 100_000;
    /// Default 1 GiB. A result stays in memory until it is committed.
    output_bytes: ByteSize = "output-bytes", ByteSize::gib(1), ByteSize(0), MOST_BYTES;
    /// Default 1 GiB. Emitted records stay in memory until the task ends.
    emit_bytes: ByteSize = "emit-bytes", ByteSize::gib(1), ByteSize(0), MOST_BYTES;
    /// Default 16 MiB.
    log_bytes: ByteSize = "log-bytes", ByteSize::mib(16), ByteSize(0), MOST_BYTES;
    /// Default 10^10.
    host_calls: u64 = "host-calls", 10_000_000_000, 0, 1_000_000_000_000_000_000;
    /// Default 65,536.
    handles: u32 = "handles", 65_536, 16, 1 << 24;
    /// Default 1,000.
    concurrency: u32 = "concurrency", 1_000, 1, 1_000_000;
    /// Default 1 GiB. The body of a handler's request is buffered in memory.
    body_bytes: ByteSize = "body-bytes", ByteSize::gib(1), ByteSize(0), MOST_BYTES;
    /// Default 4 GiB.
    gpu_memory_bytes: ByteSize = "gpu-memory-bytes", ByteSize::gib(4), ByteSize(1), MOST_BYTES;
    /// Milliseconds. Default 3,600,000, one hour; at most seven days.
    gpu_ms: u64 = "gpu-ms", 3_600_000, 1, 7 * 24 * 3_600_000;
    /// Milliseconds. Default and maximum: 10,000, because a submit occupies the device exclusively.
    gpu_submit_ms: u64 = "gpu-submit-ms", 10_000, 1, 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_default_is_above_its_ceiling() {
        let (usual, ceilings) = (Limits::default(), Limits::default_ceilings());
        assert_eq!(usual.clamp(&ceilings), usual);
        assert_eq!(ceilings.above(&ceilings), None);
    }

    #[test]
    fn every_limit_has_a_key_a_ceiling_and_a_bound() {
        let fields = serde_json::to_value(Limits::default()).unwrap();
        let mut keys: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = Ceilings::KEYS.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
        for key in Ceilings::KEYS {
            let mut lowered = Ceilings::default();
            lowered.set(key, "70000").unwrap();
            let ceilings = lowered.over(&Limits::default_ceilings());
            assert_eq!(serde_json::to_value(&ceilings).unwrap().get(key).unwrap(), 70_000, "{key}");
            let mut asked = serde_json::to_value(Limits::default()).unwrap();
            *asked.get_mut(key).unwrap() = 70_001.into();
            let asked: Limits = serde_json::from_value(asked).unwrap();
            assert_eq!(asked.above(&ceilings).unwrap().key, *key);
            assert_eq!(asked.clamp(&ceilings).above(&ceilings), None, "{key}");
            let most = if ["handles", "concurrency"].contains(key) { u64::from(u32::MAX) } else { u64::MAX };
            lowered.set(key, &most.to_string()).unwrap();
            assert!(lowered.check().unwrap_err().contains(key), "{key}");
            lowered.set(key, "none").unwrap();
            assert_eq!(lowered, Ceilings::default());
        }
    }

    #[test]
    fn a_default_above_a_ceiling_is_lowered_and_not_refused() {
        let low = Ceilings { memory_bytes: Some(ByteSize::mib(64)), ..Ceilings::default() };
        let ceilings = low.over(&Limits::default_ceilings());
        assert_eq!(Limits::default().above(&ceilings), None);
        assert_eq!(Limits::default().clamp(&ceilings).memory_bytes, ByteSize::mib(64));
    }

    #[test]
    fn mistakes_are_named() {
        let mut ceilings = Ceilings::default();
        assert!(ceilings.set("memory", "1").unwrap_err().contains("memory-bytes"));
        for (key, value) in [
            ("memory-bytes", "18446744073709551615GiB"),
            ("memory-bytes", "-1"),
            ("memory-bytes", "NaN"),
            ("deadline-ms", "18446744073709551616"),
            ("concurrency", "4294967296"),
            ("fuel", "1e9"),
            ("fuel", "10GiB"),
        ] {
            assert!(ceilings.set(key, value).unwrap_err().contains(value), "{key}={value}");
        }
        ceilings.set("fuel", "2.5G").unwrap();
        assert_eq!(ceilings.fuel, Some(2_500_000_000));
        ceilings.set("deadline-ms", "0").unwrap();
        assert_eq!(ceilings.check().unwrap_err(), "ceiling deadline-ms is 0: use 1 to 604800000");
    }
}
