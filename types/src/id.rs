//! Names and identifiers, validated when they are parsed.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A name that breaks the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// The given text, cut to 80 characters.
    pub value: String,
    /// The expected kind.
    pub kind: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const NAME_RULE: &str =
    "use 1 to 63 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen";

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// [`InvalidId`] with the rule that `text` breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                if ($check)(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { value: text.chars().take(80).collect(), kind: $kind, rule: $rule })
                }
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(de)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A tenant: the first part of every key in the registry, the journal and the store.
    TenantId, "tenant name", NAME_RULE, is_name
);
id!(
    /// A function's name within its tenant.
    FunctionName, "function name", NAME_RULE, is_name
);
id!(
    /// An alias of function versions, such as `live`. `latest` is reserved for the newest version.
    AliasName, "alias name", NAME_RULE, is_name
);
id!(
    /// A node of the fabric.
    NodeId, "node name", NAME_RULE, is_name
);

const ULID_RULE: &str = "use the 26 characters that the server gave out";

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && ulid::Ulid::from_string(text).is_ok()
}

id!(
    /// A job: a ULID, so ids sort by creation time.
    JobId, "job id", ULID_RULE, is_ulid
);
id!(
    /// One call of a function: a ULID. An asynchronous invocation is a job with one task and shares its id.
    InvocationId, "invocation id", ULID_RULE, is_ulid
);

/// Returns the 26 characters of the ULID for a time and 80 random bits. The caller supplies both.
#[must_use]
pub fn ulid_text(unix_ms: u64, random: u128) -> String {
    ulid::Ulid::from_parts(unix_ms, random).to_string()
}

impl JobId {
    /// Creates an id from the wall clock and 80 random bits. The caller supplies both.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        Self(ulid_text(unix_ms, random).into())
    }

    /// Returns the creation time, in milliseconds since 1970.
    #[must_use]
    pub fn made_ms(&self) -> u64 {
        ulid::Ulid::from_string(&self.0).map_or(0, |ulid| ulid.timestamp_ms())
    }

    /// Returns the same id as an invocation id.
    #[must_use]
    pub fn as_invocation(&self) -> InvocationId {
        InvocationId(self.0.clone())
    }
}

impl InvocationId {
    /// Creates an id from the wall clock and 80 random bits. The caller supplies both.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        Self(ulid_text(unix_ms, random).into())
    }

    /// Returns the same id as a job id.
    #[must_use]
    pub fn as_job(&self) -> JobId {
        JobId(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "weather", "a-1", &"x".repeat(63)] {
            assert!(FunctionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "a-", "-a", "a_b", "a/b", "..", "é", &"x".repeat(64)] {
            assert!(FunctionName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn job_ids_sort_by_time() {
        assert!(JobId::from_parts(1, u128::MAX) < JobId::from_parts(2, 0));
        assert_eq!(JobId::from_parts(1_700_000_000_123, 7).made_ms(), 1_700_000_000_123);
        assert!(JobId::new("01ARZ3NDEKTSV4RRFFQ69G5FAV").is_ok());
        assert!(JobId::new("../../../../etc/passwd/abc").is_err());
    }
}
