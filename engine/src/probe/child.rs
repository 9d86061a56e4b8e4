//! A probe as its parent sees it: started, listened to, ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Ask, Line};
use crate::worker::signal_name;

/// Longest line that is read.
const LONGEST: u64 = 1 << 16;
/// Between two looks at whether the answer is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All was said.
    Done,
    /// It died: of the signal with this name, or with this code.
    Died(String),
    /// It did not end in time.
    TimedOut,
    /// Its answer is not wanted any more.
    Interrupted,
}

/// A running probe, ended when dropped.
#[derive(Debug)]
pub struct Child {
    process: Process,
    lines: Receiver<Option<Line>>,
}

impl Child {
    /// Starts `<program> probe` in a process group of its own and asks it.
    pub fn start(program: &Path, ask: &Ask) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("probe").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let mut text = serde_json::to_vec(ask)?;
        text.push(b'\n');
        // One that is gone already says so by ending.
        let _ = process.stdin.as_mut().map(|input| input.write_all(&text));
        let lines = listen(process.stdout.take().expect("stdout is piped"));
        Ok(Self { process, lines })
    }

    /// Hears what it says until it ends, or until the deadline, or until it is not wanted.
    pub fn hear(
        mut self,
        deadline: Duration,
        wanted: &dyn Fn() -> bool,
        heard: &mut dyn FnMut(Line),
    ) -> Ended {
        let began = Instant::now();
        loop {
            if !wanted() {
                return Ended::Interrupted;
            }
            let left = deadline.saturating_sub(began.elapsed());
            match self.lines.recv_timeout(left.min(LOOK)) {
                Ok(Some(Line::End)) => return Ended::Done,
                Ok(Some(line)) => heard(line),
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return self.bury(),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ended::TimedOut,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// It closed its output without having said all.
    fn bury(&mut self) -> Ended {
        // One that closed its output and lives has nothing to say either.
        self.process.stdin = None;
        match self.process.wait() {
            Ok(status) => Ended::Died(match (status.signal(), status.code()) {
                (Some(signal), _) => signal_name(signal),
                (None, Some(code)) => format!("exit code {code}"),
                (None, None) => "an unknown cause".to_owned(),
            }),
            Err(error) => Ended::Died(error.to_string()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads lines beside the waiting; `None` where there is no more, or something else than a line.
fn listen(output: impl Read + Send + 'static) -> Receiver<Option<Line>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut text = String::new();
            let read = output.by_ref().take(LONGEST).read_line(&mut text);
            let line = read.ok().and_then(|_| serde_json::from_str(&text).ok());
            let more = line.is_some();
            if sender.send(line).is_err() || !more {
                return;
            }
        }
    });
    receiver
}
