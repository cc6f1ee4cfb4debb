//! Cost estimates of jobs, from earlier jobs of the function.

use fabric_types::{
    job::{JobSpec, JobState},
    price::Prices,
    rest::job::{Estimate, Job, JobPlan},
};

/// Maximum earlier jobs considered, newest first.
pub const JOBS: usize = 20;

/// The total cost of the tasks of earlier jobs.
#[derive(Default)]
struct EarlierCost {
    jobs: u64,
    tasks: u64,
    bytes: u64,
    fuel: u64,
    guest_us: u64,
}

/// Maximum ratio of input bytes per task for jobs that count as similar.
const SIMILAR: f64 = 4.0;

/// The similarity of earlier jobs to the planned one.
enum Similarity {
    Alike,
    OtherSize,
    Other,
}

/// Returns the number of tasks of a job that ran.
fn ran_of(job: &Job) -> u64 {
    job.tasks.succeeded.saturating_sub(job.tasks.cached)
}

fn bytes_per_task(bytes: u64, tasks: u64) -> f64 {
    bytes.max(1) as f64 / tasks.max(1) as f64
}

/// Returns `true` if earlier tasks did the same work: the same version, merged alike.
fn is_alike(job: &Job, version: u32, spec: &JobSpec) -> bool {
    job.version == version
        && job.spec.reduce.is_some() == spec.reduce.is_some()
        && job.spec.shuffle.is_some() == spec.shuffle.is_some()
}

