//! One error for a whole build: a step and a drift per cell, all in Holm's procedure.

use crate::model::Weight;
use crate::stats::{CHANGE_POINTS_FROM, holm_levels, holm_rejections};

use super::HistorySeries;
use super::search::{Searched, State};

/// Tests of a cell: whether a step began lately, and whether the level drifted.
const TESTS: usize = 2;

/// What the tests of a cell had to clear, and whether they did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tested {
    pub(super) step_level: f64,
    pub(super) step_fails: bool,
    pub(super) drift_level: f64,
    pub(super) drift_fails: bool,
}

/// The strictest level that a test of a cell may have to clear: blocking cells share `alpha`, an
/// advisory one fails nobody's build and has all of it for itself. Cells with too few sessions
/// have no test; that does not depend on their values.
pub(super) fn strictest(series: &[HistorySeries], weight: Weight, alpha: f64) -> f64 {
    let sharing = match weight {
        Weight::Blocking => series.iter().filter(|other| is_blocking(other)).count().max(1),
        Weight::Advisory => 1,
    };
    alpha / (sharing * TESTS) as f64
}

/// Tests all cells.
pub(super) fn test(series: &[HistorySeries], searched: &[Searched], alpha: f64) -> Vec<Tested> {
    let mut tested: Vec<Tested> = searched
        .iter()
        .map(|searched| family(&p_values(searched), alpha).first().copied().unwrap_or_default())
        .collect();
    let sharing: Vec<usize> = (0..series.len()).filter(|at| is_blocking(&series[*at])).collect();
    let all: Vec<f64> = sharing.iter().flat_map(|at| p_values(&searched[*at])).collect();
    for (at, shared) in sharing.into_iter().zip(family(&all, alpha)) {
        tested[at] = shared;
    }
    tested
}

fn is_blocking(series: &HistorySeries) -> bool {
    series.weight == Weight::Blocking && series.values.len() >= CHANGE_POINTS_FROM
}

/// The probabilities of the step and of the drift; 1 where there is none to test.
fn p_values(searched: &Searched) -> [f64; TESTS] {
    let State::Searched(found) = &searched.state else { return [1.0; TESTS] };
    [
        found.suspect().map_or(1.0, |suspect| suspect.p_value),
        found.drifted.map_or(1.0, |drifted| drifted.p_value),
    ]
}

/// Holm's procedure over the tests of cells, two after two.
fn family(p_values: &[f64], alpha: f64) -> Vec<Tested> {
    let levels = holm_levels(p_values, alpha).unwrap_or_default();
    let rejected = holm_rejections(p_values, alpha).unwrap_or_default();
    levels
        .chunks_exact(TESTS)
        .zip(rejected.chunks_exact(TESTS))
        .map(|(levels, rejected)| Tested {
            step_level: levels[0],
            step_fails: rejected[0],
            drift_level: levels[1],
            drift_fails: rejected[1],
        })
        .collect()
}
