//! `autotune detect` beside the tools that people ask the same of a machine, on this machine, in
//! this run, taking turns so that what slows the machine slows all of them.
//!
//! `cargo bench --bench detect`; `lstopo-no-graphics` is in Debian's `hwloc-nox`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts of each program.
const ROUNDS: usize = 60;

/// A program that describes a machine.
struct Tool {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    times: Vec<Duration>,
}

impl Tool {
    fn new(name: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, program, arguments, times: Vec::new() }
    }

    /// From start to end; `None` where it cannot be started or fails.
    fn time(&self) -> Option<Duration> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let ended = command.stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success()).then(|| started.elapsed())
    }

    fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let place = ((sorted.len() - 1) as f64 * share).round() as usize;
        sorted[place]
    }
}

fn main() {
    let autotune = env!("CARGO_BIN_EXE_autotune");
    let tools = [
        Tool::new("autotune detect", autotune, &["detect"]),
        Tool::new("autotune detect, JSON", autotune, &["detect", "--format", "json"]),
        Tool::new("autotune --version", autotune, &["--version"]),
        Tool::new("lscpu", "lscpu", &[]),
        Tool::new("lstopo-no-graphics", "lstopo-no-graphics", &["--no-io"]),
        Tool::new("lstopo-no-graphics, I/O", "lstopo-no-graphics", &[]),
    ];
    // The first start of each reads its libraries from the disk and is not counted.
    let (mut here, gone): (Vec<Tool>, Vec<Tool>) =
        tools.into_iter().partition(|tool| tool.time().is_some());
    for tool in &gone {
        println!("{:<26} is not installed or fails here", tool.name);
    }
    for _ in 0..ROUNDS {
        for tool in &mut here {
            let time = tool.time();
            tool.times.extend(time);
        }
    }
    here.retain(|tool| !tool.times.is_empty());
    let Some(own) = here.first().map(|tool| tool.quantile(0.5).as_secs_f64()) else { return };
    println!("{:<26} {:>9} {:>9} {:>9}   time over ours", "", "10 %", "median", "90 %");
    for tool in &here {
        let [low, median, high] =
            [0.1, 0.5, 0.9].map(|share| tool.quantile(share).as_secs_f64() * 1e3);
        let ratio = median / 1e3 / own;
        println!("{:<26} {low:>6.1} ms {median:>6.1} ms {high:>6.1} ms   {ratio:.2}", tool.name);
    }
}
