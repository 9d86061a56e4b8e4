//! The hidden verb that keeps a server from outliving the one who started it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use clap::Args;
use rustix::process::{Signal, getpgrp, getpid, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Exit, Stop};

/// Run a command, and kill it when standard input ends; started by `verify`, of no use by hand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune guard -- llama-server -m m.gguf         until stdin is closed")]
pub struct Arguments {
    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The exit code for a command that cannot be started, as shells have it.
const CANNOT_START: i32 = 127;

/// Runs the command to its end and exits with its exit code, or with 128 and its signal.
pub fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (program, words) =
        arguments.command.split_first().ok_or_else(|| Stop::usage("no command was named"))?;
    if getpgrp() != getpid() {
        return Err(Stop::usage("a guard leads a process group, and this one does not")
            .hint("it is started by `autotune verify`"));
    }
    // The command is told to end together with this process, which waits for it to do so.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    }
    let spawned = Command::new(program).args(words).stdin(Stdio::null()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot start {}: {error}", program.display());
            std::process::exit(CANNOT_START);
        }
    };
    thread::spawn(|| {
        let mut nothing = [0; 64];
        loop {
            match io::stdin().read(&mut nothing) {
                Ok(read) if read > 0 => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        // Whoever asked for the server is gone: it ends at once, and all that it started.
        let _ = kill_process_group(getpgrp(), Signal::KILL);
    });
    let status = child.wait().map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    // The command's code is any number, and our own are an enumeration of few.
    std::process::exit(code.unwrap_or(Exit::Failure as i32))
}
