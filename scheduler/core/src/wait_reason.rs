//! The reason that a job without running attempts waits: one sentence, derived from the current state.
//!
//! The sentence names no other tenant and no job of another tenant.

use crate::{
    Core, Time,
    core::Timer,
    dispatch::request,
    job::Job,
    node::{Mode, Node},
    placement::{Request, filters},
    queue::count,
};
use fabric_types::{label, units::ByteSize};

impl Core {
    /// Returns the reason that no attempt of the job is running; `None` while one is running.
    pub(crate) fn wait_reason(&self, job: &Job) -> Option<String> {
        if job.outstanding > 0 {
            return None;
        }
        if job.pending == 0 {
            return Some(self.not_ready(job));
        }
        if job.pending == u64::from(job.held_back) {
            return Some("a process died while running each of its tasks; each waits for a node of its own".to_owned());
        }
        let request = request(job, None);
        let unfit = self.no_node(&request);
        let limit = || self.queue.get(job.tenant).and_then(|tenant| tenant.refusal(request.demand));
        Some(unfit.or_else(limit).unwrap_or_else(|| self.no_room(job, &request)))
    }

    /// Returns the reason for a job without pending tasks.
    fn not_ready(&self, job: &Job) -> String {
        if job.backoff == 0 {
            return "its tasks wait for their inputs".to_owned();
        }
        let due = self.timers.iter().find_map(|(at, timer)| match timer {
            Timer::Retry { job: of, .. } if *of == job.ix => Some(*at),
            _ => None,
        });
        let seconds = due.unwrap_or(Time(0)).since_us(self.now).div_ceil(1_000_000);
        match job.backoff {
            1 => format!("a task failed or lost its node; it is retried in {seconds} s"),
            n => format!("{n} tasks failed or lost their nodes; the first is retried in {seconds} s"),
        }
    }

    /// Returns the reason if no ready node could take the request even when empty.
    fn no_node(&self, request: &Request<'_>) -> Option<String> {
        let all: Vec<&Node> = self.nodes.iter().map(|(_, node)| node).filter(|node| node.up).collect();
        if all.is_empty() {
            return Some("there are no nodes".to_owned());
        }
        let ready: Vec<&Node> = all.iter().copied().filter(|node| filters::ready(node)).collect();
        if ready.is_empty() && all.iter().any(|node| node.is_open()) {
            return Some("every open node is reserved for a task, because a process died while running it".to_owned());
        }
        if ready.is_empty() {
            return Some(format!("no node is ready: {}", states(&all)));
        }
        let none_of = |what: &str, has: &dyn Fn(&Node) -> bool| {
            let elsewhere = all.iter().filter(|node| has(node)).count() as u64;
            match elsewhere {
                0 => format!("no node {what}"),
                1 => format!("the one node that {what} is not ready"),
                n => format!("none of the {n} nodes that {what} is ready"),
            }
        };
        let labelled: Vec<&Node> = ready.iter().copied().filter(|node| filters::labels(node, request)).collect();
        if labelled.is_empty() {
            let (labels, has) = (label::show(request.labels), |node: &Node| filters::labels(node, request));
            let word = if request.labels.len() == 1 { "label" } else { "labels" };
            return Some(format!("it needs {word} {labels}, and {}", none_of("has that", &has)));
        }
        let taking: Vec<&Node> = labelled.iter().copied().filter(|node| filters::module_kind(node, request)).collect();
        if taking.is_empty() {
            let has = |node: &Node| filters::labels(node, request) && filters::module_kind(node, request);
            return Some(format!("it is a {} module, and {}", request.kind, none_of("takes that kind", &has)));
        }
        if !taking.iter().any(|node| filters::shared_gpu(node, request)) {
            return Some(format!(
                "it requires a GPU, and {}",
                none_of("has one for guests", &|node| { filters::shared_gpu(node, request) })
            ));
        }
        let taking: Vec<&Node> = taking.into_iter().filter(|node| filters::shared_gpu(node, request)).collect();
        if taking.iter().any(|node| filters::could_fit(node, request)) {
            return None;
        }
        let demand = request.demand;
        let sort = if taking.len() == all.len() { "node" } else { "suitable ready node" };
        let largest = |of: &dyn Fn(&Node) -> u64| taking.iter().map(|node| of(node)).max().unwrap_or(0);
        let (slots, gpus) = (largest(&|n| u64::from(n.slots)), largest(&|n| u64::from(n.gpus)));
        let memory = largest(&|n| n.memory);
        Some(if slots < u64::from(demand.slots) {
            format!("an attempt needs {} slots, and the largest {sort} has {slots}", demand.slots)
        } else if memory < demand.memory {
            format!("an attempt needs {}, and the largest {sort} has {}", ByteSize(demand.memory), ByteSize(memory))
        } else if gpus < u64::from(demand.gpus) {
            let needs = count(u64::from(demand.gpus), "GPU");
            format!("an attempt needs {needs}, and the {sort} with the most has {gpus}")
        } else {
            format!("no {sort} has all that an attempt needs at once")
        })
    }

    /// Returns the reason if a node could take the request, but not now.
    fn no_room(&self, job: &Job, request: &Request<'_>) -> String {
        let fitting: Vec<&Node> = self
            .nodes
            .iter()
            .map(|(_, node)| node)
            .filter(|node| filters::ready(node) && filters::suits(node, request) && filters::could_fit(node, request))
            .collect();
        if fitting.iter().any(|node| filters::room(node, request, 1).is_some()) {
            return "there is room; it is scheduled next".to_owned();
        }
        let mut jobs: Vec<u32> = fitting.iter().flat_map(|node| &node.attempts).map(|key| key.job).collect();
        jobs.sort_unstable();
        jobs.dedup();
        let own = jobs.iter().filter(|ix| self.jobs.get(ix).is_some_and(|other| other.tenant == job.tenant)).count();
        let slots = fitting.iter().map(|node| u64::from(node.slots)).sum::<u64>();
        let whose = match (own, jobs.len() - own) {
            (own, 0) => format!("{} of this tenant", count(own as u64, "job")),
            (0, others) => format!("{} of other tenants", count(others as u64, "job")),
            (own, others) => format!("{} of this tenant and {others} of others", count(own as u64, "job")),
        };
        let taken = fitting.iter().all(|node| node.free_units() == 0);
        match (taken, slots, fitting.len()) {
            (true, 1, 1) => format!("the one slot that it could have is taken by {whose}"),
            (true, _, 1) => format!("all {slots} slots of the one node that it could have are taken by {whose}"),
            (true, _, nodes) => {
                format!("all {slots} slots of the {nodes} nodes that it could have are taken by {whose}")
            }
            (false, _, 1) => {
                format!("too little is free on the one node that it could have, which has attempts of {whose}")
            }
            (false, _, nodes) => {
                format!(
                    "too little is free on each of the {nodes} nodes that it could have, which have attempts of {whose}"
                )
            }
        }
    }
}

/// Formats the number of nodes in each state: `1 cordoned, 2 lost`.
fn states(nodes: &[&Node]) -> String {
    let state = |node: &&Node| match node.mode {
        _ if node.silent => "lost",
        Mode::Cordoned => "cordoned",
        Mode::Draining => "draining",
        Mode::Open => "ready",
    };
    let count = |name: &str| nodes.iter().map(state).filter(|s| *s == name).count();
    let parts = ["cordoned", "draining", "lost"].map(|name| (count(name), name));
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
    parts.join(", ")
}
