//! The hidden verb that runs as a child of the others and holds the engine.

use std::process::ExitCode;

use autotune_engine::worker;
use clap::Args;

use super::{Exit, Stop};

/// Serve a parent over stdin and stdout; started by the other verbs, of no use by hand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune worker < requests.jsonl                 one JSON line for each")]
pub struct Arguments {}

/// Serves until the parent goes away.
pub fn run(_arguments: &Arguments) -> Result<Exit, Stop> {
    match worker::serve() {
        code if code == ExitCode::SUCCESS => Ok(Exit::Done),
        _ => Err(Stop {
            exit: Exit::Failure,
            message: "the worker lost its parent".into(),
            hint: None,
        }),
    }
}
