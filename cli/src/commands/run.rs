//! `fabric run`: maps a function over a data set and follows the job to its result.

use super::Ctx;
use crate::{
    complete,
    failure::Failure,
    job_output::{self, JobOutput},
    local_input, number,
    output::Out,
    params,
    progress::{self, JobProgress},
    times,
};
use fabric_client::Client;
use fabric_types::{
    Code, Fault,
    dataset::{InputSpec, Item, Split},
    function::FunctionRef,
    job::{JobSpec, JobState, ReduceSpec, ShuffleSpec},
    label, price,
    rest::job::{Job, JobPlan},
    units::ByteSize,
};
use std::{cell::RefCell, path::Path};

/// Flags of `fabric run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The function, as NAME, NAME@VERSION or NAME:ALIAS
    #[arg(required_unless_present = "spec", add = complete::functions())]
    pub function: Option<FunctionRef>,
    /// Input to map over: a stored object, a stored prefix ending in /, a local file or folder (stored first), or - for
    /// standard input. A name that is both stored and local means the stored one: write ./NAME for the local one
    #[arg(long, short, value_name = "PREFIX|FILE|-", conflicts_with = "items", allow_hyphen_values = true)]
    pub input: Option<String>,
    /// Split of each object: object, lines:SIZE, records:N[:SIZE], csv:SIZE[:DELIMITER], parquet, items
    /// [default: object]
    #[arg(long, value_name = "HOW", requires = "input")]
    pub split: Option<Split>,
    /// One task per item of this JSON list
    #[arg(long, value_name = "JSON|@FILE", required_unless_present_any = ["input", "spec"])]
    pub items: Option<String>,
    /// Parameter, or a file with a JSON object of parameters; a value that is valid JSON is passed as JSON, unless the
    /// function expects text
    #[arg(long = "param", short, value_name = "NAME=VALUE|@FILE", value_parser = params::parse)]
    pub params: Vec<params::Param>,
    /// Merge the partial results with the function's reducer, FAN_IN at a time [default: 16]
    #[arg(long, value_name = "FAN_IN", num_args = 0..=1, require_equals = true, default_missing_value = "16",
          value_parser = clap::value_parser!(u32).range(2..=1024), conflicts_with = "shuffle")]
    pub reduce: Option<u32>,
    /// Group the emitted records by key and reduce each group, in N tasks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub shuffle: Option<u32>,
    /// Destination of the result: a local file, or a prefix of the object store if it ends in / (./DIR/ is a local
    /// folder). Under a prefix or folder the results are part-00000 and so on; in one file, each text or JSON result
    /// has its own line [default: standard output]
    #[arg(long, short, value_name = "FILE|PREFIX")]
    pub output: Option<String>,
    /// Store the single result on the server, as this object
    #[arg(long, value_name = "PATH", conflicts_with = "output")]
    pub output_object: Option<String>,
    /// Display name [default: the function's]
    #[arg(long)]
    pub name: Option<String>,
    /// Tag to find the job by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Maximum number of concurrent tasks [default: as many as the nodes have room for]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// Maximum attempts of a task [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_attempts: Option<u32>,
    /// Tasks that may fail permanently without failing the job [default: 0]
    #[arg(long, value_name = "N")]
    pub allow_failed: Option<u32>,
    /// Priority among your jobs, -100 to 100; higher runs first [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-100..=100))]
    pub priority: Option<i32>,
    /// Fuel budget of the whole job, such as 500M or 10G [default: no limit]
    #[arg(long, value_name = "FUEL", value_parser = fabric_types::count::parse)]
    pub budget: Option<u64>,
    /// Label that a node must have to run the job's tasks, in addition to the function's own; may be repeated
    #[arg(long = "node-selector", value_name = "KEY=VALUE", value_parser = label::parse)]
    pub node_selector: Vec<(String, String)>,
    /// Run every task, even if an earlier run left its result
    #[arg(long)]
    pub no_cache: bool,
    /// Write the job's id and do not wait
    #[arg(long)]
    pub detach: bool,
    /// Show the job's size and estimated cost without running it or storing anything; fuel and time are based on
    /// earlier jobs of the function
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,
    /// Job specification in YAML or JSON; flags override or extend its values
    #[arg(long, value_name = "FILE")]
    pub spec: Option<String>,
}

/// Shows the plan of a job.
fn show_plan(out: &Out, plan: &JobPlan) -> Result<(), Failure> {
    out.line(format!("partitions  {}", number::grouped(plan.partitions)))?;
    out.line(format!("tasks       {}", number::grouped(plan.tasks)))?;
    out.line(format!("input       {}", ByteSize(plan.bytes_in)))?;
    out.line(format!("cached      {}", number::grouped(plan.cached)))?;
    let Some(estimate) = &plan.estimate else {
        return out.line("estimate    none: no earlier job of the function ran a task");
    };
    out.line(format!("fuel        about {}", number::short(estimate.fuel)))?;
    out.line(format!(
        "time        about {}, {} of guest time",
        times::format_duration(estimate.run_ms),
        times::format_duration(estimate.guest_us / 1000)
    ))?;
    if let (Some(amount), Some(currency)) = (estimate.price, &estimate.currency) {
        out.line(format!("price       about {}", price::text(amount, currency)))?;
    }
    out.line(format!("basis       {}", estimate.basis))
}

