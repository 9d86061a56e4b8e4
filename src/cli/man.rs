//! `autotune man`: the manual page, from the same definition as the help.

use clap::{Args, Command};

use super::{Exit, Printer, Stop};

/// Print the manual page (roff), of one verb or of all
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune man | man -l -
  autotune man sweep | man -l -")]
pub struct Arguments {
    /// A verb; without it the page of the program
    verb: Option<String>,
}

/// Prints the page.
pub fn run(arguments: &Arguments, command: Command, printer: Printer) -> Result<Exit, Stop> {
    // Building resolves global flags into every verb and gives each its full name.
    let mut command = command;
    command.build();
    let page = match &arguments.verb {
        None => command,
        Some(verb) => command
            .find_subcommand(verb)
            .cloned()
            .ok_or_else(|| Stop::usage(format!("there is no verb `{verb}`")))?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    printer.data(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
