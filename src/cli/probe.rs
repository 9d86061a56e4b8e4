//! The hidden verb that measures, or dies of what the processor only announces.

use std::process::ExitCode;

use autotune_engine::probe;
use clap::Args;

use super::{Exit, Stop};

/// Measure for a parent over stdin and stdout; started by the other verbs, of no use by hand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune probe < request.json                    JSON lines until all is said")]
pub struct Arguments {}

/// Answers one request.
pub fn run(_arguments: &Arguments) -> Result<Exit, Stop> {
    match probe::serve() {
        code if code == ExitCode::SUCCESS => Ok(Exit::Done),
        _ => Err(Stop { exit: Exit::Failure, message: "nothing was measured".into(), hint: None }),
    }
}
