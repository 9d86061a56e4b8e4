//! One worker process as its parent sees it: started, asked, timed out, buried.

use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cancel::Canceller;
use super::oom::Kills;
use super::protocol::{self, Answer, Ask, LineError, Reply, Request};
use super::ring::Ring;
use super::wait;
use crate::api::Failure;

/// Lines of log that go with a failure.
const LOG_LINES: usize = 20;
/// How long a worker that closed its output may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

type Line = Result<Option<Reply>, LineError>;

/// What ends the waiting for an answer.
#[derive(Debug)]
pub(super) enum Event {
    /// The worker said something, or closed its output.
    Line(Line),
    /// Somebody does not want to know any more.
    Cancel,
}

/// A worker, ended together with its process group when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    canceller: Canceller,
    log: Ring,
    log_reader: Option<JoinHandle<()>>,
    next_id: u64,
    /// The kernel's kills for memory when it was last known to live.
    kills: Kills,
    /// The wait status, once there is one. From then on its process id may be another's.
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `<program> worker` in a process group of its own.
    pub(super) fn start(
        program: &Path,
        environment: &[(OsString, OsString)],
        canceller: &Canceller,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.arg("worker").env_clear().envs(environment.iter().cloned()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            Failure::refused(format!("cannot start the worker {}: {error}", program.display()))
        })?;
        let log = Ring::default();
        let log_reader = child.stderr.take().map(|stream| log.fill_from(stream));
        let (sender, events) = mpsc::channel();
        pass_on(child.stdout.take().expect("stdout is piped"), sender.clone());
        Ok(Self {
            input: child.stdin.take(),
            child,
            events,
            sender,
            canceller: canceller.clone(),
            log,
            log_reader,
            next_id: 1,
            kills: Kills::now(),
            ended: None,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it can still be asked something.
    pub(super) fn alive(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn log(&self, lines: usize) -> Vec<String> {
        self.log.last(lines)
    }

    /// Asks, and waits for the answer until the deadline. After any failure but the engine's own
    /// the process is gone.
    pub(super) fn ask(&mut self, ask: Ask, deadline: Duration) -> Result<Answer, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let started = Instant::now();
        let sent = match &mut self.input {
            Some(input) => protocol::write(input, &Request { id, ask }).is_ok(),
            None => false,
        };
        if !sent {
            return Err(self.bury());
        }
        if !self.canceller.listen(&self.sender) {
            self.kill();
            return Err(Failure::refused("the job was cancelled"));
        }
        match self.events.recv_timeout(deadline.saturating_sub(started.elapsed())) {
            Ok(Event::Line(Ok(Some(reply)))) if reply.id == id => {
                self.kills = Kills::now();
                reply.answer
            }
            Ok(Event::Line(Ok(Some(reply)))) => {
                Err(self.babbles(&format!("answer {} to {id}", reply.id)))
            }
            Ok(Event::Line(Ok(None) | Err(LineError::Cut))) => Err(self.bury()),
            Ok(Event::Line(Err(error))) => Err(self.babbles(&error.to_string())),
            Ok(Event::Cancel) => {
                self.kill();
                Err(Failure::refused("the job was cancelled"))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
                Err(Failure::TimedOut { deadline_ms, log: self.log(LOG_LINES) })
            }
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("this process holds a sender itself")
            }
        }
    }

    /// It closed its output: how it ended is the answer.
    fn bury(&mut self) -> Failure {
        let since = Instant::now();
        // With its input closed, an orderly worker ends by itself.
        self.input = None;
        while self.ended.is_none() && !self.has_exited() {
            if since.elapsed() > PATIENCE {
                return self.babbles("the worker closed its output and stayed");
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Nothing of its group is wanted either; and then the last words are all there.
        self.kill();
        let killed_for_memory = Kills::now().rose_since(self.kills);
        match self.ended {
            Some(status) => wait::failure(status, killed_for_memory, self.log(LOG_LINES)),
            None => self.babbles("how the worker ended cannot be known"),
        }
    }

    /// Whether it has exited; its process id stays its own until [`Self::kill`] reaps it.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = self.group().map(|pid| waitid(WaitId::Pid(pid), options));
        matches!(status, Some(Ok(Some(_))))
    }

    /// Its process group, which has the number of its process.
    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// It speaks, but not the protocol: it is ended.
    fn babbles(&mut self, reason: &str) -> Failure {
        self.kill();
        Failure::Crashed {
            signal: None,
            exit_code: None,
            reason: format!("the worker does not keep to the protocol: {reason}"),
            log: self.log(LOG_LINES),
        }
    }

    /// Ends it and whatever it has started. Once it is reaped nothing is signalled any more: the
    /// number of its group may be somebody else's.
    pub(super) fn kill(&mut self) {
        self.input = None;
        if self.ended.is_none() {
            if let Some(group) = self.group() {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads replies beside the waiting, so that waiting can end.
fn pass_on(output: impl Read + Send + 'static, sender: Sender<Event>) {
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let reply = protocol::read::<Reply>(&mut output);
            let more = matches!(reply, Ok(Some(_)));
            if sender.send(Event::Line(reply)).is_err() || !more {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_reaped_is_left_alone() {
        let mut process =
            Process::start(Path::new("/bin/sh"), &[], &Canceller::default()).expect("a shell");
        // The shell cannot open the script `worker` and ends with an error.
        let failure = process.ask(Ask::Scores, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(failure, Failure::Crashed { exit_code: Some(_), .. }), "{failure}");
        let ended = process.ended;
        assert!(ended.is_some() && !process.has_exited(), "it is reaped: nothing to wait for");
        process.kill();
        assert_eq!(process.ended, ended);
    }
}
