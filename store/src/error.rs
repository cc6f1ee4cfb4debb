//! The error type of stores, plans and partitions.

use crate::over_quota::OverQuota;
use fabric_types::{
    Code, Fault,
    disk::{FULL_HINT, is_full},
    object_path::InvalidObjectPath,
    units::ByteSize,
};

/// The cause of an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The reason for refusing a path that a backend cannot represent.
pub(crate) const UNSTORABLE: &str = "the store does not support this name";

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path breaks a rule of object paths.
    #[error(transparent)]
    InvalidPath(#[from] InvalidObjectPath),
    /// The object does not exist.
    #[error("there is no object at `{path}`")]
    NotFound {
        /// The path in its space.
        path: String,
    },
    /// `if_match` or `if_none_match` of a write, or `if_match` of a read, does not hold.
    #[error("the condition on `{path}` does not hold")]
    PreconditionFailed {
        /// The path in its space.
        path: String,
    },
    /// `if_none_match` of a read equals the current version.
    #[error("`{path}` is still the version that the caller has")]
    NotModified {
        /// The path in its space.
        path: String,
    },
    /// The range begins at or after the object's end.
    #[error("the range lies outside `{path}`, which has {size} bytes")]
    RangeNotSatisfiable {
        /// The path in its space.
        path: String,
        /// The size in bytes.
        size: u64,
    },
    /// The object is no longer the planned version.
    #[error("`{path}` changed in the store since the job was planned")]
    InputChanged {
        /// The path in its space.
        path: String,
    },
    /// The data set cannot be split as requested.
    #[error("{message}")]
    InvalidInputSpec {
        /// The object and its problem.
        message: String,
        /// The suggested action.
        hint: Option<String>,
    },
    /// A value exceeds its limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The value.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The location is not one of a store, or the store cannot be opened.
    #[error("can't open the store `{location}`: {message}")]
    Location {
        /// The location without secrets.
        location: String,
        /// The problem.
        message: String,
        /// The cause.
        #[source]
        source: Option<BoxError>,
    },
    /// The source stream of a write failed.
    #[error("the bytes for `{path}` ended with an error")]
    Body {
        /// The path that was written.
        path: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The stored bytes do not match their digest.
    #[error("{what} is damaged in the store")]
    Corrupt {
        /// The damaged object.
        what: String,
    },
    /// The tenant's quota is exhausted.
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
    /// The disk is full, or has less free space than tenants must leave.
    #[error("the disk is full{}", shortage(*free, *floor))]
    DiskFull {
        /// Free bytes, if known.
        free: Option<u64>,
        /// Bytes that must stay free; 0 if the disk itself refused the write.
        floor: u64,
    },
    /// The store does not support the operation.
    #[error("this store can't {what}")]
    NotSupported {
        /// The unsupported operation.
        what: &'static str,
    },
    /// The store failed.
    #[error("the object store failed to {operation} `{path}`")]
    Backend {
        /// The operation.
        operation: &'static str,
        /// The path in its space.
        path: String,
        /// `true` if a retry may succeed.
        retryable: bool,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

/// Describes the lack of disk space.
fn shortage(free: Option<u64>, floor: u64) -> String {
    free.map_or_else(String::new, |free| format!(": {} are free, {} must stay free", ByteSize(free), ByteSize(floor)))
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        Self { hint: error.hint(), ..Self::new(error.code(), error.to_string()) }
    }
}

impl Error {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InvalidPath(_) => Code::InvalidPath,
            Self::NotFound { .. } => Code::NotFound,
            Self::PreconditionFailed { .. } | Self::NotModified { .. } => Code::PreconditionFailed,
            Self::RangeNotSatisfiable { .. } => Code::RangeNotSatisfiable,
            Self::InputChanged { .. } => Code::InputChanged,
            Self::InvalidInputSpec { .. } => Code::InvalidInputSpec,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Location { .. } | Self::Body { .. } | Self::NotSupported { .. } => Code::BadRequest,
            Self::OverQuota(_) => Code::StorageQuota,
            Self::DiskFull { .. } => Code::DiskFull,
            Self::Backend { retryable: true, .. } => Code::StoreUnavailable,
            Self::Corrupt { .. } | Self::Backend { retryable: false, .. } => Code::Internal,
        }
    }

    /// Returns `true` if the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }

    /// Returns the suggested action for the user.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InvalidPath(_) => Some(InvalidObjectPath::HINT.into()),
            Self::NotFound { .. } => Some("see what is there: fabric ls".into()),
            Self::InputChanged { .. } => Some("start the job again; it plans the objects as they are now".into()),
            Self::InvalidInputSpec { hint, .. } => hint.clone(),
            Self::Location { .. } => Some("use a folder, memory: or s3://BUCKET/PREFIX?endpoint=URL".into()),
            Self::OverQuota(over) => Some(over.hint()),
            Self::DiskFull { .. } => Some(FULL_HINT.into()),
            Self::NotSupported { .. } => {
                Some("write it without the condition, or under a new path with If-None-Match: *".into())
            }
            _ => None,
        }
    }

    /// Creates an error for an input spec that cannot be planned, with a hint.
    pub(crate) fn spec(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::InvalidInputSpec { message: message.into(), hint: Some(hint.into()) }
    }

    /// Converts a store's error. `path` is the path in its space, as users name it.
    pub(crate) fn from_store(operation: &'static str, path: &str, error: object_store::Error) -> Self {
        use object_store::Error as E;
        let path = path.to_owned();
        match error {
            E::NotFound { .. } => Self::NotFound { path },
            E::AlreadyExists { .. } | E::Precondition { .. } => Self::PreconditionFailed { path },
            E::NotModified { .. } => Self::NotModified { path },
            E::InvalidPath { .. } => InvalidObjectPath::new(&path, UNSTORABLE).into(),
            // A wrong clock of this machine may be corrected at any time.
            skewed @ E::PermissionDenied { .. } if skewed.to_string().contains("RequestTimeTooSkewed") => {
                Self::Backend { operation, path, retryable: true, source: Box::new(skewed) }
            }
            full if is_full(&full) => Self::DiskFull { free: None, floor: 0 },
            other => {
                let retryable = !matches!(
                    other,
                    E::NotSupported { .. }
                        | E::NotImplemented { .. }
                        | E::PermissionDenied { .. }
                        | E::Unauthenticated { .. }
                        | E::UnknownConfigurationKey { .. }
                );
                Self::Backend { operation, path, retryable, source: Box::new(other) }
            }
        }
    }

    /// Converts an error of the local file system.
    pub(crate) fn io(operation: &'static str, path: &str, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Self::NotFound { path: path.to_owned() };
        }
        if is_full(&source) {
            return Self::DiskFull { free: None, floor: 0 };
        }
        let retryable = source.kind() != std::io::ErrorKind::PermissionDenied;
        Self::Backend { operation, path: path.to_owned(), retryable, source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_one() {
        let full = || std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let wrapped = object_store::Error::Generic { store: "local", source: Box::new(full()) };
        for error in [Error::from_store("write", "x", wrapped), Error::io("write", "x", full())] {
            assert_eq!(error.code(), Code::DiskFull, "{error}");
        }
    }

    #[test]
    fn a_wrong_clock_is_no_lasting_refusal() {
        let refused = |why: &str| {
            let source = format!("<Error><Code>{why}</Code></Error>").into();
            Error::from_store("read", "x", object_store::Error::PermissionDenied { path: "x".to_owned(), source })
        };
        assert!(refused("RequestTimeTooSkewed").is_retryable());
        assert!(!refused("AccessDenied").is_retryable());
    }
}
