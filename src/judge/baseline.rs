//! One new session against stored ones of the same machine.
//!
//! The unit is the session: what it adds to all its numbers (another boot, another day) is in the
//! spread of the stored ones and in no other place. With many cells their variances lend each
//! other strength (Smyth 2004).

use crate::model::{GateReason, GateVerdict, Weight};
use crate::stats::{self, Variance};

use super::holm::step_down;
use super::{Judgement, Rule};

/// Stored sessions below which nothing is decided.
pub const FEWEST_SESSIONS: usize = 5;
/// Cells from which on their variances are moderated.
const MODERATED_FROM: usize = 8;
/// Least standard deviation between sessions that is believed, as a share: five sessions that
/// happen to agree to the last digit are no proof of a machine without noise. Chosen by
/// simulation.
pub const LEAST_SPREAD: f64 = 0.002;

/// A cell of the new session.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The slowdown that is allowed, as a share.
    pub delta: f64,
    /// Whether it shares the error of the build.
    pub weight: Weight,
    /// Least standard deviation between sessions, as a share.
    pub least_spread: f64,
    /// One per stored session: the logarithm of its median time.
    pub history: &'a [f64],
    /// The new session's.
    pub now: f64,
}

/// Judges the cells of a new session.
#[must_use]
pub fn judge_baseline(rule: &Rule, cells: &[Stored<'_>]) -> Vec<Judgement> {
    let spread = spreads(cells);
    let p = |place: usize| Test::of(&cells[place], spread[place]).map_or(1.0, |test| test.p_value);
    let p_values: Vec<(Weight, f64)> =
        cells.iter().enumerate().map(|(place, cell)| (cell.weight, p(place))).collect();
    let blocking = cells.iter().filter(|cell| cell.weight == Weight::Blocking).count();
    let levels = step_down(&p_values, rule.alpha, blocking, 0);
    let tests = cells.iter().zip(spread).zip(levels);
    tests.map(|((cell, spread), (level, fails))| one(rule, cell, spread, level, fails)).collect()
}

fn one(rule: &Rule, cell: &Stored<'_>, spread: (f64, f64), level: f64, fails: bool) -> Judgement {
    let n = u32::try_from(cell.history.len()).unwrap_or(u32::MAX);
    let Some(test) = Test::of(cell, spread) else {
        return Judgement::nothing(GateReason::ThinBaseline, n);
    };
    let t = |tail: f64| stats::student_quantile(tail, test.degrees).unwrap_or(f64::INFINITY);
    let upper = test.difference + t(rule.beta) * test.error;
    let detectable = (test.limit + (t(level) + t(1.0 - rule.power)) * test.error).exp_m1();
    let thin = cell.history.len() < FEWEST_SESSIONS;
    let (verdict, reason) = match (thin, fails, upper < test.limit) {
        (true, ..) => (GateVerdict::Inconclusive, Some(GateReason::ThinBaseline)),
        (_, true, _) => (GateVerdict::Fail, None),
        (_, _, true) => (GateVerdict::Pass, None),
        _ if detectable > rule.blind_above => (GateVerdict::Inconclusive, Some(GateReason::Blind)),
        _ => (GateVerdict::Inconclusive, Some(GateReason::Noise)),
    };
    Judgement {
        verdict,
        reason,
        slowdown: Some(test.difference.exp_m1()),
        interval: Some(((test.difference - t(level) * test.error).exp_m1(), upper.exp_m1()))
            .filter(|(low, high)| low.is_finite() && high.is_finite()),
        n,
        p_t: Some(test.p_value),
        p_guard: None,
        p_required: Some(level),
        p_floor: None,
        minimum_detectable: Some(detectable).filter(|share| share.is_finite()),
        blocks_needed: None,
    }
}

/// The new session against the mean of the stored ones.
struct Test {
    difference: f64,
    limit: f64,
    error: f64,
    degrees: f64,
    p_value: f64,
}

impl Test {
    /// `spread` is the standard deviation between sessions with its degrees of freedom.
    fn of(cell: &Stored<'_>, (spread, degrees): (f64, f64)) -> Option<Self> {
        let sessions = cell.history.len() as f64;
        if cell.history.len() < 2 || degrees < 1.0 {
            return None;
        }
        let mean = cell.history.iter().sum::<f64>() / sessions;
        let difference = cell.now - mean;
        let limit = cell.delta.ln_1p();
        let error = spread.max(cell.least_spread) * (1.0 + 1.0 / sessions).sqrt();
        let p_value = stats::student_tail((difference - limit) / error, degrees)?;
        Some(Self { difference, limit, error, degrees, p_value })
    }
}

/// Standard deviation between the sessions of each cell, and its degrees of freedom.
fn spreads(cells: &[Stored<'_>]) -> Vec<(f64, f64)> {
    let own: Vec<Variance> = cells
        .iter()
        .map(|cell| {
            let n = cell.history.len() as f64;
            let mean = cell.history.iter().sum::<f64>() / n.max(1.0);
            let squares: f64 = cell.history.iter().map(|value| (value - mean).powi(2)).sum();
            let degrees = (n - 1.0).max(0.0);
            Variance { value: squares / degrees.max(1.0), degrees }
        })
        .collect();
    let moderated = (cells.len() >= MODERATED_FROM).then(|| stats::moderated(&own)).flatten();
    let used = moderated.unwrap_or(own);
    used.into_iter().map(|it| (it.value.sqrt(), it.degrees)).collect()
}
