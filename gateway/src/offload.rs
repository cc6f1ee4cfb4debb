//! Bounded execution of computations off the I/O threads, for computations with a size that a caller controls.
//!
//! At most a fixed number run at once, and fewer for one tenant, so that no tenant takes every thread. Waiting tenants
//! take turns. A computation is cancelled when its caller leaves or its deadline passes; its place is free once it has
//! ended. The submitter bounds the cost of one computation.

use crate::{Error, error::Result};
use fabric_types::{Code, id::TenantId};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Bytes of a worker thread's stack. Only the part in use takes memory.
const STACK: usize = 32 << 20;

/// The bounds of one kind of work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the work for error messages, such as `planning a data set`.
    pub work_name: &'static str,
    /// Maximum concurrent computations.
    pub threads: usize,
    /// Maximum concurrent computations of one tenant.
    pub threads_per_tenant: usize,
    /// Maximum waiting computations of one tenant; more are refused with `too-many-requests`.
    pub waiting_per_tenant: usize,
    /// Maximum waiting computations of all tenants; more are refused with `unavailable`.
    pub waiting: usize,
    /// Maximum wait for a turn; then `unavailable`.
    pub queue_timeout: Duration,
    /// Maximum duration of a computation that [`Offload::drive`] runs.
    pub deadline: Duration,
}

/// A bounded set of worker threads that tenants share. Cloning is cheap.
#[derive(Clone)]
pub struct Offload(Arc<Inner>);

struct Inner {
    options: Options,
    turns: Mutex<Queue>,
}

/// The running and the waiting computations.
#[derive(Default)]
struct Queue {
    running: usize,
    running_of: HashMap<TenantId, usize>,
    /// Tenants with waiting computations, in the order of their turns.
    order: VecDeque<TenantId>,
    waiting: HashMap<TenantId, VecDeque<oneshot::Sender<Permit>>>,
    waiting_total: usize,
}

/// A permit for one computation. Dropping it gives the place to the next tenant.
struct Permit {
    offload: Offload,
    tenant: TenantId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut turns = self.offload.0.turns.lock();
        turns.running = turns.running.saturating_sub(1);
        if let Some(count) = turns.running_of.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                turns.running_of.remove(&self.tenant);
            }
        }
        let admitted = self.offload.admit(&mut turns);
        drop(turns);
        // A failed send drops the turn, which locks again and admits the next computation.
        for (sender, turn) in admitted {
            let _ = sender.send(turn);
        }
    }
}

/// Returns the error for work that exceeded its deadline.
fn overdue(options: &Options) -> Error {
    Error::new(Code::TooLarge, format!("{} took longer than {} s", options.work_name, options.deadline.as_secs()))
        .hint("make it smaller: fewer objects, larger partitions, or smaller parameters")
}

