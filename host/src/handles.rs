//! Host memory behind a guest's handles, charged to the memory account.
//!
//! A handle stands for bytes of the host that no other limit sees: a body that was written and not sent, header fields, the
//! buffer of a stream. Each is bounded, so their number bounds them all. The table does not tell how many handles it holds,
//! so they are counted every so many host calls, of which each makes a handle or two at most.

use crate::{listing::Listing, network::BODY_CHUNK};
use fabric_types::{Fault, memory::Charge};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::Descriptor;

/// Bytes that one handle may stand for: fields at their limit, or half of a body with its stream, of which up to three pieces
/// wait.
const HANDLE_BYTES: u64 = 2 * BODY_CHUNK as u64;
/// Handles that are free, since every guest has some.
const FREE: usize = 16;

/// Handles that are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Open {
    /// All of them.
    pub(crate) handles: usize,
    /// Those that hold a file descriptor.
    pub(crate) files: u64,
}

impl Open {
    /// Adds what a table holds.
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
    /// Notes a host call; says whether it is time to count.
    pub(crate) fn is_due(&mut self) -> bool {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                false
            }
            None => true,
        }
    }

    /// Charges for the handles that are open, and for those that may be made before the next count.
    ///
    /// # Errors
    /// As for [`Charge::grow`].
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
    #![allow(clippy::unwrap_used)]
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
