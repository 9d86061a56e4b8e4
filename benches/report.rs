//! How judging and rendering a run grow with its trials. Each size is compared with the one before
//! it in this same process: twice the trials should take little more than twice the time.
//!
//! The trials are those of an example run, repeated with numbers and times of their own.

use std::path::Path;
use std::time::Instant;

use autotune::analysis;
use autotune::model::{Purpose, Trial};
use autotune::render::{self, Run};
use autotune::store::StoredRun;
use jiff::{SignedDuration, Timestamp};

const SIZES: [u32; 6] = [62, 125, 250, 500, 1000, 2000];

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/chat-2-core-vm");
    let stored = StoredRun::read(&folder).expect("an example run");
    println!("trials   judged   rendered   times the half   HTML       peak memory");
    let mut before: Option<f64> = None;
    for size in SIZES {
        let trials = repeated(&stored.trials, size);
        let begin = Instant::now();
        let findings = analysis::findings(&stored.plan, &trials, "it is a benchmark");
        let judged_s = begin.elapsed().as_secs_f64();
        let run = Run {
            machine: &stored.machine,
            plan: &stored.plan,
            trials: &trials,
            findings: &findings,
            profile: stored.profile.as_ref(),
            verification: None,
            quantization: None,
            unsound: &[],
        };
        let report = render::report(&run, Timestamp::UNIX_EPOCH).expect("built-in templates");
        let whole_s = begin.elapsed().as_secs_f64();
        let ratio = before.map_or("-".to_owned(), |half| format!("{:.2}", whole_s / half));
        println!(
            "{size:6}   {:4.0} ms   {:5.0} ms   {ratio:>14}   {:5} KiB   {}",
            judged_s * 1e3,
            (whole_s - judged_s) * 1e3,
            report.html.len() / 1024,
            peak_memory()
        );
        before = Some(whole_s);
    }
}

/// So many trials: those of a run in turn, each with its own number, in a session of its own round.
fn repeated(trials: &[Trial], size: u32) -> Vec<Trial> {
    let begin: Timestamp = trials[0].started_at.parse().expect("a time");
    (0..size)
        .map(|at| {
            let mut trial = trials[at as usize % trials.len()].clone();
            trial.id = at + 1;
            trial.block = at / 8;
            if trial.purpose == Purpose::Confirm && at as usize >= trials.len() {
                trial.purpose = Purpose::Search;
            }
            let at = begin + SignedDuration::from_secs(i64::from(at) * 5);
            trial.started_at = at.to_string();
            trial
        })
        .collect()
}

/// The largest resident set of this process so far.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".to_owned(), |text| text.trim().to_owned())
}