impl Offload {
    /// Creates a set of worker threads with these bounds.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Inner { options, turns: Mutex::default() }))
    }

    fn has_room(&self, turns: &Queue, tenant: &TenantId) -> bool {
        let options = &self.0.options;
        turns.running < options.threads
            && turns.running_of.get(tenant).copied().unwrap_or(0) < options.threads_per_tenant
    }

    fn take(&self, turns: &mut Queue, tenant: &TenantId) -> Permit {
        turns.running += 1;
        *turns.running_of.entry(tenant.clone()).or_default() += 1;
        Permit { offload: self.clone(), tenant: tenant.clone() }
    }

    /// Gives free places to waiting tenants in turn.
    fn admit(&self, turns: &mut Queue) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut admitted = Vec::new();
        let mut skipped = 0;
        while skipped < turns.order.len()
            && turns.running < self.0.options.threads
            && let Some(tenant) = turns.order.pop_front()
        {
            if !self.has_room(turns, &tenant) {
                turns.order.push_back(tenant);
                skipped += 1;
                continue;
            }
            let Some(queue) = turns.waiting.get_mut(&tenant) else { continue };
            let next = queue.pop_front();
            let empty = queue.is_empty();
            if empty {
                turns.waiting.remove(&tenant);
            } else {
                turns.order.push_back(tenant.clone());
            }
            let Some(sender) = next else { continue };
            turns.waiting_total = turns.waiting_total.saturating_sub(1);
            if sender.is_closed() {
                continue;
            }
            skipped = 0;
            let turn = self.take(turns, &tenant);
            admitted.push((sender, turn));
        }
        admitted
    }

    /// Waits for a turn.
    async fn turn(&self, tenant: &TenantId) -> Result<Permit> {
        let options = &self.0.options;
        let waiting = {
            let mut turns = self.0.turns.lock();
            if !turns.waiting.contains_key(tenant) && self.has_room(&turns, tenant) {
                return Ok(self.take(&mut turns, tenant));
            }
            if let Some(queue) = turns.waiting.get_mut(tenant) {
                // Callers that have left do not count.
                let before = queue.len();
                queue.retain(|sender| !sender.is_closed());
                let left = before - queue.len();
                if queue.len() >= options.waiting_per_tenant {
                    turns.waiting_total = turns.waiting_total.saturating_sub(left);
                    let message = format!("too many requests of this tenant wait for {}", options.work_name);
                    return Err(Error::new(Code::TooManyRequests, message));
                }
                turns.waiting_total = turns.waiting_total.saturating_sub(left);
            }
            if turns.waiting_total >= options.waiting {
                return Err(Error::new(Code::Unavailable, format!("too many requests wait for {}", options.work_name)));
            }
            let (sender, receiver) = oneshot::channel();
            turns.waiting_total += 1;
            if !turns.waiting.contains_key(tenant) {
                turns.order.push_back(tenant.clone());
            }
            turns.waiting.entry(tenant.clone()).or_default().push_back(sender);
            receiver
        };
        match tokio::time::timeout(options.queue_timeout, waiting).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                let message =
                    format!("no turn for {} came within {} s", options.work_name, options.queue_timeout.as_secs());
                Err(Error::new(Code::Unavailable, message))
            }
        }
    }

    /// Runs `work` on a separate thread and waits for it. `work` should check the token between steps: the token is
    /// cancelled when the caller drops the returned future.
    ///
    /// # Errors
    /// `too-many-requests` or `unavailable` if no turn comes; `internal` if `work` panics.
    pub async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn(tenant).await?;
        let cancelled = CancellationToken::new();
        let _leaving = cancelled.clone().drop_guard();
        let (sender, result) = oneshot::channel();
        let span = tracing::Span::current();
        let spawned = std::thread::Builder::new().name("offload".to_owned()).stack_size(STACK).spawn(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| span.in_scope(|| work(&cancelled))));
            drop(turn);
            // The caller may have left.
            let _ = sender.send(result);
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "could not start a worker thread");
            return Err(Error::new(Code::Unavailable, "the server could not start a worker thread"));
        }
        match result.await {
            Ok(Ok(value)) => Ok(value),
            _ => {
                tracing::error!(what = self.0.options.work_name, "offloaded work panicked");
                Err(Error::new(Code::Internal, format!("{} failed", self.0.options.work_name)))
            }
        }
    }

    /// Runs a future on a separate thread until it ends, the caller leaves or the deadline passes. In the last two
    /// cases the future is dropped at its next await point, so it should yield between steps.
    ///
    /// # Errors
    /// As for [`Self::run`]; `too-large` if the deadline passes.
    pub async fn drive<T, F>(&self, tenant: &TenantId, future: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::current();
        let deadline = self.0.options.deadline;
        let ended = self.run(tenant, move |cancelled| {
            // The timer needs the context of the runtime.
            runtime.block_on(async { cancelled.run_until_cancelled(tokio::time::timeout(deadline, future)).await })
        });
        match ended.await? {
            Some(Ok(value)) => Ok(value),
            // If the caller has left, the error is dropped.
            Some(Err(_)) | None => Err(overdue(&self.0.options)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn options() -> Options {
        Options {
            work_name: "testing",
            threads: 2,
            threads_per_tenant: 1,
            waiting_per_tenant: 3,
            waiting: 100,
            queue_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(60),
        }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    /// Starts work that holds its place until `open` is dropped.
    fn held(offload: &Offload, name: &str) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
        let (open, gate) = mpsc::channel::<()>();
        let (offload, tenant) = (offload.clone(), tenant(name));
        let task = tokio::spawn(async move {
            let wait = move |_: &CancellationToken| {
                let _ = gate.recv();
            };
            offload.run(&tenant, wait).await
        });
        (open, task)
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_tenant_never_has_every_thread() {
        let offload = Offload::new(options());
        let (_open, _first) = held(&offload, "greedy");
        until(|| offload.0.turns.lock().running == 1).await;
        let (_second_open, _second) = held(&offload, "greedy");
        until(|| offload.0.turns.lock().waiting_total == 1).await;
        assert_eq!(offload.run(&tenant("other"), |_| 7).await.unwrap(), 7);
        assert_eq!(offload.0.turns.lock().running, 1);
    }

    #[tokio::test]
    async fn tenants_take_turns_however_much_one_of_them_wants() {
        let offload = Offload::new(Options { threads: 1, ..options() });
        let (open, _first) = held(&offload, "first");
        until(|| offload.0.turns.lock().running == 1).await;
        let ended = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (at, name) in ["greedy", "greedy", "greedy", "modest"].into_iter().enumerate() {
            let (queue, log, name) = (offload.clone(), Arc::clone(&ended), tenant(name));
            tasks.push(tokio::spawn(async move {
                let who = name.clone();
                queue.run(&name, move |_| log.lock().push(who.to_string())).await
            }));
            until(|| offload.0.turns.lock().waiting_total == at + 1).await;
        }
        drop(open);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*ended.lock(), ["greedy", "modest", "greedy", "greedy"]);
        assert!(offload.0.turns.lock().waiting.is_empty() && offload.0.turns.lock().order.is_empty());
    }

    #[tokio::test]
    async fn a_tenant_that_queues_too_much_is_refused_and_those_who_left_do_not_count() {
        let offload = Offload::new(options());
        let (open, _running) = held(&offload, "greedy");
        until(|| offload.0.turns.lock().running == 1).await;
        let waiting: Vec<_> = (0..3).map(|_| held(&offload, "greedy")).collect();
        until(|| offload.0.turns.lock().waiting_total == 3).await;
        let refused = offload.run(&tenant("greedy"), |_| ()).await.unwrap_err();
        assert_eq!(refused.code(), Code::TooManyRequests);
        for (_, task) in &waiting {
            task.abort();
        }
        until(|| waiting.iter().all(|(_, task)| task.is_finished())).await;
        drop(open);
        offload.run(&tenant("greedy"), |_| ()).await.unwrap();
        until(|| offload.0.turns.lock().running == 0).await;
        assert_eq!(offload.0.turns.lock().waiting_total, 0);
    }

    #[tokio::test]
    async fn work_hears_that_its_caller_left() {
        let offload = Offload::new(options());
        let (heard, hears) = mpsc::channel();
        let queue = offload.clone();
        let task = tokio::spawn(async move {
            let work = move |cancelled: &CancellationToken| {
                while !cancelled.is_cancelled() {
                    std::thread::yield_now();
                }
                heard.send(()).unwrap();
            };
            queue.run(&tenant("a"), work).await
        });
        until(|| offload.0.turns.lock().running == 1).await;
        task.abort();
        tokio::task::spawn_blocking(move || hears.recv().unwrap()).await.unwrap();
        until(|| offload.0.turns.lock().running == 0).await;
    }

    #[tokio::test]
    async fn a_future_ends_at_its_deadline_and_a_panic_frees_the_place() {
        let offload = Offload::new(Options { deadline: Duration::ZERO, ..options() });
        let error = offload.drive(&tenant("a"), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
        let error = offload.run(&tenant("a"), |_| panic!("on purpose")).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        until(|| offload.0.turns.lock().running == 0).await;
    }
}
