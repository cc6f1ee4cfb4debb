//! Sources of task input for the sandbox: parts of bytes or of keyed records.

use async_trait::async_trait;
use bytes::Bytes;
use fabric_host::{InputPart, InputPartKind, PartSource, keyed::KeyedRecord};
use fabric_results::ResultStore;
use fabric_store::{Objects, PartitionReader};
use fabric_types::{Fault, dataset::Partition, id::TenantId, memory::Charge, work::OutputRef};
use std::sync::Arc;

/// One partition as a single part, opened when the guest requests it.
pub struct PartitionSource {
    partition: Partition,
    objects: Objects,
    reader: Option<PartitionReader>,
    taken: bool,
}

impl PartitionSource {
    /// Creates a source over the tenant's objects.
    pub fn new(partition: Partition, objects: Objects) -> Self {
        Self { partition, objects, reader: None, taken: false }
    }
}

#[async_trait]
impl PartSource for PartitionSource {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
        self.reader = None;
        if self.taken {
            return Ok(None);
        }
        let reader = fabric_store::open(&self.partition, &self.objects).await?;
        let part = InputPart {
            name: reader.name().into(),
            offset: reader.offset(),
            size: Some(reader.size()),
            kind: InputPartKind::Bytes,
        };
        self.reader = Some(reader);
        self.taken = true;
        Ok(Some(part))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        match &mut self.reader {
            Some(reader) => Ok(reader.next_chunk(max).await?.unwrap_or_default()),
            None => Ok(Bytes::new()),
        }
    }
}

/// A source together with the charge for its bytes.
pub struct Charged<S> {
    // Dropped in this order.
    inner: S,
    _charge: Charge,
}

impl<S> Charged<S> {
    /// Holds the charge as long as the source.
    pub fn new(inner: S, charge: Charge) -> Self {
        Self { inner, _charge: charge }
    }
}

#[async_trait]
impl<S: PartSource> PartSource for Charged<S> {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
        self.inner.next_part().await
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        self.inner.read(max).await
    }

    async fn read_keyed(&mut self, max: usize) -> Result<Vec<KeyedRecord>, Fault> {
        self.inner.read_keyed(max).await
    }
}

/// Returns bytes that hold `charge` as long as any part of them exists.
pub fn charged(bytes: Bytes, charge: Charge) -> Bytes {
    struct Held(Bytes, #[expect(dead_code, reason = "kept for its end")] Charge);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(bytes, charge))
}

/// Partial results: one part per result, in order, fetched one at a time.
pub struct PartialsSource {
    tenant: TenantId,
    results: ResultStore,
    parts: Arc<[OutputRef]>,
    next: usize,
    limit: u64,
    // Dropped in this order.
    current: Bytes,
    charge: Charge,
}

impl PartialsSource {
    /// Creates a source of committed results of at most `limit` bytes each. Only the current result is charged.
    pub fn new(tenant: TenantId, results: ResultStore, parts: Arc<[OutputRef]>, limit: u64, charge: Charge) -> Self {
        Self { tenant, results, parts, next: 0, limit, current: Bytes::new(), charge }
    }
}

#[async_trait]
impl PartSource for PartialsSource {
    async fn next_part(&mut self) -> Result<Option<InputPart>, Fault> {
        self.current = Bytes::new();
        self.charge.shrink(self.charge.bytes());
        let Some(output) = self.parts.get(self.next) else { return Ok(None) };
        self.charge.grow(output.len)?;
        self.current = self.results.read(&self.tenant, output, self.limit).await?;
        self.next += 1;
        let size = Some(self.current.len() as u64);
        Ok(Some(InputPart { name: "partial".into(), offset: 0, size, kind: InputPartKind::Bytes }))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        let n = self.current.len().min(max);
        Ok(self.current.split_to(n))
    }
}
