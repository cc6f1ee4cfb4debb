//! Process deaths, stored in the embedded registry.
#![allow(clippy::unwrap_used)]

use fabric_backend::deaths::{DEATHS, Death, RunningTask, Witness, all, lives, note};
use fabric_embedded::Embedded;
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};

fn death(started_ms: u64, witness: Witness, tasks: &[u32]) -> Death {
    let task = |index: &u32| RunningTask {
        tenant: TenantId::new("acme").unwrap(),
        job: JobId::from_parts(1, 1),
        task: TaskId { stage: 0, index: *index },
    };
    Death { started_ms, at_ms: started_ms, witness, tasks: tasks.iter().map(task).collect(), calls: 0 }
}

#[tokio::test]
async fn what_a_node_says_of_itself_stands() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Embedded::open(&folder.path().join("state.db")).unwrap();
    let (registry, node) = (backend.registry.as_ref(), NodeId::new("n-1").unwrap());
    note(registry, &node, death(1, Witness::Owner, &[1, 2, 3])).await.unwrap();
    note(registry, &node, death(2, Witness::Owner, &[4])).await.unwrap();
    note(registry, &node, death(1, Witness::Node, &[2])).await.unwrap();
    let again = note(registry, &node, death(1, Witness::Owner, &[5])).await.unwrap();
    assert_eq!(again, [death(1, Witness::Node, &[2]), death(2, Witness::Owner, &[4])]);
    assert!(again.iter().all(Death::is_alone));
    lives(registry, &node, 1).await.unwrap();
    assert_eq!(lives(registry, &node, 2).await.unwrap(), [death(1, Witness::Node, &[2])]);
    for started in 3..40 {
        note(registry, &node, death(started, Witness::Node, &[])).await.unwrap();
    }
    let known = all(registry).await.unwrap();
    assert_eq!(known.iter().map(|(_, deaths)| deaths.len()).collect::<Vec<_>>(), [DEATHS]);
}
