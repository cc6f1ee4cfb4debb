//! Host memory behind a guest's handles, charged to the memory account.
//!
//! A handle can hold host memory that no other limit covers: a body that is written but not sent, header fields, or the
//! buffer of a stream. Each of these is bounded, so the number of handles bounds them all. The table does not expose
//! that number, so handles are counted after a certain number of host calls, each of which creates at most a few.

use crate::{listing::Listing, network::BODY_CHUNK};
use fabric_types::{Fault, memory::Charge};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::Descriptor;

/// Bytes charged for one handle: header fields at their limit, or half of a body with its stream, of which up to three
/// chunks wait.
const HANDLE_BYTES: u64 = 2 * BODY_CHUNK as u64;
/// Number of handles that are not charged, since every guest has a few.
const FREE: usize = 16;

/// The open handles of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OpenHandles {
    /// Number of handles.
    pub(crate) handles: usize,
    /// Number of handles that hold a file descriptor.
    pub(crate) files: u64,
}

impl OpenHandles {
    /// Adds the handles in a table.
    pub(crate) fn add(&mut self, table: &mut ResourceTable) {
        for entry in table.iter_mut() {
            self.handles += 1;
            self.files += u64::from(entry.is::<Descriptor>() || entry.is::<Listing>());
        }
    }
}

/// The charge for one call's handles.
#[derive(Debug, Default)]
pub(crate) struct HandleMeter {
    calls_left: usize,
    charged: u64,
}

impl HandleMeter {
    /// Records a host call. Returns `true` if the handles must be counted now.
    pub(crate) fn is_due(&mut self) -> bool {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                false
            }
            None => true,
        }
    }

    /// Charges for the open handles, and for those that may be created before the next count.
    ///
    /// # Errors
    /// See [`Charge::grow`].
    pub(crate) fn count(&mut self, open: usize, charge: &Charge) -> Result<(), Fault> {
        let headroom = (open / 4).max(FREE);
        let wanted = if open <= FREE { 0 } else { (open + headroom) as u64 * HANDLE_BYTES };
        if wanted > self.charged {
            charge.grow(wanted - self.charged)?;
        } else {
            charge.shrink(self.charged - wanted);
        }
        self.charged = wanted;
        self.calls_left = headroom - 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::{Code, memory::MemoryAccount, units::ByteSize};

    #[test]
    fn many_handles_are_charged_and_given_back() {
        let account = MemoryAccount::new(ByteSize::mib(64), 100, ByteSize(0));
        let charge = Charge::none(&account.operator());
        let mut meter = HandleMeter::default();
        assert!(meter.is_due(), "the first call counts");
        meter.count(10, &charge).unwrap();
        assert_eq!((charge.bytes(), (0..100).take_while(|_| !meter.is_due()).count()), (0, FREE - 1));
        meter.count(200, &charge).unwrap();
        assert_eq!(charge.bytes(), 250 * HANDLE_BYTES);
        assert_eq!((0..100).take_while(|_| !meter.is_due()).count(), 49);
        assert_eq!(meter.count(2_000, &charge).unwrap_err().code, Code::MemoryLimit);
        assert_eq!(charge.bytes(), 250 * HANDLE_BYTES);
        meter.count(3, &charge).unwrap();
        assert_eq!(charge.bytes(), 0);
    }
}
