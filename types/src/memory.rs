//! The memory account of a process. Every allocation with a size that a caller determines is charged to it beforehand.
//!
//! Linear memories, request bodies, outputs and emitted records are charged to the tenant of the call. A tenant never
//! has more than its share, and a reserve remains for allocations that belong to no tenant. Caches of a fixed size are
//! set aside when the account is created. Charges are upper bounds: the account does not measure resident memory.

use crate::{Code, Fault, id::TenantId, units::ByteSize};
use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Default share of the account that one tenant may have, in per cent.
pub const DEFAULT_TENANT_SHARE: u32 = 75;
/// Size of an unbounded account, low enough that sums do not overflow.
const UNBOUNDED: u64 = u64::MAX >> 4;

#[derive(Debug)]
struct Inner {
    size: u64,
    share: u64,
    reserve: u64,
    used: AtomicU64,
    refused: AtomicU64,
    /// One entry for each tenant that was ever charged.
    tenants: RwLock<HashMap<TenantId, Arc<AtomicU64>>>,
}

/// A memory account. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryAccount(Arc<Inner>);

/// The reason why a charge was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// The account has too little left.
    Process,
    /// The tenant would exceed its share.
    Share,
    /// The charge exceeds this maximum: the size of the account, or the tenant's share of it.
    Never(u64),
}

impl Full {
    fn fault(self, asked: u64) -> Fault {
        let asked = ByteSize(asked);
        match self {
            Self::Process => {
                Fault::new(Code::NodeMemory, format!("this node has no room for another {asked} of memory"))
                    .hint("try again in a moment; an operator can give the node more with `--memory`")
            }
            Self::Share => Fault::new(
                Code::NodeMemory,
                format!(
                    "the tenant's calls use all of the node's memory that one tenant may have: no room for {asked} more"
                ),
            )
            .hint("try again when some of them have ended; an operator sets the share with `--tenant-memory-share`"),
            Self::Never(most) => Fault::new(
                Code::MemoryLimit,
                format!("{asked} of memory are more than the {} that this node gives one tenant", ByteSize(most)),
            )
            .hint("work on smaller inputs, or ask an operator for a larger `--memory`"),
        }
    }
}

impl MemoryAccount {
    /// Creates an account of `size` bytes. `set_aside` bytes are reserved from the start, for example for caches. A
    /// sixteenth of the rest, at most 256 MiB, is reserved for the operator. One tenant may have `share` per cent
    /// of what then remains.
    #[must_use]
    pub fn new(size: ByteSize, share: u32, set_aside: ByteSize) -> Self {
        let size = size.0.min(UNBOUNDED);
        let used = set_aside.0.min(size);
        let reserve = ((size - used) / 16).min(256 << 20);
        let share = u128::from(size - used - reserve) * u128::from(share.min(100)) / 100;
        Self(Arc::new(Inner {
            size,
            share: u64::try_from(share).unwrap_or(UNBOUNDED),
            reserve,
            used: AtomicU64::new(used),
            refused: AtomicU64::new(0),
            tenants: RwLock::default(),
        }))
    }

