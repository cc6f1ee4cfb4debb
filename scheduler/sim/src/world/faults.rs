//! Faults of nodes, owners, the network and the clock.

use super::{SECOND_US, World, WorldEvent};

/// A fault at a time that is drawn before the run.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// A node is killed.
    Crash { node: usize },
    /// A node freezes.
    Freeze { node: usize },
    /// A node cannot reach NATS.
    CutLanes { node: usize },
    /// A node cannot reach the store.
    CutStore { node: usize },
    /// The owner is killed.
    OwnerDies,
    /// The owner freezes for so long that another takes over.
    OwnerFreezes,
    /// The frozen owner continues.
    OwnerThaws,
    /// NATS is unavailable.
    Outage,
    /// The network loses and delays messages.
    Storm,
    /// The owner's clock jumps.
    ClockJumps,
}

/// The state of the network. Each fault lasts until the given time.
#[derive(Debug, Default)]
pub(super) struct Network {
    gone_until: u64,
    bad_until: u64,
}

impl World<'_> {
    /// Draws the time of each fault within `span`, and the node that it affects.
    pub(super) fn plan_faults(&mut self, span: u64) {
        let scenario = self.scenario;
        let some = |times, fault: fn(usize) -> Fault| (times, fault);
        let kinds = [
            some(scenario.node_crashes, |node| Fault::Crash { node }),
            some(scenario.freezes, |node| Fault::Freeze { node }),
            some(scenario.lane_cuts, |node| Fault::CutLanes { node }),
            some(scenario.store_cuts, |node| Fault::CutStore { node }),
            some(scenario.owner_deaths, |_| Fault::OwnerDies),
            some(scenario.owner_freezes, |_| Fault::OwnerFreezes),
            some(scenario.outages, |_| Fault::Outage),
            some(scenario.storms, |_| Fault::Storm),
            some(scenario.clock_jumps, |_| Fault::ClockJumps),
        ];
        for (times, fault) in kinds {
            for _ in 0..times {
                let (node, at) = (self.below(u64::from(scenario.nodes)), self.below(span));
                self.at(at, WorldEvent::Fault(fault(usize::try_from(node).unwrap_or(0))));
            }
        }
    }

    /// Sends a message over the network between the owner and `node`. It may be dropped, delayed or duplicated.
    pub(super) fn send(&mut self, node: usize, msg: WorldEvent) {
        let now = self.now;
        let cut = self.nodes.get(node).is_some_and(|n| n.lanes_cut_until > now) || self.network.gone_until > now;
        let bad = self.network.bad_until > now;
        let (drop, delay) = (
            self.scenario.drop.max(if bad { 333 } else { 0 }),
            self.scenario.delay_us.max(if bad { 5 * SECOND_US } else { 0 }),
        );
        if cut || self.chance(drop) {
            self.report.lost += 1;
            return;
        }
        for _ in 0..=u32::from(self.chance(self.scenario.duplicate)) {
            let wait = 100 + self.below(delay + 1);
            self.at(now + wait, msg.clone());
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now;
        let long =
            |world: &mut Self, least: u64, most: u64| now + world.below((most - least) * SECOND_US) + least * SECOND_US;
        match fault {
            Fault::Crash { node } => {
                let back = long(self, 1, 21);
                self.die(node, back);
            }
            Fault::Freeze { node } => {
                let until = long(self, 16, 56);
                if let Some(n) = self.nodes.get_mut(node) {
                    n.frozen_until = until;
                }
            }
            Fault::CutLanes { node } => {
                let until = long(self, 0, 40);
                if let Some(n) = self.nodes.get_mut(node) {
                    n.lanes_cut_until = until;
                }
            }
            Fault::CutStore { node } => {
                let until = long(self, 0, 40);
                if let Some(n) = self.nodes.get_mut(node) {
                    n.store_cut_until = until;
                }
            }
            Fault::OwnerDies => {
                if self.owner.dies() {
                    let over = long(self, 0, 18);
                    self.at(over, WorldEvent::TakeOver);
                }
            }
            Fault::OwnerFreezes => {
                if self.owner.freezes() {
                    let over = long(self, 9, 18);
                    self.at(over, WorldEvent::TakeOver);
                    let thaws = over + self.below(20 * SECOND_US);
                    self.at(thaws, WorldEvent::Fault(Fault::OwnerThaws));
                }
            }
            Fault::OwnerThaws => self.owner_thaws()?,
            Fault::Outage => self.network.gone_until = long(self, 0, 60),
            Fault::Storm => self.network.bad_until = long(self, 0, 30),
            Fault::ClockJumps => {
                let by = i64::try_from(self.below(120 * SECOND_US)).unwrap_or(0) - 60_000_000;
                self.owner.jump(by);
            }
        }
        Ok(())
    }
}
