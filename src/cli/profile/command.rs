//! `profile -- COMMAND` and `profile --pid`: starts or joins a program, watches it, prints what it
//! did. What is seen is left to `observe`, what it means to `activity`.

#[cfg(target_os = "linux")]
mod launched;
#[cfg(target_os = "linux")]
mod watching;

use super::Arguments;
use crate::cli::{Exit, Printer, Stop};

/// Runs or joins the command, watches it, prints what it did.
#[cfg(target_os = "linux")]
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    match arguments.pid {
        Some(pid) => watching::join(pid, arguments, printer),
        None => launched::run(arguments, printer),
    }
}

/// Nothing can be watched here.
#[cfg(not(target_os = "linux"))]
pub(super) fn run(_arguments: &Arguments, _printer: Printer) -> Result<Exit, Stop> {
    Err(Stop::usage("programs can be watched on Linux only, through its /proc"))
}
