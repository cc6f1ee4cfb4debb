//! Digests that address content.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::{fmt, str::FromStr};

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: use 64 hexadecimal digits")]
pub struct InvalidDigest(pub String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Returns the digest as 64 hexadecimal digits.
            #[must_use]
            pub fn hex(&self) -> String {
                hex::encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.hex())
            }
        }

        impl FromStr for $name {
            type Err = InvalidDigest;
            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| InvalidDigest(text.chars().take(80).collect()))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
                if ser.is_human_readable() { ser.serialize_str(&self.hex()) } else { self.0.serialize(ser) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                if de.is_human_readable() {
                    let text = std::borrow::Cow::<str>::deserialize(de)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    Ok(Self(<[u8; 32]>::deserialize(de)?))
                }
            }
        }
    };
}

digest!(
    /// The SHA-256 of a module's bytes, as the user uploaded them.
    ModuleDigest
);
digest!(
    /// The BLAKE3 of a result's bytes.
    ContentDigest
);
digest!(
    /// The identity of a task's result: see [`crate::task_key`].
    TaskKey
);

impl ModuleDigest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl TaskKey {
    /// Returns the key of the same task's result on a GPU adapter. Floating-point results of two GPUs can differ in
    /// their last bits, so each adapter has its own key: BLAKE3 of the adapter's name, keyed with the task key.
    #[must_use]
    pub fn on_adapter(&self, adapter: &str) -> Self {
        Self(*blake3::keyed_hash(&self.0, adapter.as_bytes()).as_bytes())
    }
}

impl ContentDigest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}
