//! Where a synchronous call runs: here when this process is a node with room, else on the better of two others that were
//! drawn (the power of two choices: Mitzenmacher 1996), preferring those that hold the module in memory.

use super::{Peer, Peers, pass::Passing, was_passed};
use crate::{Error, error::Result, functions::Version, state::App};
use axum::{body::Body, response::Response};
use fabric_node::Room;
use fabric_types::{
    Code,
    function::Deployment,
    label::{self, Labels},
    manifest::{GpuMode, Resources},
    rest::node::{Node, warm_name},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

/// Calls and tasks for each slot up to which a node takes a call without asking others: one that runs and one that waits.
const BUSY: u32 = 2;
/// Nodes that a call is offered to when connections can't be made: presence is some seconds late about the dead.
const OFFERS: usize = 4;

/// Work for each slot.
fn load(room: Room) -> f64 {
    f64::from(room.busy) / f64::from(room.slots.max(1))
}

fn is_free(room: Room) -> bool {
    room.slots > 0 && room.busy < room.slots.saturating_mul(BUSY)
}

/// A node that could take a call.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    room: Room,
    warm: bool,
}

/// The candidates to offer a call to, best first; none: run it here. `draw(n)` gives a number below `n`.
fn choose(here: Room, others: &[Candidate], mut draw: impl FnMut(usize) -> usize) -> Vec<usize> {
    if is_free(here) {
        return Vec::new();
    }
    let usable = |warm: bool| (0..others.len()).filter(move |at| others.get(*at).is_some_and(|c| !warm || c.warm));
    let mut left: Vec<usize> = usable(true).collect();
    if left.is_empty() {
        left = usable(false).collect();
    }
    let busy = |at: usize| others.get(at).map_or(f64::MAX, |c| load(c.room));
    let mut order = Vec::new();
    while !left.is_empty() && order.len() < OFFERS {
        let first = left.swap_remove(draw(left.len()) % left.len());
        order.push(first);
    }
    if let [a, b, ..] = order.as_mut_slice()
        && busy(*b) < busy(*a)
    {
        std::mem::swap(a, b);
    }
    if here.slots > 0 {
        // Going there and back costs something: only for half the wait.
        order.retain(|at| busy(*at) < load(here) / 2.0);
    }
    order
}

