//! `autotune completions`: a completion script for a shell, from the same definition as the help.

use clap::{Args, Command};
use clap_complete::Shell;

use super::{Exit, Printer, Stop};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune completions bash > /etc/bash_completion.d/autotune
  autotune completions fish > ~/.config/fish/completions/autotune.fish")]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments, mut command: Command, printer: Printer) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "autotune", &mut script);
    printer.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
