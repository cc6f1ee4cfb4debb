//! The command line: the global flags and the list of commands. Each command's own flags are in its module.

use crate::commands;
use clap::{Args, Parser, Subcommand};
use fabric_client::settings::{ContextFile, Flags, Settings, process_env};
use std::path::PathBuf;

/// WebAssembly functions in fuel-limited sandboxes: deploy a module, call it, or map it over a data set.
///
/// Data goes to standard output, everything else to standard error.
/// Exit status: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 guest fault, 6 budget or limit, 7 unreachable.
#[derive(Debug, Parser)]
#[command(name = "fabric", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command accepts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and output")]
pub struct Global {
    /// URL of the server [env: FABRIC_URL; default: the current context, else the server on this machine, else
    /// http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Token to send; prefer the variable or a context, because other users can read a command line [env: FABRIC_TOKEN]
    #[arg(long, global = true, value_name = "SECRET", hide_env_values = true)]
    pub token: Option<String>,
    /// Tenant to act in; only an admin's token may name another tenant than its own [env: FABRIC_TENANT]
    #[arg(long, global = true, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Context: a named server in the configuration file, see `fabric context` [env: FABRIC_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// File of PEM certificates to trust in addition to the system's [env: FABRIC_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Data folder of the server on this machine; its address and token are read from there [env: FABRIC_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    pub server_data: Option<PathBuf>,
    /// Write JSON in the form of the REST API, errors included
    #[arg(long, global = true)]
    pub json: bool,
    /// Write no progress and no notes to standard error
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Global {
    /// Resolves the client's settings from flags, environment and configuration file.
    pub fn settings(&self) -> fabric_client::Result<Settings> {
        let file = match ContextFile::path() {
            Some(path) => ContextFile::load(&path)?,
            None => ContextFile::default(),
        };
        let flags = Flags {
            url: self.url.clone(),
            token: self.token.clone(),
            tenant: self.tenant.clone(),
            context: self.context.clone(),
            ca: self.ca.clone(),
            data_dir: self.server_data.clone(),
        };
        Settings::resolve(&flags, &process_env, &file)
    }
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server: gateway, scheduler and node in one process
    Serve(Box<fabric_server::ServeArgs>),
    /// Run a fleet on this machine: a NATS server and several supervised `fabric serve` processes
    Cluster(Box<commands::cluster::ClusterArgs>),
    /// Create a project that is ready to build and deploy
    New(commands::new::NewArgs),
    /// Build the project's module
    Build(commands::build::BuildArgs),
    /// Watch the project; rebuild and redeploy it on every change
    Dev(commands::dev::DevArgs),
    /// Deploy a project or a module
    Deploy(commands::deploy::DeployArgs),
    /// List, show and delete functions
    #[command(visible_alias = "fn")]
    Functions(commands::functions::FunctionsArgs),
    /// List a function's versions; delete one
    Versions(commands::versions::VersionsArgs),
    /// Point a function at an older version
    Rollback(commands::rollback::RollbackArgs),
    /// Show, set or delete a function's aliases
    Alias(commands::alias::AliasArgs),
    /// Call a function
    Invoke(commands::invoke::InvokeArgs),
    /// List calls of functions; show one, write its result, or stop it
    Invocations(commands::invocations::InvocationsArgs),
    /// Map a function over a data set, with an optional reduce or shuffle
    Run(Box<commands::run::RunArgs>),
    /// Store a file or folder
    Put(commands::put::PutArgs),
    /// Fetch a stored object
    Get(commands::get::GetArgs),
    /// List stored objects
    Ls(commands::ls::LsArgs),
    /// Delete stored objects
    Rm(commands::rm::RmArgs),
    /// List jobs and act on them
    Jobs(Box<commands::jobs::JobsArgs>),
    /// List tasks that were given up
    DeadLetters(commands::dead_letters::DeadLettersArgs),
    /// Show what functions wrote
    Logs(commands::logs::LogsArgs),
    /// Explain the placement of a function
    Explain(commands::explain::ExplainArgs),
    /// List the nodes; cordon, drain or uncordon one
    Nodes(commands::nodes::NodesArgs),
    /// Show and set tenants' guarantees, limits and weights
    Tenants(commands::tenants::TenantsArgs),
    /// Remove expired data now; the server also does this periodically
    Gc(commands::gc::GcArgs),
    /// Show what the tenant has used
    Usage(commands::usage::UsageArgs),
    /// List, create and revoke tokens
    Token(commands::token::TokenArgs),
    /// Show the effective settings and the origin of each
    Config(commands::config::ConfigArgs),
    /// Manage contexts (named servers) and choose the current one
    Context(commands::context::ContextArgs),
    /// Write a shell's completion script
    Completions(commands::completions::CompletionsArgs),
    /// Show the version of this binary
    Version(commands::version::VersionArgs),
    /// Compile one module in a separate process; started by the server
    #[command(hide = true)]
    CompileWorker(CompileWorkerArgs),
    /// Own the GPU in a separate process; started by the server
    #[command(hide = true)]
    GpuWorker,
}

/// Arguments from the server to its compile worker.
#[derive(Debug, Args)]
pub struct CompileWorkerArgs {
    /// Passed to the worker unparsed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_the_main_commands() {
        let mut command = Cli::command().term_width(100);
        insta::assert_snapshot!("help", command.render_long_help().to_string());
        for name in ["deploy", "invoke", "run", "serve", "jobs"] {
            let sub = command.find_subcommand_mut(name).unwrap();
            insta::assert_snapshot!(format!("help_{name}"), sub.clone().term_width(100).render_help().to_string());
        }
    }

