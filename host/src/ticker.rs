//! The epoch ticker: one thread that moves both engines' epochs every millisecond while a guest is alive.
//!
//! Guests look at the epoch at loop heads and calls, and yield to their neighbours when it has moved. The thread
//! sleeps while nothing runs, and ends with its handle.

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

/// Ticks without a live guest before the thread sleeps: waking it costs a system call, so short gaps keep it awake.
const IDLE_TICKS: u32 = 100;

#[derive(Default)]
struct Shared {
    live: AtomicU64,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// Owns the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    handle: Option<Thread>,
}

/// Counts one live guest until dropped.
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
            // It holds nothing but counters; a panic in it has nothing to say.
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
        // A guest that started before the flag was up is seen here; one that starts after it unparks us.
        while shared.live.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        shared.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
