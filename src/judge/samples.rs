//! What other tools measured: two sets of samples per cell, one look.

use crate::model::{GateReason, GateVerdict, Weight};

use super::holm::step_down;
use super::tested::{Levels, Tested};
use super::{Judgement, Rule};
use crate::stats;

/// Two sets of samples of one cell, as logarithms of times (or of inverse speeds).
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The slowdown that is allowed, as a share.
    pub delta: f64,
    /// Whether it shares the error of the build.
    pub weight: Weight,
    /// What a run adds to all its samples: a standard deviation, as a share.
    pub run_noise: f64,
    /// The base's.
    pub base: Vec<f64>,
    /// The head's.
    pub head: Vec<f64>,
}

/// Judges cells by Welch's t test and, so that one outlier cannot fail a build, by ranks: both
/// have to find the slowdown above the limit, at the level that Holm's procedure leaves the cell.
#[must_use]
pub fn judge_samples(rule: &Rule, cells: &[Sampled]) -> Vec<Judgement> {
    let tested: Vec<Option<Tested>> = cells
        .iter()
        .map(|cell| {
            let enough = cell.base.len() >= 2 && cell.head.len() >= 2;
            let test = || Tested::samples(&cell.base, &cell.head, cell.delta, cell.run_noise);
            enough.then(test).flatten()
        })
        .collect();
    let p_values: Vec<(Weight, f64)> = cells
        .iter()
        .zip(&tested)
        .map(|(cell, tested)| (cell.weight, tested.as_ref().map_or(1.0, |it| it.p(false))))
        .collect();
    let blocking = cells.iter().filter(|cell| cell.weight == Weight::Blocking).count();
    let levels = step_down(&p_values, rule.alpha, blocking, 0);
    let judged = cells.iter().zip(&tested).zip(levels);
    judged
        .map(|((cell, tested), (level, fails))| {
            let smaller = cell.base.len().min(cell.head.len());
            let n = u32::try_from(smaller).unwrap_or(u32::MAX);
            let Some(tested) = tested else {
                return Judgement::nothing(GateReason::TooFewBlocks, n);
            };
            let levels = Levels { fail: level, pass: rule.beta };
            let passes = tested.passes(rule.beta);
            let verdict = match (fails, passes) {
                (true, _) => GateVerdict::Fail,
                (false, true) => GateVerdict::Pass,
                (false, false) => GateVerdict::Inconclusive,
            };
            let mut judgement = tested.judgement(verdict, levels, rule);
            if verdict == GateVerdict::Inconclusive && tested.p_floor > level {
                // No slowdown, however large, could have failed with so few samples.
                judgement.reason = Some(GateReason::TooFewBlocks);
                judgement.blocks_needed = Some(enough(level));
                judgement.minimum_detectable = None;
            }
            judgement
        })
        .collect()
}

/// Samples a side whose ranks can reach a level.
fn enough(level: f64) -> u32 {
    let reaches = |n: &u32| {
        let n = *n as usize;
        stats::mann_whitney_floor(n, n).is_some_and(|floor| floor <= level)
    };
    (2..=64).find(reaches).unwrap_or(64)
}
