//! The events of a job, stored so that readers can resume from one.

use fabric_types::rest::job::JobEvent;
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Events stored for one job. A reader that resumes from an older event continues with the oldest stored one.
const KEPT: usize = 256;

/// The events of one job. Clones share them.
#[derive(Debug, Clone)]
pub struct EventLog {
    ring: Arc<Mutex<VecDeque<JobEvent>>>,
    last: Arc<watch::Sender<(u64, bool)>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { ring: Arc::default(), last: Arc::new(watch::Sender::new((0, false))) }
    }
}

impl EventLog {
    /// Appends an event. Its number is the millisecond in which it happened, or one more than the last number, so that
    /// numbers keep growing after a restart of the server.
    pub fn push(&self, mut event: JobEvent) {
        let terminal = event.state.is_terminal();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        event.seq = event.at_ms.max(ring.back().map_or(0, |e| e.seq + 1));
        let seq = event.seq;
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(event);
        drop(ring);
        self.last.send_replace((seq, terminal));
    }

    fn after(&self, seq: Option<u64>) -> Option<JobEvent> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().find(|e| seq.is_none_or(|s| e.seq > s)).cloned()
    }

    /// Reports whether the terminal event was pushed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.last.borrow().1
    }

    /// Waits for the terminal event.
    pub async fn ended(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.last.subscribe().wait_for(|(_, terminal)| *terminal).await;
    }

    /// Returns the events after `seq`, up to the terminal one.
    #[must_use]
    pub fn stream(&self, seq: Option<u64>) -> BoxStream<'static, JobEvent> {
        let state = (self.clone(), self.last.subscribe(), seq, false);
        stream::unfold(state, |(log, mut last, seq, over)| async move {
            if over {
                return None;
            }
            loop {
                // Mark as seen first: an event that is pushed after the lookup below wakes the wait.
                let (_, ended) = *last.borrow_and_update();
                if let Some(event) = log.after(seq) {
                    let (seq, over) = (event.seq, event.state.is_terminal());
                    return Some((event, (log, last, Some(seq), over)));
                }
                if ended || last.changed().await.is_err() {
                    return None;
                }
            }
        })
        .boxed()
    }
}
