//! `fabric explain`: shows the nodes that a function could run on, with the reasons.

use super::Ctx;
use crate::{complete, failure::Failure, local_input, number, params, table::Table};
use fabric_api::node::ExplainRequest;
use fabric_types::{
    dataset::{InputSpec, Split},
    function::FunctionRef,
    label,
    rest::node::NodeVerdict,
    units::ByteSize,
};

/// Flags of `fabric explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The function, as NAME, NAME@VERSION or NAME:ALIAS
    #[arg(add = complete::functions())]
    pub function: FunctionRef,
    /// A stored object, or a stored prefix ending in /, to map over
    #[arg(long, short, value_name = "PREFIX")]
    pub input: Option<String>,
    /// Split of each object, as in `fabric run` [default: object]
    #[arg(long, value_name = "HOW", requires = "input")]
    pub split: Option<Split>,
    /// Parameter, or a file with a JSON object of parameters; a value that is valid JSON is passed as JSON, unless the
    /// function expects text
    #[arg(long = "param", short, value_name = "NAME=VALUE|@FILE", value_parser = params::parse)]
    pub params: Vec<params::Param>,
    /// Label that the node must also have; may be repeated
    #[arg(long = "node-selector", value_name = "KEY=VALUE", value_parser = label::parse)]
    pub node_selector: Vec<(String, String)>,
}

/// Runs `fabric explain`.
pub async fn run(args: &ExplainArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    if let Some(input) = args.input.as_deref().filter(|i| local_input::is_explicitly_local(i)) {
        return Err(Failure::usage(format!("`{input}` is a local file")).hint("store it first: fabric put"));
    }
    let split = args.split.unwrap_or(Split::Object);
    let client = ctx.client()?;
    let ask = ExplainRequest {
        function: args.function.to_string(),
        input: args.input.clone().map(|path| InputSpec::Objects { path, split }),
        params: params::object(&args.params, &client, &args.function).await?,
        node_selector: args.node_selector.iter().cloned().collect(),
    };
    let explanation = client.explain(&ask).await?;
    ctx.out.show(&explanation, |out, e| {
        if let Some(job) = &e.job {
            out.line(format!(
                "the job would have {} over {}, {} of them with a result in the cache\n",
                number::counted(job.tasks, "task"),
                ByteSize(job.bytes_in),
                number::grouped(job.cached)
            ))?;
        }
        for n in &e.nodes {
            out.line(title(n, e.winner.as_ref() == Some(&n.node)))?;
            let mut table = Table::new(&["", "STEP", "OUTCOME", "WHY"]);
            for f in &n.filters {
                table.row(["", &f.filter, if f.passed { "passes" } else { "refuses" }, &f.reason]);
            }
            for s in &n.scores {
                table.row(["", &s.name, &format!("{:.1}", s.value), &format!("weight {}", s.weight)]);
            }
            out.table(&table)?;
        }
        out.line(&e.remark)
    })
}

fn title(n: &NodeVerdict, wins: bool) -> String {
    let refusing = n.filters.iter().filter(|f| !f.passed).map(|f| f.filter.as_str()).collect::<Vec<_>>().join(", ");
    match n.total {
        Some(total) if wins => format!("{}: {total:.1} of 100, the winner", n.node),
        Some(total) => format!("{}: {total:.1} of 100", n.node),
        None => format!("{}: refused by {refusing}", n.node),
    }
}
