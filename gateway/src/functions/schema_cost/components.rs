//! Graph algorithms over subschemas: cycles, and counts over all paths.

/// Returns the strongly connected components of a graph, each after all components that it leads to (Tarjan's
/// algorithm, without recursion).
pub(super) fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let mut index = vec![UNSEEN; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0);
    let at = |list: &[usize], i: usize| list.get(i).copied().unwrap_or(0);
    for root in 0..edges.len() {
        if at(&index, root) != UNSEEN {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                if let (Some(i), Some(l), Some(s)) = (index.get_mut(node), low.get_mut(node), on_stack.get_mut(node)) {
                    (*i, *l, *s) = (next, next, true);
                }
                next += 1;
                stack.push(node);
            }
            match edges.get(node).and_then(|e| e.get(edge)).copied() {
                Some(to) if at(&index, to) == UNSEEN => {
                    path.push((node, edge + 1));
                    path.push((to, 0));
                }
                Some(to) => {
                    if on_stack.get(to).copied().unwrap_or(false) {
                        let least = at(&low, node).min(at(&index, to));
                        low.get_mut(node).into_iter().for_each(|l| *l = least);
                    }
                    path.push((node, edge + 1));
                }
                None => {
                    if at(&low, node) == at(&index, node) {
                        let from = stack.iter().rposition(|n| *n == node).unwrap_or(0);
                        let members = stack.split_off(from);
                        for member in &members {
                            on_stack.get_mut(*member).into_iter().for_each(|s| *s = false);
                        }
                        found.push(members);
                    }
                    if let Some((parent, _)) = path.last() {
                        let least = at(&low, *parent).min(at(&low, node));
                        low.get_mut(*parent).into_iter().for_each(|l| *l = least);
                    }
                }
            }
        }
    }
    found
}

/// Counts the nodes that each node leads to, itself included, once per path. `None` for a node on a cycle.
pub(super) fn path_counts(edges: &[Vec<usize>], parts: &[Vec<usize>]) -> Vec<Option<u64>> {
    let mut counts: Vec<Option<u64>> = vec![None; edges.len()];
    for part in parts {
        let [node] = part.as_slice() else { continue };
        let to = edges.get(*node).map(Vec::as_slice).unwrap_or_default();
        if to.contains(node) {
            continue;
        }
        // A path into a cycle is counted up to the cycle: its length beyond depends on the value.
        let below = to.iter().filter_map(|n| counts.get(*n).copied().flatten());
        let count = below.fold(1, u64::saturating_add);
        counts.get_mut(*node).into_iter().for_each(|c| *c = Some(count));
    }
    counts
}
