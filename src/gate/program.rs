//! A side that is another program with llama-bench's flags and output.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use autotune_engine::api::{Clock, Failure};

use super::{Arm, Quantity, Visit};
use crate::import::{self, Options, Repeated, Tool};

/// Most bytes that such a program may print.
const MOST_OUTPUT: u64 = 16 << 20;
/// How often it is asked whether it has ended.
const TICK: Duration = Duration::from_millis(5);
/// Lines of its log that are kept where it fails.
const LAST_LINES: usize = 10;

/// A llama-bench, or an `autotune bench`.
pub struct ProgramArm {
    /// The program.
    pub program: PathBuf,
    /// What it takes before llama-bench's own flags: `bench`, or nothing.
    pub leading: Vec<String>,
    /// Of each subject, the model and what else it is told.
    pub subjects: Vec<(PathBuf, Vec<String>)>,
    /// Of each subject, what is measured.
    pub quantities: Vec<Vec<Quantity>>,
    /// Timed repetitions.
    pub repetitions: u32,
    /// Time one start may take.
    pub deadline: Duration,
    /// Variables that it must not see: they change what an engine does without a word.
    pub kept_out: Vec<OsString>,
    /// The time.
    pub clock: Box<dyn Clock>,
}

impl fmt::Debug for ProgramArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramArm").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Arm for ProgramArm {
    fn visit(&mut self, place: usize, open: &[bool]) -> Result<Visit, Failure> {
        let quantities = self.quantities[place].clone();
        let mut visit = Visit { costs: vec![Vec::new(); quantities.len()], ..Visit::default() };
        for (at, quantity) in quantities.iter().enumerate().filter(|(at, _)| open[*at]) {
            visit.costs[at] = match quantity {
                Quantity::Prefill { .. } | Quantity::Decode { .. } => {
                    self.costs(place, *quantity)?
                }
                // It does not tell them.
                Quantity::FirstToken { .. } | Quantity::Load | Quantity::Memory => Vec::new(),
            };
        }
        Ok(visit)
    }
}

impl ProgramArm {
    /// Seconds per token of each repetition.
    fn costs(&self, place: usize, quantity: Quantity) -> Result<Vec<f64>, Failure> {
        let (prompt, generate, depth) = quantity.work().unwrap_or_default();
        let (model, more) = &self.subjects[place];
        let mut command = Command::new(&self.program);
        command.args(&self.leading).arg("-m").arg(model);
        for (flag, number) in [("-p", prompt), ("-n", generate), ("-r", self.repetitions)] {
            command.arg(flag).arg(number.to_string());
        }
        if depth > 0 {
            // Older ones do not know it.
            command.arg("-d").arg(depth.to_string());
        }
        command.args(more).args(["-o", "json"]);
        let output = self.output(command)?;
        let options = Options { repeated: Repeated::Refused, ..Options::default() };
        let read = import::import(Tool::LlamaBench, &output, &options);
        let read = read.map_err(|error| Failure::Invalid { reason: error.to_string() })?;
        match read.cells.as_slice() {
            [cell] => Ok(cell.samples.iter().map(|rate| 1.0 / rate).collect()),
            cells => Err(Failure::Invalid {
                reason: format!("{} answered {} tests, not one", quantity, cells.len()),
            }),
        }
    }

    /// What it prints; a failure where it does not end well or in time.
    fn output(&self, mut command: Command) -> Result<Vec<u8>, Failure> {
        for name in &self.kept_out {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            Failure::refused(format!("cannot start {}: {error}", self.program.display()))
        })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let out = thread::spawn(move || out.map(bounded).unwrap_or_default());
        let err = thread::spawn(move || err.map(bounded).unwrap_or_default());
        let status = self.ended(&mut child)?;
        let output = out.join().unwrap_or_default();
        let log = err.join().unwrap_or_default();
        if status.success() {
            return Ok(output);
        }
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
        Err(Failure::Crashed {
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            exit_code: status.code(),
            reason: format!("{} ended with {status}", self.program.display()),
            log: last.map(|line| (*line).to_owned()).collect(),
        })
    }

    fn ended(&self, child: &mut Child) -> Result<std::process::ExitStatus, Failure> {
        let begun = self.clock.now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if self.clock.now().saturating_sub(begun) > self.deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let deadline_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
                    return Err(Failure::TimedOut { deadline_ms, log: Vec::new() });
                }
                Ok(None) => thread::sleep(TICK),
                Err(error) => return Err(Failure::refused(error.to_string())),
            }
        }
    }
}

/// Reads to the end, keeps so much of it.
fn bounded(mut stream: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    kept
}