    /// One invocation of every command that has no subcommands.
    const EVERY_COMMAND: &[&str] = &[
        "serve",
        "cluster up",
        "cluster status",
        "cluster down",
        "new f",
        "build",
        "dev",
        "deploy",
        "functions list",
        "functions show f",
        "functions delete f",
        "versions f",
        "rollback f",
        "alias f",
        "invoke f",
        "invocations list",
        "invocations show 01JD0000000000000000000000",
        "invocations result 01JD0000000000000000000000",
        "invocations cancel 01JD0000000000000000000000",
        "run f --items []",
        "put a b",
        "get a",
        "ls",
        "rm a",
        "jobs list",
        "jobs show 01JD0000000000000000000000",
        "jobs watch 01JD0000000000000000000000",
        "jobs cancel 01JD0000000000000000000000",
        "jobs delete 01JD0000000000000000000000",
        "jobs restore 01JD0000000000000000000000",
        "jobs retry 01JD0000000000000000000000",
        "jobs audit 01JD0000000000000000000000",
        "jobs tasks 01JD0000000000000000000000",
        "jobs logs 01JD0000000000000000000000",
        "jobs result 01JD0000000000000000000000",
        "gc",
        "dead-letters",
        "logs",
        "explain f",
        "nodes list",
        "nodes cordon n",
        "nodes drain n",
        "nodes uncordon n",
        "tenants list",
        "tenants show t",
        "tenants set t --weight 1",
        "tenants reset t",
        "usage",
        "token list",
        "token create t",
        "token revoke id",
        "config show",
        "context list",
        "context use c",
        "context set c",
        "context delete c",
        "completions bash",
        "version",
        "compile-worker",
        "gpu-worker",
    ];

    /// Collects the paths of all commands without subcommands.
    fn leaves(command: &clap::Command, before: &str, found: &mut Vec<String>) {
        let subcommands: Vec<_> = command.get_subcommands().collect();
        if subcommands.is_empty() {
            found.push(before.trim().to_owned());
        }
        for sub in subcommands {
            leaves(sub, &format!("{before} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_takes_every_global_flag() {
        let (mut all, command) = (Vec::new(), Cli::command());
        leaves(&command, "", &mut all);
        for leaf in &all {
            let covered =
                EVERY_COMMAND.iter().any(|line| line.split(' ').take(leaf.split(' ').count()).eq(leaf.split(' ')));
            assert!(covered, "`{leaf}` is not in the list of this test");
        }
        let globals: Vec<_> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
        assert!(globals.len() >= 8, "{globals:?}");
        for line in EVERY_COMMAND {
            for global in &globals {
                let flag = format!("--{}", global.get_long().unwrap());
                let value = global.get_action().takes_values().then_some("x");
                let flag: Vec<_> = std::iter::once(flag.as_str()).chain(value).collect();
                // A worker receives trailing arguments unparsed.
                let after = if line.ends_with("worker") { Vec::new() } else { flag.clone() };
                for (first, last) in [(flag.clone(), Vec::new()), (Vec::new(), after)] {
                    let words = ["fabric"].into_iter().chain(first).chain(line.split(' ')).chain(last);
                    if let Err(error) = Cli::try_parse_from(words) {
                        panic!("{line} with {flag:?}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_flag_has_the_id_of_a_global_one() {
        fn check(command: &clap::Command, globals: &[String]) {
            for sub in command.get_subcommands() {
                for arg in sub.get_arguments() {
                    assert!(!globals.contains(&arg.get_id().to_string()), "{} of `{}`", arg.get_id(), sub.get_name());
                }
                check(sub, globals);
            }
        }
        let command = Cli::command();
        let globals = command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string());
        check(&command, &globals.collect::<Vec<_>>());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "fabric run f --input a --items []",
            "fabric run f --input a --reduce --shuffle 3",
            "fabric run f --input a --split rows",
            "fabric run f --input a --budget lots",
            "fabric run",
            "fabric invoke",
            "fabric alias f live=0",
            "fabric alias f live=1:0",
            "fabric deploy --name A",
            "fabric jobs list --since yesterdayish",
            "fabric nonsense",
            "fabric nodes drain",
            "fabric tenants set acme",
            "fabric tenants set acme --weight 0",
            "fabric serve --labels zone",
            "fabric serve --accept gpu",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).err().unwrap_or_else(|| panic!("{line} was taken"));
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn what_the_documents_show_is_taken() {
        for line in [
            "fabric run weather --input data/ --split csv:1MiB --param year=2013 --reduce --output out.json",
            "fabric run f --input - --reduce=8 --detach --tag a --tag b --budget 10G --json",
            "fabric run f --items [1,2] --shuffle 4 --no-cache --concurrency 2",
            "fabric run --spec job.yaml --dry-run",
            "fabric alias f live=3 canary=4:10 canary=3:90",
            "fabric alias f --delete canary",
            "fabric invoke f@2 --data @x.json --param a=1 --async --wait",
            "fabric jobs list --state running,queued --since 2h --q storm --limit 5",
            "fabric jobs",
            "fabric functions",
            "fabric token create ci --role invoker --ttl 30d",
            "fabric token create ci --for acme",
            "fabric --tenant acme token create ci",
            "fabric token create ci --for acme --tenant other",
            "fabric serve --listen 127.0.0.1:0 --data x --log-format json",
            "fabric deploy app.wasm --name f",
            "fabric nodes drain n-1 --wait",
            "fabric dead-letters",
            "fabric run f --items [1] --allow-failed 3",
            "fabric tenants set acme --guarantee-slots 4 --limit-memory 8GiB --limit-gpus none --weight 2",
            "fabric explain f --input data/ --split lines:1MiB --param a=1 --node-selector zone=a",
            "fabric serve --labels zone=a --labels disk=ssd,rack=7 --speed 0.5 --memory 2GiB --gpus 0 --accept task,http",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