/// Runs `fabric run`.
pub async fn run(args: &RunArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let mut output = JobOutput::new(args.output.as_deref(), args.output_object.as_deref());
    // Fails before the job spends anything.
    output.check(args.detach)?;
    let spec = spec(args, &output, &client, ctx).await?;
    if let (JobOutput::Stdout, Some(path)) = (&output, &spec.output) {
        output = JobOutput::Stored(path.clone());
    }
    if args.dry_run {
        let plan = client.plan(&spec).await.map_err(|e| params::explained(e.into(), &args.params))?;
        return ctx.out.show(&plan, show_plan);
    }
    let job = client.submit(&spec, None).await.map_err(|e| params::explained(e.into(), &args.params))?;
    if args.detach {
        return ctx.out.show(&job, |out, job| out.line(job.id.as_str()));
    }
    ctx.note(format!("job {}: {}@{}", job.id, job.function, job.version));
    let job = follow(&client, job.id.as_str(), ctx).await?;
    ended(&job)?;
    ctx.note(progress::summary(&job.tasks, &job.cost, job.run_ms));
    deliver(&client, &job, &output, ctx).await?;
    if ctx.out.json { ctx.out.json(&job) } else { Ok(()) }
}

/// Builds the specification from the file and the flags.
async fn spec(args: &RunArgs, output: &JobOutput, client: &Client, ctx: &Ctx<'_>) -> Result<JobSpec, Failure> {
    let mut spec: JobSpec = match &args.spec {
        Some(file) => parse_spec(&params::text_of(file)?).map_err(|e| Failure::usage(format!("{file}: {e}")))?,
        None => {
            let function = args.function.clone().ok_or_else(|| Failure::usage("name a function"))?;
            JobSpec::new(function)
        }
    };
    if let Some(function) = &args.function {
        spec.function = function.clone();
    }
    if let Some(items) = &args.items {
        spec.input = InputSpec::Items(parse_items(items)?);
    } else if let Some(text) = &args.input {
        let input = local_input::resolve(text, client, ctx.out, ctx.global.quiet).await?;
        let path = if args.dry_run {
            local_input::stored(input, client).await?
        } else {
            local_input::upload(input, client, ctx.out, ctx.global.quiet).await?
        };
        spec.input = InputSpec::Objects { path, split: args.split.unwrap_or(Split::Object) };
    }
    spec.params.extend(params::object(&args.params, client, &spec.function).await?);
    spec.reduce = args.reduce.map(|fan_in| ReduceSpec { fan_in }).or(spec.reduce);
    spec.shuffle = args.shuffle.map(|partitions| ShuffleSpec { partitions }).or(spec.shuffle);
    // `reduce` and `shuffle` exclude each other: a flag for one removes the file's value for the other.
    if args.shuffle.is_some() {
        spec.reduce = None;
    } else if args.reduce.is_some() {
        spec.shuffle = None;
    }
    if let JobOutput::Stored(path) = output {
        spec.output = Some(path.clone());
    }
    spec.name = args.name.clone().or(spec.name);
    spec.tags.extend(args.tags.iter().cloned());
    spec.concurrency = args.concurrency.unwrap_or(spec.concurrency);
    spec.max_attempts = args.max_attempts.unwrap_or(spec.max_attempts);
    spec.allow_failed = args.allow_failed.unwrap_or(spec.allow_failed);
    spec.priority = args.priority.unwrap_or(spec.priority);
    spec.budget_fuel = args.budget.or(spec.budget_fuel);
    spec.node_selector.extend(args.node_selector.iter().cloned());
    spec.cache &= !args.no_cache;
    Ok(spec)
}

/// Parses a specification in the REST API's form, written as JSON or YAML.
fn parse_spec(text: &str) -> Result<JobSpec, String> {
    // JSON is also YAML, but the JSON parser accepts longer texts.
    if text.trim_start().starts_with('{') {
        let json = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text));
        return json.or_else(|e| JobSpec::from_yaml(text.as_bytes()).map_err(|_| e.to_string()));
    }
    JobSpec::from_yaml(text.as_bytes()).map_err(|e| e.to_string())
}

fn parse_items(text: &str) -> Result<Vec<Item>, Failure> {
    let (what, json) = match text.strip_prefix('@') {
        Some(file) => (file, params::text_of(file)?),
        None => ("--items", text.to_owned()),
    };
    serde_json::from_str(&json)
        .map_err(|e| Failure::usage(format!("{what}: {e}")).hint("give a JSON list, such as [1,2,3] or [\"a\",\"b\"]"))
}

