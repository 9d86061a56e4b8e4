//! The hidden verb that stands in for a command until it is watched, and then becomes it.

use std::ffi::OsString;

use clap::Args;

use super::{Exit, Stop};

/// Stop, and when continued become the command; started by `profile`, of no use by hand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune launch -- python train.py               waits for SIGCONT")]
pub struct Arguments {
    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Becomes the command; comes back only where that cannot be.
#[cfg(target_os = "linux")]
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getpid, kill_process, set_parent_process_death_signal};
    use rustix::thread::set_name;

    use crate::observe::LAUNCHER;

    let (program, words) =
        arguments.command.split_first().ok_or_else(|| Stop::usage("no command was named"))?;
    let failed = |error: rustix::io::Errno| Stop::from_error(Exit::Failure, &error);
    // The name goes with the next program: who still has it was never executed.
    let name = std::ffi::CString::new(LAUNCHER).expect("it has no zero byte");
    set_name(&name).map_err(failed)?;
    // Whoever should continue it may be killed: then it must not stay stopped for ever.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    kill_process(getpid(), Signal::STOP).map_err(failed)?;
    set_parent_process_death_signal(None).map_err(failed)?;
    let error = std::process::Command::new(program).args(words).exec();
    Err(Stop::usage(format!("cannot start {}: {error}", program.display())))
}

/// Nothing can be watched here.
#[cfg(not(target_os = "linux"))]
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let words = arguments.command.len();
    Err(Stop::usage(format!("a command of {words} words can be launched on Linux only")))
}
