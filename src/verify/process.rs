//! A server's process: started under a guard, watched, stopped in order, buried.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use autotune_engine::worker::Ring;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::ServeError;

/// The hidden verb of this program that keeps a server from outliving it.
pub const GUARD: &str = "guard";

/// Lines of a server's log that are kept.
const LOG_LINES: usize = 40;
/// Between two looks at a process that ends.
const LOOK: Duration = Duration::from_millis(10);
/// How long a server may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// How long its last lines are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a server is waited for. From the run: a multiple of what it should take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it is ready.
    pub ready: Duration,
    /// For all replies to requests that were sent at once.
    pub answer: Duration,
}

/// A process group, ended when dropped.
///
/// It is led by this program's guard, which holds the other end of a pipe: when this process dies,
/// however it does, the pipe is closed and the guard kills the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Closing it ends the group.
    lifeline: Option<ChildStdin>,
    log: Ring,
    readers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `<guard> guard -- <words>` in a process group of its own, without the variables
    /// `kept_out` and with `variables`.
    pub(super) fn start(
        guard: &Path,
        words: &[OsString],
        kept_out: &[OsString],
        variables: &[(&'static str, String)],
    ) -> Result<Self, ServeError> {
        let mut command = Command::new(guard);
        command.arg(GUARD).arg("--").args(words).process_group(0);
        for name in kept_out {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| {
            let program = guard.display().to_string();
            ServeError::CannotStart { program, source }
        })?;
        let log = Ring::default();
        let output = child.stdout.take().map(|stream| log.fill_from(stream));
        let errors = child.stderr.take().map(|stream| log.fill_from(stream));
        let readers = output.into_iter().chain(errors).collect();
        Ok(Self { lifeline: child.stdin.take(), child, log, readers, ended: None })
    }

    /// How it ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<String> {
        if self.ended.is_none() && !self.has_exited() {
            return None;
        }
        self.bury();
        Some(how(self.ended))
    }

    /// Its last lines.
    pub(super) fn log(&self) -> Vec<String> {
        self.log.last(LOG_LINES)
    }

    /// Tells it to end, and after a while makes it.
    fn stop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Some(group) = self.group() {
            let _ = kill_process_group(group, Signal::TERM);
        }
        let since = Instant::now();
        while !self.has_exited() && since.elapsed() < GRACE {
            thread::sleep(LOOK);
        }
        self.bury();
    }

    /// Ends what is left of the group. Once it is reaped nothing is signalled any more: its number
    /// may be another's.
    fn bury(&mut self) {
        self.lifeline = None;
        if self.ended.is_none() {
            if let Some(group) = self.group() {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        // What left the group may hold the streams open for ever.
        let since = Instant::now();
        while self.readers.iter().any(|reader| !reader.is_finished())
            && since.elapsed() < LAST_WORDS
        {
            thread::sleep(LOOK);
        }
    }

    /// Whether it has exited; it is not reaped by that.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = self.group().map(|pid| waitid(WaitId::Pid(pid), options));
        matches!(status, Some(Ok(Some(_))))
    }

    /// Its process group, which has the number of its process.
    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `exited with code 1`, `was killed by SIGILL`. The guard passes on a death by signal as shells
/// do, as 128 and the signal's number.
fn how(status: Option<ExitStatus>) -> String {
    let killed = |signal: i32| {
        let name = signal_hook::low_level::signal_name(signal);
        name.map_or_else(
            || format!("was killed by signal {signal}"),
            |it| format!("was killed by {it}"),
        )
    };
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code @ 129..=192), _)) => killed(code - 128),
        Some((Some(code), _)) => format!("exited with code {code}"),
        Some((None, Some(signal))) => killed(signal),
        Some((None, None)) | None => "ended".to_owned(),
    }
}
