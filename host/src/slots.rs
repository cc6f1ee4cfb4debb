//! Permission to run guests: one slot per instance of the pool, shared fairly between tenants and functions.

use crate::fair_queue::{FairTurns, QueueFull, Ticket, TurnLimits};
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::{FunctionName, TenantId},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

type Queue = FairTurns<TenantId, FunctionName, oneshot::Sender<()>>;

/// The slots of a host. Clones share them.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Mutex<Queue>>);

/// A slot, returned on drop.
pub(crate) struct SlotPermit {
    slots: Slots,
    deployment: Arc<Deployment>,
}

impl Drop for SlotPermit {
    fn drop(&mut self) {
        let mut queue = self.slots.0.lock();
        queue.release(&self.deployment.tenant, &self.deployment.function);
        serve(&mut queue);
    }
}

/// Grants free slots to waiters. A waiter that gives up at the same time returns its slot on drop.
fn serve(queue: &mut Queue) {
    while let Some(waiter) = queue.take_next() {
        // A dropped receiver belongs to a `Waiting` whose drop finds the ticket served and releases the slot.
        let _ = waiter.send(());
    }
}

/// A place in the queue. Dropping it leaves the queue, or returns the slot that was granted in the meantime.
struct Waiting {
    slots: Slots,
    deployment: Arc<Deployment>,
    ticket: Option<Ticket>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut queue = self.slots.0.lock();
        let (tenant, function) = (&self.deployment.tenant, &self.deployment.function);
        if queue.remove(tenant, function, ticket).is_none() {
            queue.release(tenant, function);
        }
        serve(&mut queue);
    }
}

fn busy(message: &str) -> Fault {
    Fault::new(Code::Unavailable, message).hint("try again in a moment; more nodes, or shorter deadlines, make room")
}

impl Slots {
    pub(crate) fn new(capacity: u32) -> Self {
        Self(Arc::new(Mutex::new(FairTurns::new(TurnLimits::for_capacity(capacity as usize)))))
    }

    /// Acquires a slot for a function, waiting at most `patience`. `None` waits until one is free.
    ///
    /// # Errors
    /// `unavailable` if the wait times out or too many calls are waiting.
    pub(crate) async fn acquire(
        &self,
        deployment: &Arc<Deployment>,
        patience: Option<Duration>,
    ) -> Result<SlotPermit, Fault> {
        let permit = || SlotPermit { slots: self.clone(), deployment: deployment.clone() };
        let (mut waiting, granted) = {
            let mut queue = self.0.lock();
            if queue.try_acquire(&deployment.tenant, &deployment.function) {
                return Ok(permit());
            }
            let (send, granted) = oneshot::channel();
            let ticket = queue.enqueue(&deployment.tenant, &deployment.function, send, patience.is_some()).map_err(
                |(_, full)| match full {
                    QueueFull::Party => busy("too many calls of this tenant wait for a free slot"),
                    QueueFull::All => busy("too many calls wait for a free slot"),
                },
            )?;
            // The new waiter changes the shares, so that another waiter may now be served.
            serve(&mut queue);
            (Waiting { slots: self.clone(), deployment: deployment.clone(), ticket: Some(ticket) }, granted)
        };
        let result = match patience {
            None => granted.await,
            Some(patience) => match tokio::time::timeout(patience, granted).await {
                Ok(granted) => granted,
                Err(_) => return Err(busy("no slot became free in time: the node runs as many guests as it may")),
            },
        };
        result.map_err(|_| Fault::new(Code::Unavailable, "the host is shutting down"))?;
        waiting.ticket = None;
        Ok(permit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::{
        digest::ModuleDigest,
        function::{Entry, EntryKind},
        manifest::Manifest,
    };

    fn deployment(tenant: &str) -> Arc<Deployment> {
        let function = FunctionName::new("f").unwrap();
        Arc::new(Deployment {
            tenant: TenantId::new(tenant).unwrap(),
            function: function.clone(),
            version: 1,
            module: ModuleDigest::of(b""),
            module_bytes: 0,
            entry: Entry { kind: EntryKind::Http, handler: false, mapper: false, reducer: false },
            manifest: Manifest::named(function),
            created_ms: 0,
            note: String::new(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_time_and_a_waiter_that_leaves_keeps_no_slot() {
        let slots = Slots::new(1);
        let (a, b) = (deployment("a"), deployment("b"));
        let first = slots.acquire(&a, None).await.unwrap();
        let late = slots.acquire(&b, Some(Duration::from_secs(10))).await.err().unwrap();
        assert_eq!(late.code, Code::Unavailable);
        // The slot is granted, then the future is dropped before it is polled again.
        let mut second = Box::pin(slots.acquire(&b, None));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second);
        let third = slots.acquire(&a, Some(Duration::ZERO)).await;
        assert!(third.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_tenant_gets_a_slot_while_one_holds_all_it_may() {
        let slots = Slots::new(8);
        let (a, b) = (deployment("a"), deployment("b"));
        let mut held = Vec::new();
        while let Ok(permit) = slots.acquire(&a, Some(Duration::ZERO)).await {
            held.push(permit);
        }
        assert!(held.len() < 8, "{}", held.len());
        assert!(slots.acquire(&b, Some(Duration::ZERO)).await.is_ok());
        // The number of waiters is bounded.
        let waiting: Vec<_> = (0..64).map(|_| Box::pin(slots.acquire(&a, Some(Duration::from_secs(60))))).collect();
        let mut all = futures::future::join_all(waiting);
        assert!(futures::poll!(&mut all).is_pending());
        let fault = slots.acquire(&a, Some(Duration::from_secs(60))).await.err().unwrap();
        assert_eq!(fault.message, "too many calls of this tenant wait for a free slot");
    }
}
