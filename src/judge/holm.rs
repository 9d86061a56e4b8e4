//! One error for a whole build: Holm's step-down procedure over the blocking cells.

use crate::model::Weight;

/// The level that each cell is tested at, and whether it fails at it.
///
/// `tests` blocking cells share `alpha`, of which `rejected` have failed before; the level grows
/// with each that fails and stays once one did not. An advisory cell fails nobody's build and has
/// all of `alpha` for itself.
pub(super) fn step_down(
    cells: &[(Weight, f64)],
    alpha: f64,
    tests: usize,
    mut rejected: usize,
) -> Vec<(f64, bool)> {
    let mut levels: Vec<(f64, bool)> = cells.iter().map(|(_, p)| (alpha, *p <= alpha)).collect();
    let mut order: Vec<usize> =
        (0..cells.len()).filter(|place| cells[*place].0 == Weight::Blocking).collect();
    order.sort_by(|a, b| cells[*a].1.total_cmp(&cells[*b].1));
    let mut stopped = false;
    for place in order {
        let level = alpha / tests.saturating_sub(rejected).max(1) as f64;
        stopped |= cells[place].1 > level;
        levels[place] = (level, !stopped);
        rejected += usize::from(!stopped);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weight::{Advisory, Blocking};

    #[test]
    fn levels_grow_with_each_failure_and_stay_after_a_pass() {
        let found = step_down(
            &[(Blocking, 0.02), (Blocking, 0.001), (Advisory, 0.03), (Blocking, 0.012)],
            0.04,
            3,
            0,
        );
        // 0.001 <= 0.04/3, 0.012 <= 0.04/2, 0.02 <= 0.04/1.
        assert_eq!(found, [(0.04, true), (0.04 / 3.0, true), (0.04, true), (0.02, true)]);
        let found =
            step_down(&[(Blocking, 0.03), (Blocking, 0.001), (Blocking, 0.025)], 0.04, 3, 0);
        assert_eq!(found, [(0.02, false), (0.04 / 3.0, true), (0.02, false)]);
    }

    #[test]
    fn what_failed_before_leaves_its_level_to_the_rest() {
        assert_eq!(step_down(&[(Blocking, 0.015)], 0.04, 3, 1), [(0.02, true)]);
        assert_eq!(step_down(&[(Blocking, 0.015)], 0.04, 3, 0), [(0.04 / 3.0, false)]);
    }
}
