//! Process deaths, stored in the embedded registry.

use fabric_backend::deaths::{DEATHS, Death, DeathReporter, RunningTask, all, record, retract};
use fabric_embedded::Embedded;
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::TaskId,
};

fn death(started_ms: u64, reported_by: DeathReporter, tasks: &[u32]) -> Death {
    let task = |index: &u32| RunningTask {
        tenant: TenantId::new("acme").unwrap(),
        job: JobId::from_parts(1, 1),
        task: TaskId { stage: 0, index: *index },
    };
    Death { started_ms, at_ms: started_ms, reported_by, tasks: tasks.iter().map(task).collect(), calls: 0 }
}

#[tokio::test]
async fn what_a_node_says_of_itself_stands() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Embedded::open(&folder.path().join("state.db")).unwrap();
    let (registry, node) = (backend.registry.as_ref(), NodeId::new("n-1").unwrap());
    record(registry, &node, death(1, DeathReporter::Owner, &[1, 2, 3])).await.unwrap();
    record(registry, &node, death(2, DeathReporter::Owner, &[4])).await.unwrap();
    record(registry, &node, death(1, DeathReporter::Node, &[2])).await.unwrap();
    let again = record(registry, &node, death(1, DeathReporter::Owner, &[5])).await.unwrap();
    assert_eq!(again, [death(1, DeathReporter::Node, &[2]), death(2, DeathReporter::Owner, &[4])]);
    assert!(again.iter().all(Death::is_alone));
    retract(registry, &node, 1).await.unwrap();
    assert_eq!(retract(registry, &node, 2).await.unwrap(), [death(1, DeathReporter::Node, &[2])]);
    for started in 3..40 {
        record(registry, &node, death(started, DeathReporter::Node, &[])).await.unwrap();
    }
    let known = all(registry).await.unwrap();
    assert_eq!(known.iter().map(|(_, deaths)| deaths.len()).collect::<Vec<_>>(), [DEATHS]);
}
