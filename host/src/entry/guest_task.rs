//! The guest of an http call: the report of its end, and its own task after its response has begun.

use crate::{
    call::{CallShared, micros},
    entry::http::HttpReport,
};
use fabric_types::{Code, Fault};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Poll, ready},
    time::Instant,
};
use tokio::{sync::oneshot, task::AbortHandle};
use tokio_util::task::TaskTracker;

/// A guest of an http call.
pub(super) type Guest = Pin<Box<dyn Future<Output = HttpReport> + Send>>;

/// Reports the outcome of a call exactly once, on drop at the latest.
pub(super) struct CompletionGuard {
    hook: Option<Box<dyn FnOnce(HttpReport) + Send>>,
    start: Instant,
    shared: Arc<CallShared>,
    /// Fault that ended the call from outside. `None` means that the caller disconnected.
    reason: Option<Fault>,
}

impl CompletionGuard {
    /// Creates the guard of a call that begins now.
    pub(super) fn new(hook: Option<Box<dyn FnOnce(HttpReport) + Send>>, shared: Arc<CallShared>) -> Self {
        Self { hook, start: Instant::now(), shared, reason: None }
    }

    /// Reports that the call failed before its guest began, and returns the fault.
    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        self.reason = Some(fault.clone());
        self.ended();
        fault
    }

    /// Reports the outcome of a call whose guest has ended.
    pub(super) fn report(&mut self, report: HttpReport) {
        if let Some(hook) = self.hook.take() {
            hook(report);
        }
    }

    /// Reports a call that ended from outside. The guest is dropped before, since its drop records the resources spent
    /// in `shared`.
    fn ended(&mut self) {
        if self.hook.is_some() {
            let fault = self.reason.take().unwrap_or_else(caller_left);
            let log_bytes = self.shared.flush_logs();
            let cost = self.shared.cost(micros(self.start));
            self.report(HttpReport { result: Err(fault.with_fuel(cost.fuel)), cost, log_bytes });
        }
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        self.ended();
    }
}

fn caller_left() -> Fault {
    Fault::new(Code::Cancelled, "the caller left before the end of the response")
}

/// A guest whose response has begun, shared by its task and the response body.
struct RunningGuest {
    guest: Mutex<Option<Guest>>,
    done: Mutex<CompletionGuard>,
    shared: Arc<CallShared>,
}

/// Polls the guest to completion and sends its fault, if any, to the body.
async fn run_guest(running: Arc<RunningGuest>, outcome: oneshot::Sender<Option<Fault>>) {
    let report = std::future::poll_fn(|cx| {
        let mut guest = running.guest.lock();
        let Some(running) = guest.as_mut() else { return Poll::Ready(None) };
        let report = ready!(running.as_mut().poll(cx));
        *guest = None;
        Poll::Ready(Some(report))
    });
    let Some(report) = report.await else { return };
    let fault = report.result.clone().err();
    running.done.lock().report(report);
    let _ = outcome.send(fault);
}

/// The body's handle to a guest that is still running. Dropping it terminates the guest.
pub(super) struct GuestHandle {
    running: Arc<RunningGuest>,
    task: AbortHandle,
    pub(super) outcome: oneshot::Receiver<Option<Fault>>,
}

impl GuestHandle {
    pub(super) fn start(
        guest_tasks: &TaskTracker,
        guest: Guest,
        done: CompletionGuard,
        shared: Arc<CallShared>,
    ) -> Self {
        let running = Arc::new(RunningGuest { guest: Mutex::new(Some(guest)), done: Mutex::new(done), shared });
        let (send, outcome) = oneshot::channel();
        let task = guest_tasks.spawn(run_guest(running.clone(), send)).abort_handle();
        Self { running, task, outcome }
    }

    /// Terminates the guest because of a fault in its response body.
    pub(super) fn terminate(self, fault: Fault) {
        self.running.done.lock().reason = Some(fault);
    }

    /// Returns `true` if the guest has failed, in which case the end of its stream is not the end of its response.
    pub(super) fn has_failed(&self) -> bool {
        self.running.shared.failed.load(Ordering::Acquire)
    }
}

impl Drop for GuestHandle {
    fn drop(&mut self) {
        // Terminate the guest now. If another thread is polling it, its task ends at the next yield instead.
        if let Some(mut guest) = self.running.guest.try_lock()
            && guest.take().is_some()
        {
            self.running.done.lock().ended();
        }
        self.task.abort();
    }
}
