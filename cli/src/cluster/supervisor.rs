//! Everything of a fleet on one machine, kept running until it is told to stop.

use super::{
    child::{Ended, Event, Spec, Stop},
    folder::{Folder, Process, State},
};
use crate::failure::Failure;
use fabric_client::{Client, Paging, settings::LocalServer};
use fabric_types::rest::node::Node;
use std::time::Duration;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::interval,
};

/// How often the fleet is asked who is in it, while it starts.
const ASK: Duration = Duration::from_millis(200);

/// The signals that stop a fleet; a closed terminal is one.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|e| Failure::io("waiting for signals", e));
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

/// What is said to the one who looks on.
pub trait Watch {
    /// All are in the fleet.
    fn up(&self, state: &State, nodes: &[Node]) -> Result<(), Failure>;
    /// Something happened.
    fn note(&self, text: String);
}

/// A fleet that runs.
pub struct Supervisor<'a, W> {
    folder: Folder,
    state: State,
    specs: Vec<Spec>,
    watch: &'a W,
    /// The process that clients are pointed at.
    leads_to: Option<usize>,
    events: mpsc::Receiver<(usize, Event)>,
    tell: mpsc::Sender<(usize, Event)>,
    // NATS is stopped last: the others say good-bye through it.
    servers: (JoinSet<()>, Stop),
    nats: (JoinSet<()>, Stop),
    signals: Signals,
}

impl<'a, W: Watch> Supervisor<'a, W> {
    /// Runs `nats`, where it is this fleet's own, and `servers` until a signal.
    pub async fn run(folder: Folder, nats: Option<Spec>, servers: Vec<Spec>, watch: &'a W) -> Result<(), Failure> {
        let own_nats = usize::from(nats.is_some());
        let specs: Vec<_> = nats.into_iter().chain(servers).collect();
        let processes = specs.iter().map(|spec| Process { name: spec.name.clone(), ..Process::default() }).collect();
        let (tell, events) = mpsc::channel(64);
        let mut this = Self {
            folder,
            state: State { supervisor: std::process::id(), processes },
            specs,
            watch,
            leads_to: None,
            events,
            tell,
            servers: Default::default(),
            nats: Default::default(),
            signals: Signals::new()?,
        };
        let outcome = this.start_and_watch(own_nats).await;
        this.stop().await;
        outcome
    }

    async fn start_and_watch(&mut self, own_nats: usize) -> Result<(), Failure> {
        self.specs.iter_mut().for_each(Spec::begin_log);
        self.folder.write_state(&self.state)?;
        // A server that finds no NATS ends; so NATS first.
        for index in 0..own_nats {
            self.keep(index);
        }
        if !self.until_all_answer(0..own_nats).await? {
            return Ok(());
        }
        for index in own_nats..self.specs.len() {
            self.keep(index);
        }
        if !self.until_all_answer(own_nats..self.specs.len()).await? {
            return Ok(());
        }
        let Some(nodes) = self.until_all_are_in().await? else { return Ok(()) };
        self.watch.up(&self.state, &nodes)?;
        while let Some((index, event)) = self.next().await {
            self.happened(index, event)?;
        }
        Ok(())
    }

    fn keep(&mut self, index: usize) {
        let Some(spec) = self.specs.get(index) else { return };
        let is_nats = matches!(spec.sign, super::child::Sign::Greeting(_));
        let (tasks, stop) = if is_nats { &mut self.nats } else { &mut self.servers };
        tasks.spawn(spec.clone().keep(index, self.tell.clone(), stop.clone()));
    }

    /// The next event; none when it is time to stop.
    async fn next(&mut self) -> Option<(usize, Event)> {
        tokio::select! {
            event = self.events.recv() => event,
            () = self.signals.next() => None,
        }
    }

    /// Waits until each of `range` answers; false when it is time to stop.
    ///
    /// # Errors
    /// When one ends by itself before it ever answered: that is a mistake in its settings, and to start it again is no help.
    async fn until_all_answer(&mut self, range: std::ops::Range<usize>) -> Result<bool, Failure> {
        let mut answered = vec![false; self.specs.len()];
        while answered.get(range.clone()).is_some_and(|of| of.contains(&false)) {
            let Some((index, event)) = self.next().await else { return Ok(false) };
            if let Event::Ended { how: how @ (Ended::Status(_) | Ended::Never(_)), .. } = &event
                && answered.get(index) == Some(&false)
                && let Some(spec) = self.specs.get(index)
            {
                let said = spec.last_words();
                return Err(Failure::local("failed", format!("{} {how}\n{said}", spec.name).trim_end())
                    .hint(format!("what it said is in {}", spec.log.display())));
            }
            if let (Event::Answers(_), Some(answered)) = (&event, answered.get_mut(index)) {
                *answered = true;
            }
            self.happened(index, event)?;
        }
        Ok(true)
    }

