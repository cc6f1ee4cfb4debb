//! Plans a submission: checks the specification, splits the data set, and stores the body of an invocation.

use super::{Submission, Work};
use crate::{
    job::{self, JobKind, Meta, Planned},
    options::Parts,
};
use fabric_results::NewResult;
use fabric_store::PlanOptions;
use fabric_types::{
    Code, Fault, canonical,
    dataset::InputSpec,
    digest::{ContentDigest, TaskKey},
    function::{Deployment, EntryKind, FunctionRef, Selector},
    job::JobSpec,
    label,
};
use serde_json::{Map, Value};
use std::sync::Arc;

fn bad(message: impl Into<String>, hint: &str) -> Fault {
    Fault::new(Code::BadRequest, message).hint(hint)
}

/// Checks the constraints that the types of a specification do not express.
///
/// # Errors
/// `bad-request` with the field, or `no-entry` if the function cannot do what the specification requests.
pub fn check(deployment: &Deployment, spec: &JobSpec) -> Result<(), Fault> {
    let name = &deployment.function;
    if deployment.entry.kind == EntryKind::Http {
        return Err(Fault::new(Code::NoEntry, format!("function {name} is an http function and can't be mapped"))
            .hint(format!("call it at /f/{}/{name}/", deployment.tenant)));
    }
    if !deployment.entry.mapper {
        return Err(Fault::new(Code::NoEntry, format!("function {name} exports no mapper"))
            .hint("export fabric:task/mapper; with the SDK, put #[fabric::map] on a function"));
    }
    if (spec.reduce.is_some() || spec.shuffle.is_some()) && !deployment.entry.reducer {
        return Err(Fault::new(Code::NoEntry, format!("function {name} exports no reducer"))
            .hint("run it without reduce, or put #[fabric::reduce] on a merge function"));
    }
    if spec.reduce.is_some() && spec.shuffle.is_some() {
        return Err(bad(
            "a job has either `reduce` or `shuffle`",
            "a shuffle already reduces each key: leave `reduce` out",
        ));
    }
    if spec.reduce.is_some_and(|r| !(2..=1024).contains(&r.fan_in)) {
        return Err(bad("`reduce.fan-in` is out of range", "use 2 to 1024"));
    }
    if spec.shuffle.is_some_and(|s| !(1..=4096).contains(&s.partitions)) {
        return Err(bad("`shuffle.partitions` is out of range", "use 1 to 4096"));
    }
    if !(1..=100).contains(&spec.max_attempts) {
        return Err(bad("`max-attempts` is out of range", "use 1 to 100"));
    }
    if !(-100..=100).contains(&spec.priority) {
        return Err(bad("`priority` is out of range", "use -100 to 100"));
    }
    if spec.name.as_ref().is_some_and(|n| n.is_empty() || n.len() > 200) {
        return Err(bad("`name` is out of range", "use 1 to 200 bytes"));
    }
    if spec.tags.len() > 32 || spec.tags.iter().any(|t| t.is_empty() || t.len() > 64) {
        return Err(bad("`tags` is out of range", "give at most 32 tags of 1 to 64 bytes each"));
    }
    if spec.budget_fuel == Some(0) {
        return Err(bad("`budget-fuel` is 0", "leave it out for no budget"));
    }
    label::check_all(&spec.node_selector)
        .map_err(|problem| bad(format!("`node-selector`: {problem}"), "as in {\"zone\": \"a\"}"))?;
    job::node_selector(deployment, &spec.node_selector)?;
    if let Some(output) = &spec.output {
        fabric_store::ObjectPath::new(output.trim_end_matches('/')).map_err(Fault::from)?;
    }
    Ok(())
}

/// Length in bytes up to which views of a job show a parameter in full.
const SHOWN: usize = 4096;
/// Approximate length in bytes to which a longer parameter is cut.
const BEGINNING: usize = 64;

/// Cuts long parameters, which every view and every list of the job would otherwise carry. Tasks receive them in full.
fn shorten(params: &mut Map<String, Value>) {
    for value in params.values_mut() {
        let text = match value {
            Value::String(text) => text.as_str(),
            Value::Number(number) => number.as_str(),
            _ => continue,
        };
        if text.len() > SHOWN {
            let (beginning, _) = text.split_at(text.floor_char_boundary(BEGINNING));
            *value = Value::String(format!("{beginning}… ({} bytes)", text.len()));
        }
    }
}

