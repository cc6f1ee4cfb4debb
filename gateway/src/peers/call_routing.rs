//! Routing of synchronous calls. A call runs in this process if it is a node with room, else on the better of two nodes
//! drawn at random (the power of two choices: Mitzenmacher 1996), with preference for nodes that hold the module in
//! memory.

use super::{Peer, Peers, forward::ForwardedRequest};
use crate::{Error, error::Result, functions::ResolvedVersion};
use axum::{body::Body, response::Response};
use fabric_node::{NodeHandle, Occupancy};
use fabric_types::{
    Code,
    function::Deployment,
    gpu::{GpuRequirement, GpuSupport},
    label::{self, Labels},
    manifest::Resources,
    node::{NodeFacts, warm_name},
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

/// Calls and tasks per slot up to which a node runs a call itself: one that runs and one that waits.
const BUSY: u32 = 2;
/// Maximum nodes that a call is offered to if connections fail: presence detects a dead node only after some seconds.
const OFFERS: usize = 4;

/// Returns the work per slot.
fn load(room: Occupancy) -> f64 {
    f64::from(room.busy) / f64::from(room.slots.max(1))
}

fn is_free(room: Occupancy) -> bool {
    room.slots > 0 && room.busy < room.slots.saturating_mul(BUSY)
}

/// A node that could run a call.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    room: Occupancy,
    warm: bool,
}

/// Returns the candidates to offer a call to, best first; empty if the call runs in this process. `draw(n)` returns a
/// number below `n`.
fn choose(here: Occupancy, others: &[Candidate], mut draw: impl FnMut(usize) -> usize) -> Vec<usize> {
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
        // Forwarding has a cost: only to nodes with less than half the load.
        order.retain(|at| busy(*at) < load(here) / 2.0);
    }
    order
}

