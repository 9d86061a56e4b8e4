//! One worker process as its parent sees it: started, asked, timed out, buried.

use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::cancel::Canceller;
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
    /// The wait status, once there is one.
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
            Ok(Event::Line(Ok(Some(reply)))) if reply.id == id => reply.answer,
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
        while self.ended.is_none() && since.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(Some(status)) => self.ended = Some(status),
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
        let Some(status) = self.ended else {
            return self.babbles("the worker closed its output and stayed");
        };
        // Nothing of its group is wanted either; and then the last words are all there.
        self.kill();
        wait::failure(status, self.log(LOG_LINES))
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

    /// Ends it and whatever it has started.
    pub(super) fn kill(&mut self) {
        self.input = None;
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if self.ended.is_none() {
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
