//! `fabric config show`: the effective settings and the origin of each, with secrets hidden.

use super::Ctx;
use crate::{failure::Failure, table::Table};
use fabric_client::settings::{ContextFile, Env, Origin, Settings, process_env};
use fabric_server::{ServeArgs, SettingRow};
use serde::Serialize;

/// Flags of `fabric config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
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
    /// The error that makes the setting invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Shows all settings, invalid ones included.
pub fn run(args: &ConfigArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let Sub::Show(serve) = &args.command;
    let rows = rows(ctx.global.settings().map_err(Failure::from), serve, &process_env);
    ctx.out.show(&rows, |out, rows| {
        out.table(&table(rows))?;
        if let Some(path) = ContextFile::path() {
            ctx.note(format!(
                "configuration file: {}{}",
                path.display(),
                if path.exists() { "" } else { " (does not exist)" }
            ));
        }
        Ok(())
    })?;
    let invalid: Vec<_> = rows.iter().filter(|row| row.problem.is_some()).map(|row| row.name.as_str()).collect();
    if invalid.is_empty() {
        return Ok(());
    }
    Err(Failure::config(format!("invalid settings: {}", invalid.join(", "))))
}

fn rows(client: Result<Settings, Failure>, serve: &ServeArgs, env: Env<'_>) -> Vec<Row> {
    let mut rows = match client {
        Ok(settings) => client_rows(&settings),
        Err(failure) => {
            let none = || "-".to_owned();
            vec![Row { name: "client".to_owned(), value: none(), origin: none(), problem: Some(failure.message) }]
        }
    };
    rows.extend(serve.rows(env).into_iter().map(Row::from));
    rows
}

fn client_rows(client: &Settings) -> Vec<Row> {
    let none = || ("-".to_owned(), Origin::Default.to_string());
    let row =
        |name: &str, (value, origin): (String, String)| Row { name: name.to_owned(), value, origin, problem: None };
    let (token, tenant, ca) = (client.token.as_ref(), client.tenant.as_ref(), client.ca.as_ref());
    vec![
        row("client.url", (client.url.value.clone(), client.url.origin.to_string())),
        row("client.token", token.map_or_else(none, |t| ("(hidden)".to_owned(), t.origin.to_string()))),
        row("client.tenant", tenant.map_or_else(none, |t| (t.value.clone(), t.origin.to_string()))),
        row("client.ca", ca.map_or_else(none, |t| (t.value.display().to_string(), t.origin.to_string()))),
    ]
}

impl From<SettingRow> for Row {
    fn from(SettingRow { name, value, origin, problem }: SettingRow) -> Self {
        Self { name, value, origin, problem }
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "ORIGIN"]);
    for row in rows {
        match row.problem.as_deref().and_then(|problem| problem.lines().next()) {
            Some(problem) => table.row([row.name.as_str(), "INVALID", problem]),
            None => table.row([row.name.as_str(), row.value.as_str(), row.origin.as_str()]),
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use fabric_client::settings::Flags;

    fn serve_args(args: &[&str]) -> ServeArgs {
        let line = ["fabric", "serve"].iter().chain(args);
        match crate::args::Cli::try_parse_from(line).unwrap().command {
            crate::args::Command::Serve(args) => *args,
            _ => ServeArgs::default(),
        }
    }

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
        let serve = serve_args(&["--listen", "127.0.0.1:0"]);
        let rows = rows(Ok(settings), &serve, &env);
        let text = table(&rows).render();
        assert!(!text.contains("very-secret"), "{text}");
        insta::assert_snapshot!("config_show", text);
    }

    #[test]
    fn invalid_settings_are_marked_and_the_others_shown() {
        let env = |name: &str| match name {
            "FABRIC_SLOTS" => Some("many".to_owned()),
            "FABRIC_IDLE_TIMEOUT" => Some("0".to_owned()),
            "FABRIC_MEMORY" => Some("2GiB".to_owned()),
            "FABRIC_DATA" => Some("/nonexistent/data".to_owned()),
            _ => None,
        };
        let rows = rows(Err(Failure::config("no such context")), &ServeArgs::default(), &env);
        let text = table(&rows).render();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line("serve.slots").contains("FABRIC_SLOTS=`many`"), "{text}");
        assert!(line("serve.idle-timeout").contains("idle-timeout, from environment"), "{text}");
        assert!(line("serve.memory").contains("2 GiB"), "{text}");
        assert!(line("client").contains("no such context"), "{text}");
        assert_eq!(text.matches("INVALID").count(), 3);
        assert_eq!(rows.iter().filter(|row| row.problem.is_some()).count(), 3);
    }
}
