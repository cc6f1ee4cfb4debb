//! The commands of the CLI. Each module has one command's flags and its implementation.

pub mod alias;
pub mod build;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod context;
pub mod dead_letters;
pub mod deploy;
pub mod dev;
pub mod explain;
pub mod functions;
pub mod gc;
pub mod get;
pub mod invocations;
pub mod invoke;
pub mod jobs;
pub mod logs;
pub mod ls;
pub mod new;
pub mod nodes;
pub mod put;
pub mod rm;
pub mod rollback;
pub mod run;
pub mod tenants;
pub mod token;
pub mod usage;
pub mod version;
pub mod versions;

use crate::{
    args::{Command, Global},
    failure::Failure,
    output::Out,
};
use fabric_client::Client;

/// The context of a command.
pub struct Ctx<'a> {
    /// The global flags.
    pub global: &'a Global,
    /// The destination of output.
    pub out: &'a Out,
}

impl Ctx<'_> {
    /// Creates a client for the server that the settings name.
    pub fn client(&self) -> Result<Client, Failure> {
        let settings = self.global.settings()?;
        if settings.sends_token_in_clear() && !self.global.quiet {
            self.out.note(format!("warning: the token goes to {} unencrypted; use https", settings.url.value));
        }
        Ok(settings.client()?)
    }

    /// Writes a note to standard error unless `--quiet` is set.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.global.quiet {
            self.out.note(text);
        }
    }

    /// Notes that a list has more entries.
    pub fn note_more(&self, next: Option<&String>) {
        // In JSON, `next` shows this.
        if next.is_some() && !self.out.json {
            self.note("there is more: raise --limit");
        }
    }
}

/// Runs a command of the client.
pub async fn run(command: Command, global: &Global, out: &Out) -> Result<(), Failure> {
    let ctx = Ctx { global, out };
    match command {
        Command::New(args) => new::run(&args, &ctx),
        Command::Build(args) => build::run(&args, &ctx).await,
        Command::Dev(args) => dev::run(&args, &ctx).await,
        Command::Deploy(args) => deploy::run(&args, &ctx).await,
        Command::Functions(args) => functions::run(args, &ctx).await,
        Command::Versions(args) => versions::run(&args, &ctx).await,
        Command::Rollback(args) => rollback::run(&args, &ctx).await,
        Command::Alias(args) => alias::run(&args, &ctx).await,
        Command::Invoke(args) => invoke::run(&args, &ctx).await,
        Command::Invocations(args) => invocations::run(args, &ctx).await,
        Command::Run(args) => run::run(&args, &ctx).await,
        Command::Put(args) => put::run(&args, &ctx).await,
        Command::Get(args) => get::run(&args, &ctx).await,
        Command::Ls(args) => ls::run(&args, &ctx).await,
        Command::Rm(args) => rm::run(&args, &ctx).await,
        Command::Jobs(args) => jobs::run(*args, &ctx).await,
        Command::Gc(args) => gc::run(&args, &ctx).await,
        Command::DeadLetters(args) => dead_letters::run(&args, &ctx).await,
        Command::Logs(args) => logs::run(&args, &ctx).await,
        Command::Explain(args) => explain::run(&args, &ctx).await,
        Command::Nodes(args) => nodes::run(&args, &ctx).await,
        Command::Usage(args) => usage::run(&args, &ctx).await,
        Command::Tenants(args) => tenants::run(&args, &ctx).await,
        Command::Cluster(args) => cluster::run(*args, &ctx).await,
        Command::Token(args) => token::run(args, &ctx).await,
        Command::Config(args) => config::run(&args, &ctx),
        Command::Context(args) => context::run(args, &ctx),
        Command::Completions(args) => completions::run(&args, &ctx),
        Command::Version(args) => version::run(&args, &ctx).await,
        // `main` runs these before it starts a runtime.
        Command::Serve(_) | Command::CompileWorker(_) | Command::GpuWorker => Ok(()),
    }
}
