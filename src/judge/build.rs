//! From cells to the verdict of a build, its exit code and its one line.

use std::fmt::Write as _;

use crate::model::{GateCell, GateReason, GateVerdict, Weight};

/// What is done about what could not be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInconclusive {
    /// The build goes on, and it is said.
    Warn,
    /// The build stops.
    Fail,
}

/// What is done about a quantity that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// The build fails.
    Fail,
    /// It is said.
    Allow,
}

/// How a build is judged from its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// About cells that could not be decided.
    pub on_inconclusive: OnInconclusive,
    /// About cells that are gone.
    pub on_missing: OnMissing,
    /// Whether both sides are the same thing, so that nothing may fail.
    pub identical: bool,
}

/// The verdict of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildVerdict {
    /// The worst of the blocking cells, as far as it counts.
    pub verdict: GateVerdict,
    /// Its reason.
    pub reason: Option<GateReason>,
    /// 0 pass, 1 fail or missing, 3 not comparable or nothing but new, and inconclusive where that
    /// stops a build.
    pub exit_code: u8,
    /// One line.
    pub line: String,
}

/// Judges a build. What was not compared never counts as passed: a build without a blocking cell
/// that passed does not pass.
#[must_use]
pub fn judge_build(cells: &[GateCell], policy: Policy) -> BuildVerdict {
    let counts = |cell: &&GateCell| {
        cell.weight == Weight::Blocking
            && match cell.verdict {
                GateVerdict::Fail => cell.waiver.is_none(),
                GateVerdict::Missing => policy.on_missing == OnMissing::Fail,
                _ => true,
            }
    };
    let blocking: Vec<&GateCell> = cells.iter().filter(counts).collect();
    let passed = cells.iter().any(|cell| {
        cell.weight == Weight::Blocking
            && (cell.verdict == GateVerdict::Pass || cell.waiver.is_some())
    });
    // A cell that is new beside one that passed does not hold the build.
    let worst = blocking
        .iter()
        .filter(|cell| !(passed && cell.verdict == GateVerdict::New))
        .min_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("slowdowns are finite"));
    let (verdict, reason) = match worst {
        Some(cell) => (cell.verdict, cell.reason),
        None if passed => (GateVerdict::Pass, None),
        None => (GateVerdict::NotComparable, Some(GateReason::NoBaseline)),
    };
    let exit_code = match verdict {
        GateVerdict::Fail | GateVerdict::Missing => 1,
        // Nothing was compared. Who records a first session says so.
        GateVerdict::NotComparable | GateVerdict::New => 3,
        GateVerdict::Inconclusive
            if policy.on_inconclusive == OnInconclusive::Fail && !policy.identical =>
        {
            3
        }
        GateVerdict::Inconclusive | GateVerdict::Pass => 0,
    };
    let line = line(verdict, reason, worst.copied(), cells);
    BuildVerdict { verdict, reason, exit_code, line }
}

/// Worst first: by verdict, then by slowdown.
fn rank(cell: &GateCell) -> (GateVerdict, f64) {
    (cell.verdict, -cell.slowdown.filter(|it| it.is_finite()).unwrap_or(0.0))
}

/// Sorts cells for reading: what fails first, then what is undecided, each worst first; advisory
/// cells after the blocking ones.
pub fn worst_first(cells: &mut [GateCell]) {
    cells.sort_by(|a, b| {
        let key = |cell: &GateCell| (cell.weight == Weight::Advisory, rank(cell));
        key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
}

/// The verdict in one line: for logs that show no more.
fn line(
    verdict: GateVerdict,
    reason: Option<GateReason>,
    worst: Option<&GateCell>,
    cells: &[GateCell],
) -> String {
    let of = |wanted: GateVerdict| cells.iter().filter(|cell| cell.verdict == wanted).count();
    let percent = |share: f64| format!("{:+.1} %", 100.0 * share);
    let mut line = format!("gate: {}", verdict.word().to_uppercase());
    if let Some(reason) = reason {
        let _ = write!(line, " ({})", reason.word());
    }
    if let Some(cell) = worst {
        let _ = write!(line, " {}", cell.name);
        if let Some(slowdown) = cell.slowdown {
            let _ = write!(line, " {}", percent(slowdown));
            if let Some((low, high)) = cell.interval {
                let _ = write!(line, " [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high);
            }
            let _ = write!(line, ", limit {:.1} %", 100.0 * cell.delta);
        }
        let sighted = matches!(verdict, GateVerdict::Pass | GateVerdict::Inconclusive);
        if let Some(share) = cell.minimum_detectable.filter(|_| sighted) {
            let _ = write!(line, ", would see {}", percent(share));
        }
    }
    let counts: Vec<String> = [
        GateVerdict::Fail,
        GateVerdict::Missing,
        GateVerdict::NotComparable,
        GateVerdict::Inconclusive,
        GateVerdict::New,
        GateVerdict::Pass,
    ]
    .into_iter()
    .filter(|verdict| of(*verdict) > 0)
    .map(|verdict| format!("{} {}", of(verdict), verdict.word()))
    .collect();
    if cells.len() > 1 {
        let _ = write!(line, "; of {} cells {}", cells.len(), counts.join(", "));
    }
    line
}
