//! The epoch ticker: one thread that increments the epochs of both engines every millisecond while a guest is live.
//!
//! Guests check the epoch at loop heads and calls, and yield to other tasks when it has changed. The thread sleeps
//! while no guest runs, and ends when its handle is dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::Duration,
};
use wasmtime::EngineWeak;

const TICK: Duration = Duration::from_millis(1);

/// Ticks without a live guest before the thread sleeps. Waking it costs a system call, so it stays awake for short
/// gaps.
const IDLE_TICKS: u32 = 100;

#[derive(Default)]
struct Shared {
    live: AtomicU64,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// The handle to the ticker thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    handle: Option<Thread>,
}

/// A live guest, counted until this is dropped.
pub(crate) struct Live(Arc<Shared>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    pub(crate) fn start(engines: [EngineWeak; 2]) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let inner = shared.clone();
        let thread = thread::Builder::new().name("fabric-epoch".into()).spawn(move || tick(&inner, &engines))?;
        let handle = Some(thread.thread().clone());
        Ok(Self { shared, thread: Some(thread), handle })
    }

    pub(crate) fn live(&self) -> Live {
        self.shared.live.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst)
            && let Some(handle) = &self.handle
        {
            handle.unpark();
        }
        Live(self.shared.clone())
    }

    pub(crate) fn count(&self) -> u64 {
        self.shared.live.load(Ordering::Relaxed)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread only updates counters, so a panic in it needs no handling.
            let _ = thread.join();
        }
    }
}

fn tick(shared: &Shared, engines: &[EngineWeak; 2]) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        for engine in engines {
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
        if shared.live.load(Ordering::SeqCst) > 0 {
            idle = 0;
            continue;
        }
        idle += 1;
        if idle < IDLE_TICKS {
            continue;
        }
        shared.parked.store(true, Ordering::SeqCst);
        // A guest that started before `parked` was set is counted here. One that starts later unparks this thread.
        while shared.live.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