/// Returns `true` if a node with these labels and slots satisfies the function's resources.
fn suits(resources: &Resources, labels: &Labels, slots: u32) -> bool {
    slots >= resources.cpu_slots && resources.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Returns the GPU support of a node.
fn gpu_of(facts: &NodeFacts) -> GpuSupport {
    facts.gpu.as_ref().map_or(GpuSupport::None, |gpu| gpu.serves)
}

/// A response body that counts its call with a node until the body is dropped.
struct CountedBody {
    body: Body,
    calls: Arc<AtomicU32>,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl http_body::Body for CountedBody {
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

/// The places that may run a call.
pub(crate) struct Placement {
    /// The nodes to offer the call to, best first; empty if it runs in this process.
    pub nodes: Vec<Arc<Peer>>,
    /// `true` if the call may run in this process when no node can be reached.
    run_locally: bool,
}

/// The result of offering a call to other nodes.
pub(crate) enum Offered {
    /// A node answered.
    Answered(Response),
    /// No node took the call; the request is unchanged.
    NotTaken(Request<Body>),
}

impl Peers {
    /// Returns the nodes to offer a call to, best first; empty if the call runs in this process.
    fn candidates(&self, here: Occupancy, serves: GpuSupport, deployment: &Deployment) -> Vec<Arc<Peer>> {
        let resources = &deployment.manifest.resources;
        // The gateway of a drained node also sends calls away, as long as a node takes them.
        let mut here = if self.cordoned.read().contains(&self.name) { Occupancy { slots: 0, ..here } } else { here };
        let requirement = resources.gpu;
        if is_free(here) && serves.satisfies(requirement) {
            return Vec::new();
        }
        let name = warm_name(&deployment.module);
        let taking = |p: &&Arc<Peer>| self.is_open(&p.facts) && suits(resources, &p.facts.labels, p.facts.cpu_slots);
        let mut peers: Vec<_> = self.nodes.read().values().filter(taking).cloned().collect();
        if requirement != GpuRequirement::None {
            // Nodes that satisfy the requirement, if any. A function that only prefers a GPU runs on any other node.
            let serving: Vec<_> = peers.iter().filter(|p| gpu_of(&p.facts).satisfies(requirement)).cloned().collect();
            if requirement == GpuRequirement::Required || !serving.is_empty() {
                peers = serving;
                if !serves.satisfies(requirement) {
                    here.slots = 0;
                }
            }
        }
        let candidates: Vec<_> = peers
            .iter()
            .map(|peer| {
                let facts = &peer.facts;
                let busy = facts.running.saturating_add(facts.queued).max(peer.calls.load(Ordering::Relaxed));
                Candidate { room: Occupancy { busy, slots: facts.cpu_slots }, warm: facts.warm.contains(&name) }
            })
            .collect();
        let draw = |n: usize| usize::try_from(crate::clock::draw() % n as u64).unwrap_or(0);
        choose(here, &candidates, draw).into_iter().filter_map(|at| peers.get(at).cloned()).collect()
    }

    /// Offers a call to nodes in order until one takes it. The request carries the caller's token, and the node checks
    /// it.
    ///
    /// # Errors
    /// `unavailable` if a node failed during the call.
    async fn offer(&self, nodes: &[Arc<Peer>], request: Request<Body>) -> Result<Offered> {
        let (parts, body) = request.into_parts();
        let forwarded = ForwardedRequest::new(Request::from_parts(parts.clone(), body));
        for peer in nodes {
            let at = crate::clock::draw() as usize % self.calling.len().max(1);
            let Some((plain, secure)) = self.calling.get(at) else { break };
            let client = if peer.url.starts_with("https:") { secure } else { plain };
            peer.calls.fetch_add(1, Ordering::Relaxed);
            let count = |body| CountedBody { body, calls: Arc::clone(&peer.calls) };
            match forwarded.send(client, &peer.url).await {
                Ok(response) => return Ok(Offered::Answered(response.map(|body| Body::new(count(body))))),
                Err(e) => {
                    drop(count(Body::empty()));
                    if !forwarded.body.is_whole() || !e.is_connect() {
                        return Err(Error::new(
                            Code::Unavailable,
                            format!("node {} failed during the call: {}", peer.facts.id, e.without_url()),
                        )
                        .hint("it may have run; try again if it may run twice")
                        .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
                    }
                    tracing::debug!(node_id = %peer.facts.id, error = %e, "a node could not be reached");
                }
            }
        }
        Ok(Offered::NotTaken(Request::from_parts(parts, forwarded.body.back())))
    }
}

fn nowhere() -> Error {
    Error::new(Code::Unavailable, "no node takes calls now")
        .hint("`fabric nodes` lists them; start one with `fabric serve --role node`")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn no_gpu() -> Error {
    Error::new(Code::Unavailable, "the function requires a GPU, and no node has one for guests")
        .hint("`fabric nodes --json` shows the reason for each node")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

fn no_such_node(resources: &Resources) -> Error {
    let labels = label::show(&resources.node_selector);
    let of = if labels.is_empty() { String::new() } else { format!(" and the labels {labels}") };
    let slots = if resources.cpu_slots == 1 { "a slot".to_owned() } else { format!("{} slots", resources.cpu_slots) };
    Error::new(Code::Unavailable, format!("no node that takes calls has {slots}{of}, as the function requires"))
        .hint("`fabric nodes` shows labels and slots; change `resources` in fabric.toml, or start such a node")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

/// Returns the places that may run a call.
///
/// # Errors
/// `unavailable` if this process cannot run it and no suitable node is known.
pub(crate) fn place(
    node: &NodeHandle,
    peers: Option<&Peers>,
    version: &ResolvedVersion,
    headers: &HeaderMap,
) -> Result<Placement> {
    let (mut here, serves) = (node.room(), node.serves_gpu());
    let resources = &version.deployment.manifest.resources;
    let suits_here = suits(resources, node.labels(), here.slots);
    let Some(peers) = peers else {
        return if suits_here {
            Ok(Placement { nodes: Vec::new(), run_locally: true })
        } else {
            Err(no_such_node(resources))
        };
    };
    if crate::headers::is_forwarded(headers) {
        return if here.slots > 0 { Ok(Placement { nodes: Vec::new(), run_locally: true }) } else { Err(nowhere()) };
    }
    let requires_gpu = resources.gpu == GpuRequirement::Required;
    if !suits_here || (requires_gpu && !serves.satisfies(resources.gpu)) {
        // This process cannot run the call, however low its load.
        here.slots = 0;
    }
    let nodes = peers.candidates(here, serves, &version.deployment);
    let runs_here = here.slots > 0;
    match (nodes.is_empty() && !runs_here, requires_gpu) {
        (false, _) => Ok(Placement { nodes, run_locally: runs_here }),
        (true, _) if !suits_here && node.room().slots > 0 => Err(no_such_node(resources)),
        (true, false) => Err(nowhere()),
        (true, true) => Err(no_gpu()),
    }
}

/// Offers a call to nodes. Returns the request if it is to run in this process.
///
/// # Errors
/// `unavailable` if a node failed during the call, or if this process cannot run it either.
pub(crate) async fn offer_to(peers: Option<&Peers>, placement: &Placement, request: Request<Body>) -> Result<Offered> {
    let Some(peers) = peers.filter(|_| !placement.nodes.is_empty()) else {
        return Ok(Offered::NotTaken(request));
    };
    match peers.offer(&placement.nodes, request).await? {
        Offered::NotTaken(_) if !placement.run_locally => Err(nowhere()),
        offered => Ok(offered),
    }
}

/// Offers a call to a node that would run it sooner than this process, if there is one; else returns the request.
///
/// # Errors
/// As for [`place`] and [`offer_to`].
pub(crate) async fn offer(
    node: &NodeHandle,
    peers: Option<&Peers>,
    version: &ResolvedVersion,
    mut request: Request<Body>,
) -> Result<Offered> {
    // This process stores the record of the key. In requests to http functions the key is the function's own and stays.
    request.headers_mut().remove(HeaderName::from_static("idempotency-key"));
    let placement = place(node, peers, version, request.headers())?;
    offer_to(peers, &placement, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(busy: u32, warm: bool) -> Candidate {
        Candidate { room: Occupancy { busy, slots: 2 }, warm }
    }

    const FULL: Occupancy = Occupancy { busy: 8, slots: 2 };
    const NONE: Occupancy = Occupancy { busy: 0, slots: 0 };

    #[test]
    fn a_node_with_room_asks_nobody() {
        assert_eq!(choose(Occupancy { busy: 3, slots: 2 }, &[other(0, true)], |_| 0), Vec::<usize>::new());
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
        // 0 and 1 were drawn. The third, though idle, is used only if neither can be reached.
        assert_eq!(order[..2], [1, 0]);
    }

    #[test]
    fn those_that_hold_the_module_go_before_idle_ones_and_any_before_none() {
        assert_eq!(choose(NONE, &[other(0, false), other(5, true)], |_| 0), [1]);
        assert_eq!(choose(NONE, &[other(0, false)], |_| 0), [0]);
        assert_eq!(choose(NONE, &[], |_| 0), Vec::<usize>::new());
    }

    /// Two choices keep the fullest of many nodes near the mean; one choice does not.
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