fn base(
    parts: &Parts,
    submission: &Submission,
    kind: JobKind,
    mut spec: JobSpec,
    map_tasks: u32,
    bytes_in: u64,
) -> Meta {
    let deployment = submission.deployment.clone();
    let params = canonical::object(&spec.params).into();
    shorten(&mut spec.params);
    Meta {
        id: submission.id.clone(),
        tenant: submission.tenant.clone(),
        submitter: submission.submitter.clone(),
        params,
        engine: (parts.fingerprint)(deployment.engine_class()),
        deployment,
        kind,
        spec,
        created_ms: crate::clock::now_ms(),
        map_tasks,
        bytes_in,
    }
}

/// Splits the data set of a specification.
///
/// # Errors
/// The planner's fault, or `invalid-input-spec` for too many partitions.
pub async fn split(parts: &Parts, submission: &Submission, spec: &JobSpec) -> Result<fabric_store::Plan, Fault> {
    let objects = parts.store.objects(&submission.tenant);
    let options = PlanOptions { max_partitions: parts.max_tasks as usize, ..PlanOptions::default() };
    fabric_store::plan(&spec.input, &objects, &options).await.map_err(Fault::from)
}

/// Plans a submission.
///
/// # Errors
/// A caller fault for an invalid submission, or the store's fault.
pub async fn prepare(parts: &Parts, submission: &Submission) -> Result<Planned, Fault> {
    match &submission.work {
        Work::Map(spec) => {
            check(&submission.deployment, spec)?;
            let plan = split(parts, submission, spec).await?;
            let mut spec = spec.clone();
            if let InputSpec::Items(items) = &mut spec.input {
                // The partitions hold the items, so views of the job do not need to repeat all of them.
                items.truncate(100);
            }
            let count = u32::try_from(plan.partitions.len())
                .map_err(|_| Fault::new(Code::InvalidInputSpec, "too many partitions"))?;
            let meta = base(parts, submission, JobKind::Map, spec, count, plan.bytes_in);
            Ok(Planned { meta: Arc::new(meta), partitions: plan.partitions.into() })
        }
        Work::Audit { of, spec, partitions } => {
            let (count, bytes) = (partitions.len() as u32, partitions.iter().map(|p| p.bytes()).sum());
            let meta = base(parts, submission, JobKind::Audit { of: of.clone() }, (**spec).clone(), count, bytes);
            Ok(Planned { meta: Arc::new(meta), partitions: partitions.clone() })
        }
        Work::Invoke { body, content_type, params } => {
            let bytes_in = body.len() as u64;
            // The body is a result of its own, named by its content, so that equal bodies are stored once.
            let mut key = *ContentDigest::of(body).0.first_chunk::<32>().unwrap_or(&[0; 32]);
            key = *blake3::keyed_hash(&key, b"fabric invocation body 1").as_bytes();
            let fresh =
                NewResult { key: TaskKey(key), bytes: body.clone(), content_type: None, buckets: Vec::new(), fuel: 0 };
            let committed = parts.results.commit(&submission.tenant, vec![fresh]).await?;
            let body = committed
                .first()
                .map(|c| c.output)
                .ok_or_else(|| Fault::new(Code::Internal, "the body was not stored"))?;
            let function = FunctionRef {
                name: submission.deployment.function.clone(),
                selector: Selector::Version(submission.deployment.version),
            };
            let spec = JobSpec { params: params.clone(), ..JobSpec::new(function) };
            let kind = JobKind::Invoke { body, content_type: content_type.clone() };
            let meta = base(parts, submission, kind, spec, 1, bytes_in);
            Ok(Planned { meta: Arc::new(meta), partitions: Arc::default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_parameters_are_cut_to_their_beginning_and_length() {
        let long = "é".repeat(SHOWN);
        let Value::Object(mut params) = json!({"long": long, "short": "s", "most": "m".repeat(SHOWN), "n": 1}) else {
            unreachable!()
        };
        shorten(&mut params);
        assert_eq!(params["long"], format!("{}… (8192 bytes)", "é".repeat(BEGINNING / 2)));
        assert_eq!(params["most"].as_str().unwrap().len(), SHOWN);
        assert_eq!((&params["short"], &params["n"]), (&json!("s"), &json!(1)));
        let digits = "7".repeat(SHOWN + 1);
        let mut params = serde_json::from_str(&format!("{{\"n\":{digits}}}")).unwrap();
        shorten(&mut params);
        assert_eq!(params["n"], format!("{}… (4097 bytes)", "7".repeat(BEGINNING)));
    }
}
