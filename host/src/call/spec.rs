//! The parameters of a call, as its entry states them.

use crate::{entry::task::Progress, fault::WorkUnit, load::Loaded, source::PartSource, stats::Observer};
use fabric_types::limits::Limits;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The limit on waiting for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotWait {
    /// Up to [`crate::Options::slot_wait`], then the call fails with `unavailable`. For calls, which clients can retry.
    Bounded,
    /// Until a slot is free or the call is cancelled. For tasks, which are assigned to this node according to its
    /// slots.
    UntilCancelled,
}

/// The parameters of a call.
pub(crate) struct CallSpec<'a> {
    /// Module and deployment to run. The deployment's tenant pays for the memory and the open files.
    pub(crate) loaded: &'a Loaded,
    /// Unit of work, for hints in faults.
    pub(crate) unit: WorkUnit,
    /// Stage that a command finds in `FABRIC_STAGE`.
    pub(crate) stage: &'static str,
    /// Limits of the call. The host's own ceilings also apply.
    pub(crate) limits: Limits,
    /// Seed of a pure guest's randomness.
    pub(crate) seed: [u8; 32],
    /// Parameters in canonical JSON.
    pub(crate) params: Arc<str>,
    /// Input of the call.
    pub(crate) source: Option<Box<dyn PartSource>>,
    /// Receiver of progress reports.
    pub(crate) progress: Option<Progress>,
    /// Receiver of durations. `None` for calls that the host makes for itself.
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Limit on waiting for a slot.
    pub(crate) slot_wait: SlotWait,
    /// Cancels the call.
    pub(crate) cancel: CancellationToken,
    /// Deadline in addition to the one in `limits`; the earlier one applies.
    pub(crate) deadline: Option<Instant>,
}

impl<'a> CallSpec<'a> {
    /// Creates the parameters of a call without input, parameters, observer or cancellation, and with a bounded wait
    /// for a slot.
    pub(crate) fn new(loaded: &'a Loaded, unit: WorkUnit, stage: &'static str, limits: Limits) -> Self {
        Self {
            loaded,
            unit,
            stage,
            limits,
            seed: [0; 32],
            params: "{}".into(),
            source: None,
            progress: None,
            observer: None,
            slot_wait: SlotWait::Bounded,
            cancel: CancellationToken::new(),
            deadline: None,
        }
    }
}