/// Follows a job to its end.
///
/// # Errors
/// `interrupted` if the user stops watching the job.
pub async fn follow(client: &Client, id: &str, ctx: &Ctx<'_>) -> Result<Job, Failure> {
    let progress = RefCell::new(JobProgress::new(ctx.out, ctx.global.quiet));
    let mut events = client.job_events(id, None);
    let watch = async {
        while let Some(event) = events.next().await? {
            if matches!(event.kind.as_str(), "retry" | "task-failed") {
                progress.borrow().note(&event.remark);
            }
            progress.borrow_mut().update(event);
        }
        Ok::<(), Failure>(())
    };
    // A long task or a waiting job sends no events, so the progress is also shown periodically.
    let tick = async {
        loop {
            tokio::time::sleep(progress::SHOW_AFTER).await;
            if progress.borrow().is_idle()
                && let Ok(job) = client.job(id, None).await
            {
                progress.borrow_mut().waits(job.waiting);
            }
            progress.borrow_mut().show();
        }
    };
    let outcome = tokio::select! {
        outcome = watch => Some(outcome),
        () = tick => None,
        _ = tokio::signal::ctrl_c() => None,
    };
    progress.borrow().finish();
    let interrupted = outcome.transpose()?.is_none();
    if interrupted {
        // Not a success: the caller has no result.
        return Err(Failure::local("interrupted", format!("stopped watching: job {id} continues to run"))
            .hint(format!("watch it: fabric jobs watch {id}; cancel it: fabric jobs cancel {id}")));
    }
    Ok(client.job(id, None).await?)
}

/// Returns a failure if the job did not succeed.
pub fn ended(job: &Job) -> Result<(), Failure> {
    match job.state {
        JobState::Succeeded => Ok(()),
        JobState::Cancelled => Err(Failure::coded(Code::Cancelled, format!("job {} was cancelled", job.id))),
        _ => {
            let fault = job.error.clone().unwrap_or_else(|| Fault::new(Code::FunctionFailed, job.remark.clone()));
            let mut failure = Failure::from(fault);
            failure.message = format!("job {} failed: {}", job.id, failure.message);
            failure.job = Some(job.id.to_string());
            if failure.hint.is_none() {
                failure.hint = Some(format!("see: fabric jobs tasks {0} --state failed, fabric logs {0}", job.id));
            }
            Err(failure)
        }
    }
}

/// Delivers the result to its destination.
async fn deliver(client: &Client, job: &Job, output: &JobOutput, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let id = job.id.as_str();
    match output {
        JobOutput::Stored(path) => {
            ctx.note(job_output::stored_at(path, job.results));
            Ok(())
        }
        // With --json, the output is the job.
        JobOutput::Stdout if ctx.out.json => Ok(()),
        JobOutput::Stdout => ctx.out.body(client.result(id).await?).await.map(drop),
        JobOutput::File(path) => {
            let bytes = super::get::save(client.result(id).await?, Path::new(path)).await?;
            let of = if job.results > 1 {
                format!(" of {} results, one after another,", job.results)
            } else {
                String::new()
            };
            ctx.note(format!("wrote {}{of} to {path}", ByteSize(bytes)));
            Ok(())
        }
        JobOutput::Folder(folder) => {
            let folder = Path::new(folder);
            std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder.display(), e))?;
            for index in 0..job.results {
                let part = client.result_part(id, index).await?;
                super::get::save(part, &folder.join(format!("part-{index:05}"))).await?;
            }
            ctx.note(format!("wrote {} results to {}", job.results, folder.display()));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_reads_as_yaml_and_as_json() {
        let yaml = "function: f\ninput:\n  objects: {path: data/, split: \"lines:1MiB\"}\nreduce: {fan-in: 4}";
        let json = r#"{"function": "f", "input": {"objects": {"path": "data/", "split": "lines:1MiB"}}, "reduce": {"fan-in": 4}}"#;
        let spec = parse_spec(yaml).unwrap();
        assert_eq!(spec, parse_spec(json).unwrap());
        assert_eq!(spec.reduce, Some(ReduceSpec { fan_in: 4 }));
        assert!(parse_spec("function: f\nnope: 1").is_err());
        let wrong = parse_spec("{\"function\": \"f\",\n\"input\": {\"items\": []},\n\"reduce\": {\"fan-in\": \"x\"}}")
            .unwrap_err();
        assert!(wrong.starts_with("reduce.fan-in: ") && wrong.contains("line 3"), "{wrong}");
    }

    #[test]
    fn items_must_be_a_list() {
        assert_eq!(parse_items("[1,\"a\"]").unwrap().len(), 2);
        assert_eq!(parse_items("{}").unwrap_err().exit as u8, 2);
    }
}
