//! Running programs: `/proc` → `Series`.
//!
//! Follows a tree of processes, look by look, through one door ([`Door`]), so that everything is
//! tested over recorded texts. Changes nothing, sends no signal, attaches to nothing; when to look
//! is left to `cli`, what it means to `activity`.

mod calls;
mod door;
mod parse;
mod sockets;
#[cfg(test)]
mod tests;
mod tree;
mod wait;

use std::time::Duration;

pub use door::{CallTable, Closed, Door, Link, Live, Scale};
pub use tree::{Alive, Root, Watch};

/// The name of a process that stands in for a command until it is executed.
pub const LAUNCHER: &str = "autotune-launch";

/// The command line of a process, as the kernel has it; of a thread of the kernel its name.
#[must_use]
pub fn command_line(door: &dyn Door, pid: u32) -> Vec<String> {
    let text = door.read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    if words.iter().any(|word| !word.is_empty()) {
        return words;
    }
    name(door, pid).into_iter().collect()
}

/// The name of a process, which changes when it becomes another program; of one that has ended
/// and was not waited for, too.
#[must_use]
pub fn name(door: &dyn Door, pid: u32) -> Option<String> {
    let text = door.read(&format!("/proc/{pid}/stat")).ok()?;
    parse::stat(&text).map(|stat| stat.name)
}

/// Processor time of the calling thread, as it was when it last slept.
#[must_use]
pub fn own_time(door: &dyn Door) -> Option<Duration> {
    let text = door.read("/proc/thread-self/schedstat").ok()?;
    parse::schedule(&text).map(|(on_cpu, _, _)| Duration::from_nanos(on_cpu))
}

/// Whether a process is there and has not ended.
#[must_use]
pub fn runs(door: &dyn Door, pid: u32) -> bool {
    let text = door.read(&format!("/proc/{pid}/stat")).unwrap_or_default();
    parse::stat(&text).is_some_and(|stat| !stat.has_ended())
}
