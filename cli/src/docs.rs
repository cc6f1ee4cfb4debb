//! Generates `docs/cli.md` from the definition of the command line. The test fails if the file is out of date;
//! `FABRIC_BLESS=1` makes it update the file.

use crate::args::Cli;
use clap::{Arg, Command, CommandFactory as _};
use std::fmt::Write as _;

fn markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text =
        String::from("# The command line\n\n<!-- Made from the source by a test; see cli/src/docs.rs. -->\n\n");
    if let Some(about) = command.get_long_about() {
        let _ = writeln!(text, "{about}\n");
    }
    text += "Every command takes these:\n\n";
    options(&mut text, command.get_arguments().filter(|a| a.is_global_set()));
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        section(&mut text, sub, "fabric", 2);
    }
    text.trim_end().to_owned() + "\n"
}

fn section(text: &mut String, command: &Command, parent: &str, level: usize) {
    let name = format!("{parent} {}", command.get_name());
    let _ = writeln!(text, "\n{} {name}\n", "#".repeat(level));
    if let Some(about) = command.get_about() {
        let _ = writeln!(text, "{about}.\n");
    }
    let usage = command.clone().bin_name(&name).render_usage().to_string();
    let _ = writeln!(text, "```\n{}\n```\n", usage.trim_start_matches("Usage: ").trim());
    options(text, command.get_arguments().filter(|a| !a.is_global_set() && !a.is_hide_set() && a.get_id() != "help"));
    for sub in command.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help") {
        section(text, sub, &name, level + 1);
    }
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let mut any = false;
    for argument in arguments {
        let mut name = String::new();
        if let Some(short) = argument.get_short() {
            let _ = write!(name, "-{short}, ");
        }
        if let Some(long) = argument.get_long() {
            let _ = write!(name, "--{long}");
        }
        let values: Vec<_> = argument.get_value_names().unwrap_or_default().iter().map(|v| v.to_string()).collect();
        if argument.is_positional() {
            name = values.join(" ");
        } else if argument.get_action().takes_values() && !values.is_empty() {
            let values = values.join(" ");
            let optional = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
            let _ = if optional { write!(name, "[={values}]") } else { write!(name, " {values}") };
        }
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, "- `{name}`: {help}");
        let choices: Vec<_> = argument.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
        if !choices.is_empty() && argument.get_action().takes_values() {
            let _ = write!(text, " (one of {})", choices.join(", "));
        }
        let defaults: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
        if argument.get_action().takes_values() && defaults.iter().any(|d| !d.is_empty()) {
            let _ = write!(text, " [default: {}]", defaults.join(", "));
        }
        text.push('\n');
        any = true;
    }
    if any {
        text.push('\n');
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_document_is_what_the_source_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let expected = markdown();
    if std::env::var_os("FABRIC_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/cli.md is out of date: run FABRIC_BLESS=1 cargo test -p fabric-cli the_document");
}