/// Returns true where a node with these labels and slots is one that the function's resources ask for.
fn suits(resources: &Resources, labels: &Labels, slots: u32) -> bool {
    slots >= resources.cpu_slots && resources.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The strongest wish for a GPU that a node serves.
fn gpu_of(facts: &Node) -> GpuMode {
    facts.gpu.as_ref().map_or(GpuMode::None, |gpu| gpu.serves)
}

/// Counts a call with a node from its beginning to the end of its answer's body.
struct Counted {
    body: Body,
    calls: Arc<AtomicU32>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl http_body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The places where a call may run.
pub(crate) struct Places {
    /// The nodes to offer it to, best first; none: it runs here.
    pub nodes: Vec<Arc<Peer>>,
    /// True when it may run here after all, should none of them be reached.
    here: bool,
}

/// What became of a call that was offered to others.
pub(crate) enum Offered {
    /// One answered.
    Answered(Response),
    /// None took it; it is whole.
    Back(Request<Body>),
}

impl Peers {
    /// The nodes to offer a call to, best first; none: run it here.
    fn elsewhere(&self, here: Room, serves: GpuMode, deployment: &Deployment) -> Vec<Arc<Peer>> {
        let resources = &deployment.manifest.resources;
        // A drained node's own gateway sends calls away too, as long as somebody takes them.
        let mut here = if self.closed.read().contains(&self.name) { Room { slots: 0, ..here } } else { here };
        let wish = resources.gpu;
        if is_free(here) && serves >= wish {
            return Vec::new();
        }
        let name = warm_name(&deployment.module);
        let taking = |p: &&Arc<Peer>| self.is_open(&p.facts) && suits(resources, &p.facts.labels, p.facts.cpu_slots);
        let mut peers: Vec<_> = self.nodes.read().values().filter(taking).cloned().collect();
        if wish > GpuMode::None {
            // Where the wish is served if anywhere; what only prefers a GPU runs on any node else.
            let serving: Vec<_> = peers.iter().filter(|p| gpu_of(&p.facts) >= wish).cloned().collect();
            if wish == GpuMode::Required || !serving.is_empty() {
                peers = serving;
                if serves < wish {
                    here.slots = 0;
                }
            }
        }
        let candidates: Vec<_> = peers
            .iter()
            .map(|peer| {
                let facts = &peer.facts;
                let busy = facts.running.saturating_add(facts.queued).max(peer.calls.load(Ordering::Relaxed));
                Candidate { room: Room { busy, slots: facts.cpu_slots }, warm: facts.warm.contains(&name) }
            })
            .collect();
        let draw = |n: usize| usize::try_from(crate::clock::draw() % n as u64).unwrap_or(0);
        choose(here, &candidates, draw).into_iter().filter_map(|at| peers.get(at).cloned()).collect()
    }

    /// Offers a call to nodes, one after another until one takes it. The caller's token goes along and is checked there.
    ///
    /// # Errors
    /// `unavailable` when a node went away with the call.
    async fn offer(&self, nodes: &[Arc<Peer>], request: Request<Body>) -> Result<Offered> {
        let (parts, body) = request.into_parts();
        let passing = Passing::new(Request::from_parts(parts.clone(), body));
        for peer in nodes {
            let at = crate::clock::draw() as usize % self.calling.len().max(1);
            let Some((plain, secure)) = self.calling.get(at) else { break };
            let client = if peer.url.starts_with("https:") { secure } else { plain };
            peer.calls.fetch_add(1, Ordering::Relaxed);
            let count = |body| Counted { body, calls: Arc::clone(&peer.calls) };
            match passing.send(client, &peer.url).await {
                Ok(response) => return Ok(Offered::Answered(response.map(|body| Body::new(count(body))))),
                Err(e) => {
                    drop(count(Body::empty()));
                    if !passing.body.is_whole() || !e.is_connect() {
                        return Err(Error::new(
                            Code::Unavailable,
                            format!("node {} went away with the call: {}", peer.facts.id, e.without_url()),
                        )
                        .hint("it may have run; try again if it may run twice")
                        .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
                    }
                    tracing::debug!(node_id = %peer.facts.id, error = %e, "a node could not be reached");
                }
            }
        }
        Ok(Offered::Back(Request::from_parts(parts, passing.body.back())))
    }
}

fn nowhere() -> Error {
    Error::new(Code::Unavailable, "no node takes calls now")
        .hint("`fabric nodes` lists them; start one with `fabric serve --role node`")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn no_gpu() -> Error {
    Error::new(Code::Unavailable, "the function requires a GPU, and no node has one for guests")
        .hint("`fabric nodes --json` says why not, node by node")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn no_such_node(resources: &Resources) -> Error {
    let labels = label::show(&resources.node_selector);
    let of = if labels.is_empty() { String::new() } else { format!(" and the labels {labels}") };
    let slots = if resources.cpu_slots == 1 { "a slot".to_owned() } else { format!("{} slots", resources.cpu_slots) };
    Error::new(Code::Unavailable, format!("no node that takes calls has {slots}{of}, as the function asks for"))
        .hint("`fabric nodes` shows labels and slots; change `resources` in fabric.toml, or start such a node")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

/// The places where a call may run.
///
/// # Errors
/// `unavailable` when it can't run here and no other node is known.
pub(crate) fn places(app: &App, version: &Version, headers: &HeaderMap) -> Result<Places> {
    let (mut here, serves) = (app.services.node.room(), app.services.node.serves_gpu());
    let resources = &version.deployment.manifest.resources;
    let suits_here = suits(resources, app.services.node.labels(), here.slots);
    let Some(peers) = &app.services.peers else {
        return if suits_here { Ok(Places { nodes: Vec::new(), here: true }) } else { Err(no_such_node(resources)) };
    };
    if was_passed(headers) {
        return if here.slots > 0 { Ok(Places { nodes: Vec::new(), here: true }) } else { Err(nowhere()) };
    }
    let requires_gpu = resources.gpu == GpuMode::Required;
    if !suits_here || (requires_gpu && serves < GpuMode::Required) {
        // It can't run here, however little there is to do.
        here.slots = 0;
    }
    let nodes = peers.elsewhere(here, serves, &version.deployment);
    let runs_here = here.slots > 0;
    match (nodes.is_empty() && !runs_here, requires_gpu) {
        (false, _) => Ok(Places { nodes, here: runs_here }),
        (true, _) if !suits_here && app.services.node.room().slots > 0 => Err(no_such_node(resources)),
        (true, false) => Err(nowhere()),
        (true, true) => Err(no_gpu()),
    }
}

/// Offers a call to nodes; it comes back when it is to run here.
///
/// # Errors
/// `unavailable` when a node went away with it, or when it can't run here either.
pub(crate) async fn offer_to(app: &App, places: &Places, request: Request<Body>) -> Result<Offered> {
    let Some(peers) = app.services.peers.as_ref().filter(|_| !places.nodes.is_empty()) else {
        return Ok(Offered::Back(request));
    };
    match peers.offer(&places.nodes, request).await? {
        Offered::Back(_) if !places.here => Err(nowhere()),
        offered => Ok(offered),
    }
}

/// Offers a call to where it would run sooner than here, if there is such a node; else gives it back.
///
/// # Errors
/// As for [`places`] and [`offer_to`].
pub(crate) async fn offer(app: &App, version: &Version, mut request: Request<Body>) -> Result<Offered> {
    // The record of the key is this process's business. A key for an http function is the function's own.
    request.headers_mut().remove(HeaderName::from_static("idempotency-key"));
    let places = places(app, version, request.headers())?;
    offer_to(app, &places, request).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn other(busy: u32, warm: bool) -> Candidate {
        Candidate { room: Room { busy, slots: 2 }, warm }
    }

    const FULL: Room = Room { busy: 8, slots: 2 };
    const NONE: Room = Room { busy: 0, slots: 0 };

    #[test]
    fn a_node_with_room_asks_nobody() {
        assert_eq!(choose(Room { busy: 3, slots: 2 }, &[other(0, true)], |_| 0), Vec::<usize>::new());
    }

    #[test]
    fn a_full_node_passes_on_only_for_half_the_wait() {
        assert_eq!(choose(FULL, &[other(3, true)], |_| 0), [0]);
        assert_eq!(choose(FULL, &[other(4, true)], |_| 0), Vec::<usize>::new());
    }

    #[test]
    fn the_better_of_two_that_were_drawn_comes_first() {
        let others = [other(9, true), other(1, true), other(0, true)];
        let mut draws = [0, 1].into_iter().chain(std::iter::repeat(0));
        let order = choose(NONE, &others, |_| draws.next().unwrap_or(0));
        // 0 and 1 were drawn; the third, though idle, is only there for when they can't be reached.
        assert_eq!(order[..2], [1, 0]);
    }

    #[test]
    fn those_that_hold_the_module_go_before_idle_ones_and_any_before_none() {
        assert_eq!(choose(NONE, &[other(0, false), other(5, true)], |_| 0), [1]);
        assert_eq!(choose(NONE, &[other(0, false)], |_| 0), [0]);
        assert_eq!(choose(NONE, &[], |_| 0), Vec::<usize>::new());
    }

    /// Two choices keep the fullest of many nodes near the mean where one choice does not.
    #[test]
    fn two_choices_balance() {
        let most = |choices: bool| {
            let mut busy = vec![0u32; 64];
            let mut state = 1u64;
            let mut draw = |n: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % n
            };
            for _ in 0..64 * 16 {
                let others: Vec<_> = busy.iter().map(|b| other(*b, true)).collect();
                let at = if choices { choose(NONE, &others, &mut draw)[0] } else { draw(64) };
                busy[at] += 1;
            }
            busy.into_iter().max().unwrap_or(0)
        };
        assert!(most(true) <= 20, "{}", most(true));
        assert!(most(false) > 22, "{}", most(false));
    }
}
