//! `fabric context`: manages contexts, which are named servers, and chooses the current one.

use super::Ctx;
use crate::{failure::Failure, params, table::Table};
use fabric_client::settings::{ContextFile, ServerContext};
use std::path::PathBuf;

/// Flags of `fabric context`. `set` stores the values of --url, --token, --tenant and --ca.
#[derive(Debug, clap::Args)]
pub struct ContextArgs {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List contexts (the default)
    List,
    /// Choose the context that commands use
    Use {
        /// Name of the context
        name: String,
    },
    /// Store --url, --token (- reads it from standard input), --tenant and --ca under a name
    Set {
        /// Name of the context
        name: String,
    },
    /// Delete a context
    Delete {
        /// Name of the context
        name: String,
    },
}

/// Runs `fabric context`.
pub fn run(args: ContextArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let path = ContextFile::path().ok_or_else(|| {
        Failure::config("this user has no home folder for a configuration file").hint("set FABRIC_CONFIG_HOME")
    })?;
    let mut file = ContextFile::load(&path)?;
    match args.command.unwrap_or(Sub::List) {
        Sub::List => return list(&file, ctx),
        Sub::Use { name } => {
            file.get(&name)?;
            file.current = Some(name);
        }
        Sub::Set { name } => set(&mut file, name, ctx)?,
        Sub::Delete { name } => {
            file.get(&name)?;
            file.contexts.remove(&name);
            if file.current.as_deref() == Some(name.as_str()) {
                file.current = None;
            }
        }
    }
    save(&file, path, ctx)
}

fn save(file: &ContextFile, path: PathBuf, ctx: &Ctx<'_>) -> Result<(), Failure> {
    file.save(&path)?;
    ctx.note(format!("wrote {}; in use: {}", path.display(), file.current.as_deref().unwrap_or("none")));
    Ok(())
}

fn list(file: &ContextFile, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let rows: Vec<_> = file
        .contexts
        .iter()
        .map(|(name, c)| {
            serde_json::json!({
                "name": name, "url": c.url, "tenant": c.tenant, "has_token": c.token.is_some(),
                "current": file.current.as_ref() == Some(name),
            })
        })
        .collect();
    ctx.out.show(&rows, |out, _| {
        let mut table = Table::new(&["", "NAME", "URL", "TENANT", "TOKEN"]);
        for (name, c) in &file.contexts {
            let mark = if file.current.as_ref() == Some(name) { "*" } else { "" };
            let token = if c.token.is_some() { "(hidden)" } else { "-" };
            table.row([mark, name, &c.url, c.tenant.as_deref().unwrap_or("-"), token]);
        }
        out.table(&table)
    })
}

fn set(file: &mut ContextFile, name: String, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let before = file.contexts.get(&name);
    let url = ctx.global.url.clone().or_else(|| before.map(|c| c.url.clone()));
    let url = url.ok_or_else(|| Failure::usage("a new context needs --url"))?;
    let token = match ctx.global.token.as_deref() {
        Some("-") => Some(params::text_of("-")?.trim().to_owned()),
        Some(token) => Some(token.to_owned()),
        // A token belongs to its server, so a new address drops the old token.
        None => before.filter(|c| c.url == url).and_then(|c| c.token.clone()),
    };
    let context = ServerContext {
        url,
        token,
        tenant: ctx.global.tenant.clone().or_else(|| before.and_then(|c| c.tenant.clone())),
        ca: ctx.global.ca.clone().or_else(|| before.and_then(|c| c.ca.clone())),
    };
    // Rejects invalid values before they are stored.
    let mut options = fabric_client::Options::new(&context.url);
    if let Some(token) = &context.token {
        options = options.token(token);
    }
    fabric_client::Client::new(options)?;
    file.contexts.insert(name.clone(), context);
    if file.current.is_none() {
        file.current = Some(name);
    }
    Ok(())
}
