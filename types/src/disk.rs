//! Telling a full disk from other failures: the remedy is an operator's, and trying again helps only after it.

/// What to do about it.
pub const FULL_HINT: &str = "an operator has to free space or add a disk; try again then";

/// Whether an error, or one of its causes, is the file system's word that it has no room.
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
