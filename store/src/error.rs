//! What can go wrong with a store, a plan or a partition.

use crate::over_quota::OverQuota;
use fabric_types::{
    Code, Fault,
    disk::{FULL_HINT, is_full},
    object_path::InvalidObjectPath,
    units::ByteSize,
};

/// The cause that an error carries.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The rule that a path breaks which a backend has no name for.
pub(crate) const UNSTORABLE: &str = "the store does not take this name";

/// An operation on the store that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path breaks a rule of object paths.
    #[error(transparent)]
    InvalidPath(#[from] InvalidObjectPath),
    /// There is no such object.
    #[error("there is no object at `{path}`")]
    NotFound {
        /// Its path in its space.
        path: String,
    },
    /// `if_match` or `if_none_match` of a write, or `if_match` of a read, does not hold.
    #[error("the condition on `{path}` does not hold")]
    PreconditionFailed {
        /// Its path in its space.
        path: String,
    },
    /// `if_none_match` of a read names the version that is there.
    #[error("`{path}` is still the version that the caller has")]
    NotModified {
        /// Its path in its space.
        path: String,
    },
    /// The range begins at or after the object's end.
    #[error("the range lies outside `{path}`, which has {size} bytes")]
    RangeNotSatisfiable {
        /// Its path in its space.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The object is no longer the version that was planned.
    #[error("`{path}` changed in the store since the job was planned")]
    InputChanged {
        /// Its path in its space.
        path: String,
    },
    /// The data set can't be split as asked.
    #[error("{message}")]
    InvalidInputSpec {
        /// What is wrong with which object.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Something is larger than allowed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The text names no store, or one that can't be opened.
    #[error("can't open the store `{location}`: {message}")]
    Location {
        /// The location without its secrets.
        location: String,
        /// What is wrong with it.
        message: String,
        /// The cause.
        #[source]
        source: Option<BoxError>,
    },
    /// The stream that feeds a write failed.
    #[error("the bytes for `{path}` ended with an error")]
    Body {
        /// The path that was being written.
        path: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// The bytes are not what their name says.
    #[error("{what} is damaged in the store")]
    Corrupt {
        /// What is damaged.
        what: String,
    },
    /// The tenant keeps as much as it may.
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
    /// The disk has no room, or less than what tenants must leave.
    #[error("the disk is full{}", shortage(*free, *floor))]
    DiskFull {
        /// Free bytes, where they are known.
        free: Option<u64>,
        /// Bytes that stay free; 0 where the disk itself refused.
        floor: u64,
    },
    /// The store can't do what was asked.
    #[error("this store can't {what}")]
    NotSupported {
        /// What it can't do.
        what: &'static str,
    },
    /// The store failed.
    #[error("the object store failed to {operation} `{path}`")]
    Backend {
        /// What was tried.
        operation: &'static str,
        /// The path in its space.
        path: String,
        /// Whether trying again may help.
        retryable: bool,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

/// How short of room a disk is.
fn shortage(free: Option<u64>, floor: u64) -> String {
    free.map_or_else(String::new, |free| format!(": {} are free, and {} stay so", ByteSize(free), ByteSize(floor)))
}

impl Error {
    /// The stable code.
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

    /// The same with its hint, for what is reported as a fault.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let fault = Fault::new(self.code(), self.to_string());
        match self.hint() {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.code().is_retryable()
    }

    /// What the user can do about it.
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

    /// An input spec that can't be planned, with a hint.
    pub(crate) fn spec(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::InvalidInputSpec { message: message.into(), hint: Some(hint.into()) }
    }

    /// Translates a store's error. `path` is the path in its space, as the user knows it.
    pub(crate) fn from_store(operation: &'static str, path: &str, error: object_store::Error) -> Self {
        use object_store::Error as E;
        let path = path.to_owned();
        match error {
            E::NotFound { .. } => Self::NotFound { path },
            E::AlreadyExists { .. } | E::Precondition { .. } => Self::PreconditionFailed { path },
            E::NotModified { .. } => Self::NotModified { path },
            E::InvalidPath { .. } => InvalidObjectPath::new(&path, UNSTORABLE).into(),
            // This machine's clock is wrong, and may be set right any moment.
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

    /// A failure of the local file system.
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
