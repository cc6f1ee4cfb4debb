//! `fabric config show`: the settings in force and where each came from, secrets hidden.

use super::Ctx;
use crate::{failure::Failure, serve_args::ServeArgs, table::Table};
use fabric_client::settings::{ContextFile, Env, Origin, Settings, process_env};
use serde::Serialize;

/// Flags of `fabric config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Show every setting with its value and origin
    Show(Box<ServeArgs>),
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: String,
    origin: String,
}

/// Shows them.
pub fn run(args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let Sub::Show(serve) = &args.command;
    let rows = rows(&ctx.global.settings()?, serve, &process_env)?;
    ctx.out.show(&rows, |out, rows| {
        out.table(&table(rows))?;
        if let Some(path) = ContextFile::path() {
            ctx.note(format!(
                "configuration file: {}{}",
                path.display(),
                if path.exists() { "" } else { " (not there)" }
            ));
        }
        Ok(())
    })
}

fn rows(client: &Settings, serve: &ServeArgs, env: Env<'_>) -> Result<Vec<Row>, Failure> {
    let none = || ("-".to_owned(), Origin::Default.to_string());
    let mut rows = Vec::new();
    let mut add =
        |name: &str, (value, origin): (String, String)| rows.push(Row { name: name.to_owned(), value, origin });
    add("client.url", (client.url.value.clone(), client.url.origin.to_string()));
    let token = client.token.as_ref();
    add("client.token", token.map_or_else(none, |t| ("(hidden)".to_owned(), t.origin.to_string())));
    let tenant = client.tenant.as_ref();
    add("client.tenant", tenant.map_or_else(none, |t| (t.value.clone(), t.origin.to_string())));
    let ca = client.ca.as_ref();
    add("client.ca", ca.map_or_else(none, |t| (t.value.display().to_string(), t.origin.to_string())));
    for (name, value, origin) in serve.resolve(env)?.rows() {
        add(&name, (value, origin));
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "ORIGIN"]);
    for row in rows {
        table.row([&row.name, &row.value, &row.origin]);
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fabric_client::settings::Flags;

    #[test]
    fn every_setting_has_its_origin_and_no_secret_shows() {
        let env = |name: &str| match name {
            "FABRIC_TOKEN" => Some("very-secret".to_owned()),
            "FABRIC_STORE" => Some("s3://key:very-secret@bucket/x".to_owned()),
            "FABRIC_SLOTS" => Some("8".to_owned()),
            "FABRIC_DATA" => Some("/nonexistent/data".to_owned()),
            _ => None,
        };
        let file = ContextFile::parse("current = \"a\"\n[contexts.a]\nurl = \"https://a.example\"\ntenant = \"acme\"")
            .unwrap();
        let settings = Settings::resolve(&Flags::default(), &env, &file).unwrap();
        let serve = ServeArgs { listen: "127.0.0.1:0".parse().ok(), ..ServeArgs::default() };
        let rows = rows(&settings, &serve, &env).unwrap();
        let text = table(&rows).render();
        assert!(!text.contains("very-secret"), "{text}");
        insta::assert_snapshot!("config_show", text);
    }
}
