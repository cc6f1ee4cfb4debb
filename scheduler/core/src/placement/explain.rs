//! `explain`: the verdicts and scores of every node, for display. It uses the same filters and scores as placement.

use super::{Request, Requirement, depth, filters, scores};
use crate::{
    Core,
    node::{Demand, PerNode},
};
use fabric_types::{
    gpu::GpuRequirement,
    rest::node::{Explanation, NodeVerdict, Score, Verdict},
};

fn verdict(filter: &str, passed: bool, reason: impl Into<String>) -> Verdict {
    Verdict { filter: filter.to_owned(), passed, reason: reason.into() }
}

impl Core {
    /// Explains the placement of an attempt now, examining every node. Ties go to the node that joined first, whereas a
    /// real placement rotates among them.
    #[must_use]
    pub fn explain(&self, requirement: &Requirement) -> Explanation {
        let hints: Vec<u32> = requirement.hints.iter().filter_map(|id| self.nodes.find(id)).collect();
        let per_node = PerNode::default();
        let request = Request {
            demand: Demand {
                slots: requirement.cpu_slots.max(1),
                memory: requirement.memory_bytes,
                gpus: requirement.gpus,
            },
            labels: &requirement.labels,
            kind: requirement.kind,
            gpu: requirement.gpu,
            work_us: None,
            excluded: requirement.excluded.as_ref().and_then(|id| self.nodes.find(id)),
            least_speed: 0.0,
            hints: &hints,
            per_node: &per_node,
        };
        let tenant = self.queue.find(&requirement.tenant);
        let refusal = tenant.and_then(|t| t.refusal(request.demand));
        let quota = match (&refusal, tenant.map(|t| t.room(request.demand))) {
            (Some(refusal), _) => refusal.clone(),
            (None, None | Some(u64::MAX)) => "the tenant has no limit".to_owned(),
            (None, Some(room)) => format!("the tenant's limit allows {}", crate::queue::count(room, "more attempt")),
        };
        let mut nodes = Vec::new();
        let mut winner: Option<(f64, usize)> = None;
        for (ix, node) in self.nodes.iter() {
            let room = filters::room(node, &request, depth(&self.config, &request, node.measured_speed()));
            let alone = self.nodes.ready() <= 1;
            let list = vec![
                verdict("Ready", filters::ready(node), filters::ready_reason(node)),
                verdict(
                    "Fits",
                    room.is_some() && filters::shared_gpu(node, &request),
                    filters::room_reason(node, &request),
                ),
                verdict("TenantQuota", refusal.is_none(), &quota),
                verdict("Labels", filters::labels(node, &request), filters::labels_reason(node, &request)),
                verdict(
                    "ModuleKind",
                    filters::module_kind(node, &request),
                    filters::module_kind_reason(node, &request),
                ),
                verdict(
                    "NotExcluded",
                    alone || filters::not_excluded(ix, &request),
                    match (filters::not_excluded(ix, &request), alone) {
                        (true, _) => "the task's last attempt did not fail here",
                        (false, true) => "the task failed here, but there is no other node",
                        (false, false) => "the task's last attempt failed here",
                    },
                ),
            ];
            let passed = list.iter().all(|v| v.passed);
            let scored =
                if passed { scores::all(&self.config, &self.nodes, node, ix, &request, 0).to_vec() } else { vec![] };
            let total = passed.then(|| scores::total(&scored));
            if let Some(total) = total
                && winner.is_none_or(|(best, _)| total > best)
            {
                winner = Some((total, nodes.len()));
            }
            nodes.push(NodeVerdict {
                node: node.id.clone(),
                filters: list,
                scores: scored
                    .iter()
                    // The GPU score does not apply to functions that do not use a GPU.
                    .filter(|s| s.name != scores::GPU || request.gpu != GpuRequirement::None)
                    .map(|s| Score { name: s.name.to_owned(), value: s.value, weight: s.weight })
                    .collect(),
                total,
            });
        }
        let winner = winner.and_then(|(_, at)| nodes.get(at)).map(|n: &NodeVerdict| n.node.clone());
        let passing = nodes.iter().filter(|n| n.total.is_some()).count();
        let remark = match &winner {
            Some(node) => format!("{passing} of {} nodes pass every filter; {node} has the best score", nodes.len()),
            None if nodes.is_empty() => "there are no nodes".to_owned(),
            None if refusal.is_some() => quota,
            None => format!("none of {} nodes passes every filter now", nodes.len()),
        };
        Explanation { nodes, winner, remark, job: None }
    }
}
