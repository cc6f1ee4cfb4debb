//! Runs all processes of a fleet on one machine until a signal stops it.

use super::{
    child::{ChildEvent, ChildExit, ProcessSpec, ReadinessProbe, StopTokens},
    folder::{Folder, Process, State},
};
use crate::Error;
use fabric_client::{Client, PageOptions, settings::LocalServer};
use fabric_types::rest::node::Node;
use std::{path::Path, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::interval,
};

/// Interval between requests for the fleet's nodes while it starts.
const NODE_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The signals that stop a fleet, `SIGHUP` of a closed terminal included.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Error> {
        let on = |kind| signal(kind).map_err(|e| Error::io("waiting for signals", e));
        Ok(Self([on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// An observer of a fleet's events.
pub trait SupervisorObserver {
    /// The error of the observer. It ends the fleet.
    type Error: From<Error>;

    /// Called once, when all nodes are ready. `folder` is the fleet's folder.
    ///
    /// # Errors
    /// The fleet is stopped, and the error is returned.
    fn up(&self, folder: &Path, state: &State, nodes: &[Node]) -> Result<(), Self::Error>;
    /// Called with a message for the user.
    fn note(&self, text: String);
}

/// A running fleet.
pub struct Supervisor<'a, O> {
    folder: Folder,
    state: State,
    specs: Vec<ProcessSpec>,
    observer: &'a O,
    /// Index of the process that clients are directed to.
    active_gateway: Option<usize>,
    events: mpsc::Receiver<(usize, ChildEvent)>,
    event_sender: mpsc::Sender<(usize, ChildEvent)>,
    // NATS is stopped last, because the servers announce their departure through it.
    servers: (JoinSet<()>, StopTokens),
    nats: (JoinSet<()>, StopTokens),
    signals: Signals,
}

impl<'a, O: SupervisorObserver> Supervisor<'a, O> {
    /// Runs `nats`, if the fleet has its own, and `servers` until a signal.
    pub async fn run(
        folder: Folder,
        nats: Option<ProcessSpec>,
        servers: Vec<ProcessSpec>,
        observer: &'a O,
    ) -> Result<(), O::Error> {
        let own_nats = usize::from(nats.is_some());
        let specs: Vec<_> = nats.into_iter().chain(servers).collect();
        let processes = specs.iter().map(|spec| Process { name: spec.name.clone(), ..Process::default() }).collect();
        let (event_sender, events) = mpsc::channel(64);
        let mut this = Self {
            folder,
            state: State { supervisor: std::process::id(), processes },
            specs,
            observer,
            active_gateway: None,
            events,
            event_sender,
            servers: Default::default(),
            nats: Default::default(),
            signals: Signals::new()?,
        };
        let outcome = this.start_and_watch(own_nats).await;
        this.stop().await;
        outcome
    }

    async fn start_and_watch(&mut self, own_nats: usize) -> Result<(), O::Error> {
        self.specs.iter_mut().for_each(ProcessSpec::mark_log_start);
        self.folder.write_state(&self.state)?;
        // A server that does not reach NATS exits, so NATS is started first.
        for index in 0..own_nats {
            self.supervise(index);
        }
        if !self.wait_until_ready(0..own_nats).await? {
            return Ok(());
        }
        for index in own_nats..self.specs.len() {
            self.supervise(index);
        }
        if !self.wait_until_ready(own_nats..self.specs.len()).await? {
            return Ok(());
        }
        let Some(nodes) = self.wait_until_joined().await? else { return Ok(()) };
        self.observer.up(self.folder.path(), &self.state, &nodes)?;
        while let Some((index, event)) = self.next().await {
            self.handle_event(index, event)?;
        }
        Ok(())
    }

    fn supervise(&mut self, index: usize) {
        let Some(spec) = self.specs.get(index) else { return };
        let is_nats = matches!(spec.readiness, ReadinessProbe::NatsGreeting(_));
        let (tasks, stop) = if is_nats { &mut self.nats } else { &mut self.servers };
        tasks.spawn(spec.clone().supervise(index, self.event_sender.clone(), stop.clone()));
    }

    /// Returns the next event, or `None` after a signal to stop.
    async fn next(&mut self) -> Option<(usize, ChildEvent)> {
        tokio::select! {
            event = self.events.recv() => event,
            () = self.signals.next() => None,
        }
    }

    /// Waits until each process in `range` is ready. Returns `false` after a signal to stop.
    ///
    /// # Errors
    /// Fails if a process exits before it was ready: its settings are wrong, and a restart would not help.
    async fn wait_until_ready(&mut self, range: std::ops::Range<usize>) -> Result<bool, Error> {
        let mut ready = vec![false; self.specs.len()];
        while ready.get(range.clone()).is_some_and(|of| of.contains(&false)) {
            let Some((index, event)) = self.next().await else { return Ok(false) };
            if let ChildEvent::Exited { how: how @ (ChildExit::Status(_) | ChildExit::SpawnFailed(_)), .. } = &event
                && ready.get(index) == Some(&false)
                && let Some(spec) = self.specs.get(index)
            {
                let said = spec.last_error();
                return Err(Error::local("failed", format!("{} {how}\n{said}", spec.name).trim_end())
                    .hint(format!("see its log: {}", spec.log.display())));
            }
            if let (ChildEvent::Ready(_), Some(ready)) = (&event, ready.get_mut(index)) {
                *ready = true;
            }
            self.handle_event(index, event)?;
        }
        Ok(true)
    }

    /// Waits until the fleet reports all nodes as ready. Returns `None` after a signal to stop.
    async fn wait_until_joined(&mut self) -> Result<Option<Vec<Node>>, Error> {
        let mut every = interval(NODE_POLL_INTERVAL);
        loop {
            tokio::select! {
                event = self.events.recv() => if let Some((index, event)) = event { self.handle_event(index, event)? },
                () = self.signals.next() => return Ok(None),
                _ = every.tick() => {
                    // Errors are expected until the jobs have an owner.
                    if let Ok(nodes) = nodes(&self.folder).await
                        && self.specs.iter().all(|spec| spec.name == "nats" || has_joined(&nodes, &spec.name))
                    {
                        return Ok(Some(nodes));
                    }
                }
            }
        }
    }

    /// Records an event, reports it, and directs clients to a ready process.
    fn handle_event(&mut self, index: usize, event: ChildEvent) -> Result<(), Error> {
        let Some(process) = self.state.processes.get_mut(index) else { return Ok(()) };
        match event {
            ChildEvent::Started(pid) => {
                process.pid = Some(pid);
            }
            ChildEvent::Ready(url) => {
                let at = url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
                process.url = url;
                if process.restarts > 0 {
                    let pid = process.pid.unwrap_or_default();
                    self.observer.note(format!("{} is ready again{at} (pid {pid})", process.name));
                }
            }
            ChildEvent::Exited { pid, how, pause } => {
                (process.pid, process.url) = (None, None);
                process.restarts = process.restarts.saturating_add(1);
                let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                let log = self.specs.get(index).map(|spec| spec.log.display().to_string()).unwrap_or_default();
                let pause = pause.as_secs_f64();
                self.observer.note(format!("{}{pid} {how}; restarting in {pause} s; log: {log}", process.name));
            }
        }
        self.publish_gateway()?;
        self.folder.write_state(&self.state)
    }

    fn publish_gateway(&mut self) -> Result<(), Error> {
        let is_ready = |n: &usize| self.state.processes.get(*n).is_some_and(|p| p.url.is_some());
        // If no process is ready, the old address stays: that process is being restarted.
        let Some(to) = self.active_gateway.filter(is_ready).or_else(|| (0..self.state.processes.len()).find(is_ready))
        else {
            return Ok(());
        };
        let Some(name) = self.state.processes.get(to).map(|p| &p.name) else { return Ok(()) };
        // Also for the same process: a restart may have changed its address.
        match self.folder.publish_gateway(name) {
            Ok(()) => self.active_gateway = Some(to),
            // The process has ended again; another event reports that.
            Err(_) if LocalServer::find(&self.folder.join(name)).is_none() => self.active_gateway = None,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Stops all processes. A second signal kills them.
    async fn stop(&mut self) {
        let running = self.state.processes.iter().filter(|p| p.pid.is_some()).count();
        self.observer.note(format!("stopping {running} processes; a second signal kills them"));
        for (tasks, stop) in [&mut self.servers, &mut self.nats] {
            stop.graceful.cancel();
            loop {
                tokio::select! {
                    ended = tasks.join_next() => if ended.is_none() { break },
                    // Discard events, so that a full channel does not block a process's task.
                    _ = self.events.recv() => {}
                    () = self.signals.next() => stop.force.cancel(),
                }
            }
        }
        self.folder.clear_state();
    }
}

fn has_joined(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| node.facts.id.as_str() == name && node.state == "ready")
}

/// Fetches the nodes of the fleet from the process that clients are directed to, in one attempt.
pub async fn nodes(folder: &Folder) -> fabric_client::Result<Vec<Node>> {
    let Some(server) = LocalServer::find(folder.path()) else { return Ok(Vec::new()) };
    let mut options = fabric_client::Options::new(&server.url).attempts(1).request_timeout(Duration::from_secs(5));
    if let Some(token) = &server.token {
        options = options.token(token);
    }
    let client = Client::new(options)?;
    Ok(PageOptions::collect(10_000, async |paging| client.nodes(&paging).await).await?.items)
}