    /// Creates an account that refuses no charge, for tests and for processes that serve no tenants.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::new(ByteSize(UNBOUNDED), 100, ByteSize(0))
    }

    /// Returns the payer for allocations of a tenant.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantId) -> Payer {
        let known = self.0.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned();
        let used = known.unwrap_or_else(|| {
            let mut tenants = self.0.tenants.write().unwrap_or_else(PoisonError::into_inner);
            tenants.entry(tenant.clone()).or_default().clone()
        });
        Payer { account: self.0.clone(), used: Some(used) }
    }

    /// Returns the payer for allocations that belong to no tenant, such as an operator's requests. Only this payer may
    /// use the reserve.
    #[must_use]
    pub fn operator(&self) -> Payer {
        Payer { account: self.0.clone(), used: None }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Returns the bytes charged at present.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Returns the number of charges refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

/// The party that is charged: a tenant or the operator.
#[derive(Debug, Clone)]
pub struct Payer {
    account: Arc<Inner>,
    used: Option<Arc<AtomicU64>>,
}

impl Payer {
    /// Returns a payer of an unbounded account.
    #[must_use]
    pub fn nobody() -> Self {
        static ACCOUNT: LazyLock<MemoryAccount> = LazyLock::new(MemoryAccount::unbounded);
        ACCOUNT.operator()
    }

    /// Charges `bytes`.
    ///
    /// # Errors
    /// `node-memory` if the account or the tenant's share has too little left; `memory-limit` if the charge exceeds the
    /// account or the tenant's share as a whole.
    pub fn charge(&self, bytes: u64) -> Result<Charge, Fault> {
        let charge = Charge::none(self);
        charge.grow(bytes)?;
        Ok(charge)
    }

    fn take(&self, bytes: u64, held: u64) -> Result<(), Full> {
        let account = &*self.account;
        let (most, room) = match &self.used {
            Some(_) => (account.share, account.size - account.reserve),
            None => (account.size, account.size),
        };
        if held.saturating_add(bytes) > most.min(room) {
            return Err(Full::Never(most.min(room)));
        }
        if let Some(used) = &self.used
            && used.fetch_add(bytes, Relaxed) + bytes > account.share
        {
            used.fetch_sub(bytes, Relaxed);
            return Err(Full::Share);
        }
        if account.used.fetch_add(bytes, Relaxed) + bytes > room {
            self.give(bytes);
            return Err(Full::Process);
        }
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.account.used.fetch_sub(bytes, Relaxed);
        if let Some(used) = &self.used {
            used.fetch_sub(bytes, Relaxed);
        }
    }
}

/// Bytes charged until this is dropped. Drop the memory that it covers first.
#[derive(Debug)]
pub struct Charge {
    payer: Payer,
    bytes: AtomicU64,
}

impl Charge {
    /// Creates a charge of 0 bytes.
    #[must_use]
    pub fn none(payer: &Payer) -> Self {
        Self { payer: payer.clone(), bytes: AtomicU64::new(0) }
    }

    /// Charges `more` bytes.
    ///
    /// # Errors
    /// As for [`Payer::charge`]; the charge is unchanged then.
    pub fn grow(&self, more: u64) -> Result<(), Fault> {
        if more == 0 {
            return Ok(());
        }
        self.payer.take(more, self.bytes()).map_err(|full| {
            self.payer.account.refused.fetch_add(1, Relaxed);
            full.fault(more)
        })?;
        self.bytes.fetch_add(more, Relaxed);
        Ok(())
    }

    /// Returns `less` bytes to the account, at most all that are charged.
    pub fn shrink(&self, less: u64) {
        let before = self.bytes.fetch_update(Relaxed, Relaxed, |held| Some(held.saturating_sub(less)));
        let held = before.unwrap_or_else(|held| held);
        self.payer.give(held.min(less));
    }

    /// Returns the bytes charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Returns the payer.
    #[must_use]
    pub fn payer(&self) -> &Payer {
        &self.payer
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.payer.give(*self.bytes.get_mut());
    }
}

/// Size of the first allocation of a buffer.
const FIRST: usize = 4096;
/// Capacity from which a buffer grows by a quarter instead of doubling.
const LARGE: usize = 32 << 20;
/// A buffer grows by at least this fraction of its capacity.
const LEAST_STEP: usize = 16;

/// A growable byte buffer. Its capacity is charged before it is allocated.
#[derive(Debug)]
pub struct ChargedBuffer {
    // Fields drop in this order.
    bytes: Vec<u8>,
    charge: Charge,
    /// Maximum length that the buffer will need.
    limit: usize,
}

impl ChargedBuffer {
    /// Creates an empty buffer, without allocating.
    #[must_use]
    pub fn new(payer: &Payer) -> Self {
        Self::with_limit(payer, usize::MAX)
    }

    /// Creates an empty buffer for at most `limit` bytes. It reserves no capacity beyond the limit.
    #[must_use]
    pub fn with_limit(payer: &Payer, limit: usize) -> Self {
        Self { bytes: Vec::new(), charge: Charge::none(payer), limit }
    }

    /// Creates a buffer from existing bytes.
    ///
    /// # Errors
    /// As for [`Payer::charge`].
    pub fn of(payer: &Payer, bytes: Vec<u8>) -> Result<Self, Fault> {
        let charge = payer.charge(bytes.capacity() as u64)?;
        Ok(Self { bytes, charge, limit: usize::MAX })
    }

    /// Creates a buffer from bytes that `charge` covers already.
    #[must_use]
    pub fn charged(bytes: Vec<u8>, charge: Charge) -> Self {
        Self { bytes, charge, limit: usize::MAX }
    }

    /// Appends `data`.
    ///
    /// # Errors
    /// As for [`Payer::charge`]; the buffer is unchanged then.
    pub fn extend(&mut self, data: &[u8]) -> Result<(), Fault> {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        let need = len.saturating_add(data.len());
        if need > capacity {
            let with = |more: usize| capacity.saturating_add(more).max(FIRST).min(self.limit).max(need);
            let wanted = with(if capacity < LARGE { capacity } else { capacity / 4 });
            // In an account that is nearly full the step is smaller. It stays a fraction of the capacity, because each
            // step copies all bytes.
            let least = with(capacity / LEAST_STEP);
            // Both allocations exist while the bytes are copied.
            let larger = match self.charge.grow(wanted as u64) {
                Ok(()) => wanted,
                Err(_) if least < wanted => {
                    self.charge.grow(least as u64)?;
                    least
                }
                Err(full) => return Err(full),
            };
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(larger).is_err() {
                self.charge.shrink(larger as u64);
                return Err(Full::Process.fault(larger as u64));
            }
            bytes.extend_from_slice(&self.bytes);
            self.bytes = bytes;
            self.charge.shrink(capacity as u64);
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns `true` if the buffer is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl AsRef<[u8]> for ChargedBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    #[test]
    fn nobody_gets_more_than_there_is_or_than_their_share() {
        // Of 1600 bytes, 100 are the operator's reserve, and a tenant may have at most 1125 of the other 1500.
        let account = MemoryAccount::new(ByteSize(2000), 75, ByteSize(400));
        let (a, b) = (account.tenant(&tenant("a")), account.tenant(&tenant("b")));
        let most = a.charge(1125).unwrap();
        assert!(a.charge(1).unwrap_err().message.contains("one tenant may have"));
        let rest = b.charge(375).unwrap();
        assert!(b.charge(1).unwrap_err().message.contains("no room"));
        let operator = account.operator().charge(100).unwrap();
        assert_eq!((account.used(), account.refused()), (2000, 2));
        assert!(account.operator().charge(1).is_err());
        assert!(a.charge(1).unwrap_err().is_retryable());
        let never = b.charge(1126).unwrap_err();
        assert!(never.message.contains("more than the") && !never.is_retryable());
        assert!(b.charge(u64::MAX).is_err());
        drop(most);
        assert!(rest.grow(375).is_ok());
        drop((rest, operator));
        assert_eq!(account.used(), 400);
    }

    #[test]
    fn a_buffer_is_charged_before_it_grows() {
        let account = MemoryAccount::new(ByteSize(1 << 20), 100, ByteSize(0));
        let payer = account.tenant(&tenant("a"));
        let mut buffer = ChargedBuffer::new(&payer);
        let mut written = 0;
        while buffer.extend(&[7; 1000]).is_ok() {
            written += 1000;
            assert!(account.used() >= buffer.bytes.capacity() as u64);
            assert_eq!(buffer.len(), written);
        }
        // The old and the new allocation fitted together.
        assert!(written > 400_000, "{written}");
        assert_eq!(buffer.charge.bytes(), buffer.bytes.capacity() as u64);
        drop(buffer);
        assert_eq!(account.used(), 0);
        assert!(ChargedBuffer::of(&payer, vec![0; 2 << 20]).is_err());
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn a_buffer_in_a_nearly_full_account_is_rarely_copied() {
        let account = MemoryAccount::new(ByteSize(16 << 20), 100, ByteSize(0));
        let mut buffer = ChargedBuffer::new(&account.tenant(&tenant("a")));
        let (mut copies, mut capacity) = (0, 0);
        while buffer.extend(&[7; 1000]).is_ok() {
            copies += usize::from(buffer.bytes.capacity() != capacity);
            capacity = buffer.bytes.capacity();
        }
        assert!(buffer.len() > 6 << 20, "{}", buffer.len());
        assert!(copies < 40, "{copies}");
    }

    #[test]
    fn charges_of_many_threads_add_up() {
        let account = MemoryAccount::new(ByteSize(10_000), 100, ByteSize(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let payer = account.tenant(&tenant(if n % 2 == 0 { "a" } else { "b" }));
                scope.spawn(move || {
                    for size in 0..5_000 {
                        if let Ok(charge) = payer.charge(size) {
                            let _ = charge.grow(size / 2);
                            charge.shrink(size / 3);
                        }
                    }
                });
            }
        });
        assert_eq!(account.used(), 0);
    }
}
