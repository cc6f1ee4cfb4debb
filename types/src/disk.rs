//! Detection of a full disk. Only an operator can fix it, and a retry helps only after that.

/// A hint for the error message.
pub const FULL_HINT: &str = "ask an operator to free space or add a disk, then try again";

/// Returns `true` if `error`, or one of its sources, is an I/O error for a full disk or an exhausted disk quota.
#[must_use]
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_full_disk_is_found_beneath_what_happened() {
        let full = Error::from(ErrorKind::StorageFull);
        assert!(is_full(&full) && is_full(&Error::from(ErrorKind::QuotaExceeded)));
        assert!(!is_full(&Error::from(ErrorKind::PermissionDenied)));
        let within = crate::Fault::new(crate::Code::Internal, "no cause");
        assert!(!is_full(&within));
    }
}
