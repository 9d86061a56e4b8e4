//! Cells over many sessions: where a level changed, whether that fails a build, and how far it has
//! come from the best it was.

mod cell;
mod error;
mod family;
mod search;
#[cfg(test)]
mod tests;
mod words;

pub use error::HistoryError;

use crate::model::{Better, GateReason, GateSeries, GateVerdict, Weight};
use crate::stats::benjamini_hochberg;

use cell::Cell;
use search::{Searched, State};

/// The smallest change that is looked for, however little is allowed. Our choice: steps of less
/// come and go between sessions of the same program.
const LEAST: f64 = 0.02;

/// A cell over time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistorySeries {
    /// Name of the cell.
    pub cell: String,
    /// Unit of the values.
    pub unit: String,
    /// Whether more is better.
    pub better: Better,
    /// Whether it can fail the build.
    pub weight: Weight,
    /// The slowdown that is allowed: 0.02 is 2 %.
    pub delta: f64,
    /// One value per session, oldest first.
    pub values: Vec<f64>,
    /// What each session is called.
    pub labels: Vec<String>,
    /// Sessions from which a slower level is accepted, from 0.
    pub accepted: Vec<usize>,
}

/// How series are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRules {
    /// Chance that the build fails although nothing got slower.
    pub alpha: f64,
    /// Share of the listed changes that may be none.
    pub q: f64,
    /// Sessions, from the last, in which a slower level has to begin to fail the build.
    pub recent: usize,
    /// Sessions that make a level when it is held against an earlier one.
    pub drift_window: usize,
    /// Smallest visible slowdown that is still worth a verdict; above, the gate is blind.
    pub blind_above: f64,
    /// Label of the session that levels are held against, beside the best of all.
    pub pinned: Option<String>,
}

impl Default for HistoryRules {
    /// 1 % false alarms per build; one in ten listed changes may be none; a slowdown fails builds
    /// for ten sessions, which is two working weeks of nights; five sessions make a level, so that
    /// two outliers do not; blind above 5 %.
    fn default() -> Self {
        Self { alpha: 0.01, q: 0.10, recent: 10, drift_window: 5, blind_above: 0.05, pinned: None }
    }
}

/// What a series allows to say.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryJudgement {
    /// The series with its changes.
    pub series: GateSeries,
    /// Pass, fail or inconclusive.
    pub verdict: GateVerdict,
    /// Why it is inconclusive.
    pub reason: Option<GateReason>,
    /// What was found, one sentence; `None` where nothing was.
    pub why: Option<String>,
    /// What to do about it, one sentence.
    pub next_action: Option<String>,
    /// How much worse it got, by the latest slowdown that counts or by drifting; 0.05 is 5 %.
    pub slowdown: Option<f64>,
    /// Probability of that by chance.
    pub p_value: Option<f64>,
    /// What it must not exceed for a failure.
    pub p_required: Option<f64>,
    /// The smallest probability that so many sessions can have.
    pub p_floor: Option<f64>,
    /// The smallest step that fails within the recent sessions with a power of 80 %.
    pub minimum_detectable: Option<f64>,
}

/// Judges all cells of a build together.
///
/// A cell fails if a worse level began in the recent sessions, is still there, was not accepted,
/// and clears Holm's procedure over all blocking cells at `alpha`; or if its level has drifted
/// from the best or the pinned one by more than twice what is allowed although no single step
/// says so, in the same family of tests. Fewer than 12 sessions, series that take turns or
/// wander, and series in which no slowdown worth knowing could be seen are inconclusive. Listed
/// changes, of both directions, hold the false discovery rate `q` over all cells.
pub fn judge_history(
    series: &[HistorySeries],
    rules: &HistoryRules,
) -> Result<Vec<HistoryJudgement>, HistoryError> {
    error::check(series, rules)?;
    let levels: Vec<f64> =
        series.iter().map(|one| family::strictest(series, one.weight, rules.alpha)).collect();
    let searched: Vec<Searched> = series
        .iter()
        .zip(&levels)
        .map(|(series, level)| search::search(series, rules, *level))
        .collect();
    let tested = family::test(series, &searched, rules.alpha);
    let listed = listed(&searched, rules.q);
    let cells = series.iter().zip(levels).zip(tested);
    Ok(cells
        .zip(searched.iter().zip(listed))
        .map(|(((series, strictest), tested), (searched, listed))| {
            Cell { series, rules, strictest, tested }.judge(searched, &listed)
        })
        .collect())
}

/// Which changes of each cell are listed: hypotheses are all changes, and all cells without one.
fn listed(searched: &[Searched], q: f64) -> Vec<Vec<bool>> {
    let per_cell: Vec<Vec<f64>> = searched
        .iter()
        .map(|searched| match &searched.state {
            State::Searched(found) if found.changes.is_empty() => vec![1.0],
            State::Searched(found) => found.changes.iter().map(|change| change.p_value).collect(),
            State::Thin | State::Unstable(_) => Vec::new(),
        })
        .collect();
    let adjusted = benjamini_hochberg(&per_cell.concat()).unwrap_or_default();
    let mut rest = adjusted.as_slice();
    per_cell
        .iter()
        .map(|own| {
            let (mine, others) = rest.split_at(own.len().min(rest.len()));
            rest = others;
            mine.iter().map(|p_value| *p_value <= q).collect()
        })
        .collect()
}
