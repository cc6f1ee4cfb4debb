//! Confirmation of a deletion by the user.

use crate::failure::Failure;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// The flag of commands that need confirmation.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Confirm {
    /// Delete without asking; required without a terminal
    #[arg(long, short)]
    yes: bool,
}

impl Confirm {
    /// Asks the user to confirm `what`, such as "delete f and its 3 versions". Returns at once with `--yes`.
    ///
    /// # Errors
    /// A usage failure without a terminal, and `cancelled` for any answer but yes.
    pub fn ask(self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::usage(format!("{what}? Confirmation needs a terminal")).hint("pass --yes to confirm"));
        }
        let failed = |e| Failure::io("the terminal", e);
        let mut terminal = std::io::stderr();
        write!(terminal, "{what}? [y/N] ").and_then(|()| terminal.flush()).map_err(failed)?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(Failure::coded(fabric_types::Code::Cancelled, "nothing was deleted"))
        }
    }
}
