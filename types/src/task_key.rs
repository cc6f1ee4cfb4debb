//! The task key, under which a result is stored.
//!
//! `BLAKE3(domain ‖ tenant ‖ module ‖ stage ‖ buckets ‖ parameters ‖ environment ‖ engine fingerprint ‖ input)`.
//! Each variable-length field is preceded by its length, so no two different tasks hash the same bytes. An impure task
//! adds its job and task id, so that its result is committed once but never shared between jobs. For a task that may
//! use a GPU, the result is stored under [`TaskKey::on_adapter`] of the task key.

use crate::{
    dataset::{ObjectSlice, Partition},
    digest::TaskKey,
    function::Deployment,
    id::JobId,
    job::{StageKind, TaskId},
    work::TaskInput,
};

/// Computes the keys of one stage. The fields that its tasks share are hashed once.
#[derive(Debug, Clone)]
pub struct Keyer {
    shared: blake3::Hasher,
    impure: Option<JobId>,
}

fn field(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn slice(hasher: &mut blake3::Hasher, slice: &ObjectSlice) {
    field(hasher, slice.path.as_bytes());
    field(hasher, slice.etag.as_bytes());
    hasher.update(&slice.offset.to_le_bytes());
    hasher.update(&slice.len.to_le_bytes());
}

impl Keyer {
    /// Starts the keys of a stage. `params` is canonical JSON; `engine` is the fingerprint of the sandbox's engine.
    #[must_use]
    pub fn new(
        deployment: &Deployment,
        stage: StageKind,
        buckets: u32,
        params: &str,
        engine: &str,
        job: &JobId,
    ) -> Self {
        let mut shared = blake3::Hasher::new();
        field(&mut shared, b"fabric task key 1");
        field(&mut shared, deployment.tenant.as_str().as_bytes());
        field(&mut shared, &deployment.module.0);
        shared.update(&[stage as u8]);
        shared.update(&buckets.to_le_bytes());
        field(&mut shared, params.as_bytes());
        for (name, value) in &deployment.manifest.grants.env {
            field(&mut shared, name.as_bytes());
            field(&mut shared, value.as_bytes());
        }
        field(&mut shared, engine.as_bytes());
        let impure = (!deployment.is_pure()).then(|| job.clone());
        Self { shared, impure }
    }

    /// Restricts the keys to one job, as if the function were impure.
    #[must_use]
    pub fn private(mut self, job: &JobId) -> Self {
        self.impure = Some(job.clone());
        self
    }

    /// Returns the key of one task.
    #[must_use]
    pub fn key(&self, task: TaskId, input: &TaskInput) -> TaskKey {
        let mut hasher = self.shared.clone();
        match input {
            TaskInput::Partition(Partition::Slice(s)) => {
                hasher.update(b"s");
                slice(&mut hasher, s);
            }
            TaskInput::Partition(Partition::WithHeader { header, rows }) => {
                hasher.update(b"h");
                slice(&mut hasher, header);
                slice(&mut hasher, rows);
            }
            TaskInput::Partition(Partition::RowGroup { object, index }) => {
                hasher.update(b"g");
                slice(&mut hasher, object);
                hasher.update(&index.to_le_bytes());
            }
            TaskInput::Partition(Partition::Item(text)) => {
                hasher.update(b"i");
                field(&mut hasher, text.as_bytes());
            }
            TaskInput::Partials(parts) => {
                hasher.update(b"p");
                for part in parts.iter() {
                    hasher.update(&part.digest.0);
                }
            }
            TaskInput::Bucket { bucket, sources } => {
                hasher.update(b"b");
                hasher.update(&bucket.to_le_bytes());
                for source in sources.iter() {
                    hasher.update(&source.digest.0);
                }
            }
            TaskInput::Body { body, content_type } => {
                hasher.update(b"o");
                hasher.update(&body.digest.0);
                field(&mut hasher, content_type.as_deref().unwrap_or("").as_bytes());
            }
        }
        if let Some(job) = &self.impure {
            field(&mut hasher, job.as_str().as_bytes());
            hasher.update(&task.stage.to_le_bytes());
            hasher.update(&task.index.to_le_bytes());
        }
        TaskKey(*hasher.finalize().as_bytes())
    }
}