    /// Waits until the fleet itself says that all are in it; none when it is time to stop.
    async fn until_all_are_in(&mut self) -> Result<Option<Vec<Node>>, Failure> {
        let mut every = interval(ASK);
        loop {
            tokio::select! {
                event = self.events.recv() => if let Some((index, event)) = event { self.happened(index, event)? },
                () = self.signals.next() => return Ok(None),
                _ = every.tick() => {
                    // Not before there is an owner of the jobs, so errors are to be expected.
                    if let Ok(nodes) = nodes(&self.folder).await
                        && self.specs.iter().all(|spec| spec.name == "nats" || is_in(&nodes, &spec.name))
                    {
                        return Ok(Some(nodes));
                    }
                }
            }
        }
    }

    /// Notes down what happened, says it, and points clients at a process that answers.
    fn happened(&mut self, index: usize, event: Event) -> Result<(), Failure> {
        let Some(process) = self.state.processes.get_mut(index) else { return Ok(()) };
        match event {
            Event::Started(pid) => {
                process.pid = Some(pid);
            }
            Event::Answers(url) => {
                let at = url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
                process.url = url;
                if process.restarts > 0 {
                    let pid = process.pid.unwrap_or_default();
                    self.watch.note(format!("{} answers again{at} (pid {pid})", process.name));
                }
            }
            Event::Ended { pid, how, pause } => {
                (process.pid, process.url) = (None, None);
                process.restarts = process.restarts.saturating_add(1);
                let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                let log = self.specs.get(index).map(|spec| spec.log.display().to_string()).unwrap_or_default();
                let pause = pause.as_secs_f64();
                self.watch.note(format!("{}{pid} {how}; starting it again in {pause} s; it said: {log}", process.name));
            }
        }
        self.lead()?;
        self.folder.write_state(&self.state)
    }

    fn lead(&mut self) -> Result<(), Failure> {
        let answers = |n: &usize| self.state.processes.get(*n).is_some_and(|p| p.url.is_some());
        // Where nobody answers, the old address is as good as any: that process is being started again.
        let Some(to) = self.leads_to.filter(answers).or_else(|| (0..self.state.processes.len()).find(answers)) else {
            return Ok(());
        };
        let Some(name) = self.state.processes.get(to).map(|p| &p.name) else { return Ok(()) };
        // Also to the same one: it may have another address since it was started again.
        match self.folder.lead_to(name) {
            Ok(()) => self.leads_to = Some(to),
            // It has just ended again; that is said by its own event.
            Err(_) if LocalServer::find(&self.folder.join(name)).is_none() => self.leads_to = None,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Stops everything; a second signal kills it.
    async fn stop(&mut self) {
        let running = self.state.processes.iter().filter(|p| p.pid.is_some()).count();
        self.watch.note(format!("stopping {running} processes; a second signal kills them"));
        for (tasks, stop) in [&mut self.servers, &mut self.nats] {
            stop.ask.cancel();
            loop {
                tokio::select! {
                    ended = tasks.join_next() => if ended.is_none() { break },
                    // Nobody reads them any more, and a full channel must not hold anything up.
                    _ = self.events.recv() => {}
                    () = self.signals.next() => stop.insist.cancel(),
                }
            }
        }
        self.folder.lead_nowhere();
    }
}

fn is_in(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| node.id.as_str() == name && node.state == "ready")
}

/// The nodes of the fleet, asked of the process that clients are pointed at; one try.
pub async fn nodes(folder: &Folder) -> fabric_client::Result<Vec<Node>> {
    let Some(server) = LocalServer::find(folder.path()) else { return Ok(Vec::new()) };
    let mut options = fabric_client::Options::new(&server.url).attempts(1).answer_timeout(Duration::from_secs(5));
    if let Some(token) = &server.token {
        options = options.token(token);
    }
    let client = Client::new(options)?;
    Ok(Paging::collect(10_000, async |paging| client.nodes(&paging).await).await?.items)
}