/// Estimates a job of `version` from `earlier` jobs of its function, for the tasks that are not cached. The estimate
/// scales with input bytes if both have some, else with tasks. `slots` tasks run at once.
pub fn estimate(
    plan: &JobPlan,
    spec: &JobSpec,
    version: u32,
    earlier: &[Job],
    slots: u64,
    prices: Option<&Prices>,
) -> Option<Estimate> {
    let ran =
        |job: &&Job| job.state == JobState::Succeeded && job.cost.fuel > 0 && job.tasks.succeeded > job.tasks.cached;
    // The fixed cost of a task makes small jobs a poor estimate for large ones.
    let sized = |job: &&Job| {
        let (one, other) =
            (bytes_per_task(job.cost.bytes_in, ran_of(job)), bytes_per_task(plan.bytes_in, plan.partitions));
        one / other <= SIMILAR && other / one <= SIMILAR
    };
    let all: Vec<&Job> = earlier.iter().filter(ran).collect();
    let same: Vec<&Job> = all.iter().copied().filter(|job| is_alike(job, version, spec)).collect();
    let similar: Vec<&Job> = same.iter().copied().filter(sized).collect();
    let (alike, fit) = match (similar.is_empty(), same.is_empty()) {
        (false, _) => (similar, Similarity::Alike),
        (true, false) => (same, Similarity::OtherSize),
        (true, true) => (all, Similarity::Other),
    };
    let taken = alike.iter().fold(EarlierCost::default(), |sum, job| EarlierCost {
        jobs: sum.jobs + 1,
        tasks: sum.tasks + ran_of(job),
        bytes: sum.bytes.saturating_add(job.cost.bytes_in),
        fuel: sum.fuel.saturating_add(job.cost.fuel),
        guest_us: sum.guest_us.saturating_add(job.cost.wall_us),
    });
    let newest = alike.first()?;
    // If the whole map is cached, so is everything computed from it.
    let to_run = if plan.cached >= plan.partitions { 0 } else { plan.tasks.saturating_sub(plan.cached) };
    let share = to_run as f64 / plan.tasks.max(1) as f64;
    let (factor, unit) = if plan.bytes_in > 0 && taken.bytes > 0 {
        (plan.bytes_in as f64 * share / taken.bytes as f64, "per byte of input")
    } else {
        (to_run as f64 / taken.tasks.max(1) as f64, "per task")
    };
    let fuel = (taken.fuel as f64 * factor) as u64;
    let guest_us = (taken.guest_us as f64 * factor) as u64;
    let jobs = if taken.jobs == 1 { "1 earlier job".to_owned() } else { format!("{} earlier jobs", taken.jobs) };
    let of = match fit {
        Similarity::Alike => format!("{}@{version}", newest.function),
        Similarity::OtherSize => format!("{}@{version} with tasks of another size, so only roughly", newest.function),
        Similarity::Other => format!("{}, none of them like this one", newest.function),
    };
    let at_once = slots.min(to_run).max(1);
    Some(Estimate {
        fuel,
        guest_us,
        run_ms: guest_us / at_once / 1000,
        price: prices.map(|prices| prices.of(fuel, 0)),
        currency: prices.map(|prices| prices.currency.clone()),
        basis: format!("{jobs} of {of}, {unit}; {at_once} at once"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fabric_types::{dataset::InputSpec, job::ReduceSpec};

    fn job(version: u32, tasks: u64, cached: u64, bytes: u64, fuel: u64) -> Job {
        let counts = serde_json::json!({
            "total": tasks, "waiting": 0, "running": 0, "succeeded": tasks, "cached": cached, "failed": 0, "retries": 0
        });
        serde_json::from_value(serde_json::json!({
            "id": fabric_types::id::JobId::from_parts(1, 2), "name": "f", "function": "f", "version": version,
            "submitter": "s", "state": "succeeded", "remark": "", "tasks": counts,
            "cost": { "fuel": fuel, "guest_us": fuel * 10, "bytes_in": bytes, "bytes_out": 0 },
            "tags": [], "created_ms": 0, "queue_ms": 0, "run_ms": 0, "results": 1,
            "spec": { "function": "f", "input": { "items": [1] } }
        }))
        .unwrap()
    }

    fn plan(tasks: u64, cached: u64, bytes_in: u64) -> JobPlan {
        JobPlan { partitions: tasks, tasks, bytes_in, cached, estimate: None }
    }

    fn spec() -> JobSpec {
        JobSpec { input: InputSpec::Items(Vec::new()), ..JobSpec::new("f".parse().unwrap()) }
    }

    #[test]
    fn bytes_count_where_there_are_some_and_tasks_elsewhere() {
        let earlier = [job(2, 10, 0, 1000, 5000), job(1, 10, 0, 1000, 999_999)];
        let found = estimate(&plan(40, 20, 4000), &spec(), 2, &earlier, 4, None).unwrap();
        assert_eq!((found.fuel, found.guest_us, found.run_ms), (10_000, 100_000, 25));
        assert_eq!(found.basis, "1 earlier job of f@2, per byte of input; 4 at once");
        let prices = Prices { fuel: 1e9, ..Prices::default() };
        let found = estimate(&plan(2, 0, 0), &spec(), 2, &[job(2, 10, 5, 0, 5000)], 4, Some(&prices)).unwrap();
        assert_eq!((found.fuel, found.price, found.currency.as_deref()), (2000, Some(2000.0), Some("EUR")));
        assert_eq!(found.basis, "1 earlier job of f@2, per task; 2 at once");
    }

    #[test]
    fn only_what_ran_counts_and_other_versions_are_named_as_such() {
        assert!(estimate(&plan(2, 0, 0), &spec(), 1, &[job(1, 10, 10, 0, 0)], 1, None).is_none());
        let failed = Job { state: JobState::Failed, ..job(1, 1, 0, 0, 5) };
        assert!(estimate(&plan(2, 0, 0), &spec(), 1, &[failed], 1, None).is_none());
        let merged = JobSpec { reduce: Some(ReduceSpec::default()), ..spec() };
        let found = estimate(&plan(2, 0, 0), &merged, 1, &[job(1, 1, 0, 0, 5), job(2, 1, 0, 0, 7)], 1, None).unwrap();
        assert_eq!(
            (found.fuel, found.basis.as_str()),
            (12, "2 earlier jobs of f, none of them like this one, per task; 1 at once")
        );
    }

    #[test]
    fn small_tasks_say_little_of_large_ones() {
        let earlier = [job(1, 1, 0, 22, 1_000_000), job(1, 10, 0, 10_000, 5_000)];
        let found = estimate(&plan(4, 0, 4_000), &spec(), 1, &earlier, 1, None).unwrap();
        assert_eq!((found.fuel, found.basis.as_str()), (2_000, "1 earlier job of f@1, per byte of input; 1 at once"));
        let found = estimate(&plan(1, 0, 1_000_000), &spec(), 1, &earlier, 1, None).unwrap();
        assert!(found.basis.contains("with tasks of another size, so only roughly"), "{}", found.basis);
    }

    #[test]
    fn what_is_all_in_the_cache_takes_nothing() {
        let found = estimate(&plan(4, 4, 100), &spec(), 1, &[job(1, 1, 0, 10, 5)], 1, None).unwrap();
        assert_eq!((found.fuel, found.run_ms), (0, 0));
    }
}
