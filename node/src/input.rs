//! What a task reads, as the sandbox wants it: parts of bytes or of keyed records.

use async_trait::async_trait;
use bytes::Bytes;
use fabric_host::{Part, PartKind, PartSource};
use fabric_results::ResultStore;
use fabric_store::{Objects, PartitionReader};
use fabric_types::{Fault, dataset::Partition, id::TenantId, work::OutputRef};
use std::{collections::VecDeque, sync::Arc};

/// A fault of the store, as the attempt's own.
pub fn fault(error: fabric_store::Error) -> Fault {
    let fault = Fault::new(error.code(), error.to_string());
    match error.hint() {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// One partition: a single part, opened when the guest asks for it.
pub struct PartitionSource {
    partition: Partition,
    objects: Objects,
    reader: Option<PartitionReader>,
    taken: bool,
}

impl PartitionSource {
    /// Of the tenant's objects.
    pub fn new(partition: Partition, objects: Objects) -> Self {
        Self { partition, objects, reader: None, taken: false }
    }
}

#[async_trait]
impl PartSource for PartitionSource {
    async fn next_part(&mut self) -> Result<Option<Part>, Fault> {
        self.reader = None;
        if self.taken {
            return Ok(None);
        }
        let reader = fabric_store::open(&self.partition, &self.objects).await.map_err(fault)?;
        let part = Part {
            name: reader.name().into(),
            offset: reader.offset(),
            size: Some(reader.size()),
            kind: PartKind::Bytes,
        };
        self.reader = Some(reader);
        self.taken = true;
        Ok(Some(part))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        match &mut self.reader {
            Some(reader) => Ok(reader.next_chunk(max).await.map_err(fault)?.unwrap_or_default()),
            None => Ok(Bytes::new()),
        }
    }
}

/// Partial results: a part for each, in order, fetched one at a time.
pub struct PartialsSource {
    tenant: TenantId,
    results: ResultStore,
    parts: Arc<[OutputRef]>,
    next: usize,
    limit: u64,
    current: Bytes,
}

impl PartialsSource {
    /// Of committed results, each of at most `limit` bytes.
    pub fn new(tenant: TenantId, results: ResultStore, parts: Arc<[OutputRef]>, limit: u64) -> Self {
        Self { tenant, results, parts, next: 0, limit, current: Bytes::new() }
    }
}

#[async_trait]
impl PartSource for PartialsSource {
    async fn next_part(&mut self) -> Result<Option<Part>, Fault> {
        self.current = Bytes::new();
        let Some(output) = self.parts.get(self.next) else { return Ok(None) };
        self.current = self.results.read(&self.tenant, output, self.limit).await?;
        self.next += 1;
        let size = Some(self.current.len() as u64);
        Ok(Some(Part { name: "partial".into(), offset: 0, size, kind: PartKind::Bytes }))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        let n = self.current.len().min(max);
        Ok(self.current.split_to(n))
    }
}

/// Bytes that are at hand: one part.
pub struct BytesSource {
    parts: VecDeque<(Arc<str>, Bytes)>,
    current: Bytes,
}

impl BytesSource {
    /// One part called `name`.
    pub fn new(name: &str, bytes: Bytes) -> Self {
        Self { parts: VecDeque::from([(name.into(), bytes)]), current: Bytes::new() }
    }
}

#[async_trait]
impl PartSource for BytesSource {
    async fn next_part(&mut self) -> Result<Option<Part>, Fault> {
        let Some((name, bytes)) = self.parts.pop_front() else {
            self.current = Bytes::new();
            return Ok(None);
        };
        self.current = bytes;
        let size = Some(self.current.len() as u64);
        Ok(Some(Part { name, offset: 0, size, kind: PartKind::Bytes }))
    }

    async fn read(&mut self, max: usize) -> Result<Bytes, Fault> {
        let n = self.current.len().min(max);
        Ok(self.current.split_to(n))
    }
}
