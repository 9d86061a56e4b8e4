//! Places: where the sum of absolute deviations from the levels on both sides is least.

use super::{SHORTEST, around};

/// Rounds in which each place is moved between its neighbours, at most.
const ROUNDS: usize = 20;
/// How much more than the least sum of deviations a place may have and still be possible, in
/// standard deviations of the noise.
///
/// Near a change of size `d`, the excess of the sum is a random walk in both directions with drift
/// `f(0) d^2` and variance `d^2` per point (Bai, 1995, "Least absolute deviation estimation of a
/// shift", Econometric Theory 11), whose depth is exponential: it stays within `x` with the
/// probability `(1 - exp(-2 f(0) x))^2`, which is Hansen's way (2000, "Sample splitting and
/// threshold estimation", Econometrica 68) to a set of places. For normal noise
/// `f(0) = 1 / sqrt(2 pi)`, and 95 % are reached at 4.61. Larger steps are covered more often.
const POSSIBLE_WITHIN: f64 = 4.61;

/// Moves each place to where it fits best between its neighbours, until none moves.
pub(super) fn settle(values: &[f64], places: &mut [usize]) {
    for _ in 0..ROUNDS {
        let mut moved = false;
        for index in 0..places.len() {
            let Some((start, place, end)) = around(places, values.len()).nth(index) else {
                continue;
            };
            let best = best_place(&values[start..end]).map_or(place, |offset| start + offset);
            moved |= best != place;
            places[index] = best;
        }
        if !moved {
            return;
        }
    }
}

/// The first and last place between the neighbours whose deviations are hardly above the least.
pub(super) fn range(
    values: &[f64],
    noise: f64,
    (start, place, end): (usize, usize, usize),
) -> (usize, usize) {
    let deviations = deviations(&values[start..end]);
    let limit = deviations[place - start - SHORTEST] + POSSIBLE_WITHIN * noise;
    let first = deviations.iter().position(|sum| *sum <= limit);
    let last = deviations.iter().rposition(|sum| *sum <= limit);
    let at = |offset: Option<usize>| offset.map_or(place, |offset| start + SHORTEST + offset);
    (at(first), at(last))
}

fn best_place(values: &[f64]) -> Option<usize> {
    let deviations = deviations(values);
    let best = (0..deviations.len()).min_by(|a, b| deviations[*a].total_cmp(&deviations[*b]));
    best.map(|offset| offset + SHORTEST)
}

/// The sum of absolute deviations from the medians of both sides, for each place that leaves a
/// level on each side.
fn deviations(values: &[f64]) -> Vec<f64> {
    let ahead: Vec<f64> = Deviations::growing(values.iter());
    let mut behind: Vec<f64> = Deviations::growing(values.iter().rev());
    behind.reverse();
    (SHORTEST..=values.len().saturating_sub(SHORTEST))
        .map(|place| ahead[place - 1] + behind[place])
        .collect()
}

/// Values so far, in ascending order, and the sums that their deviations need.
#[derive(Default)]
struct Deviations {
    sorted: Vec<f64>,
    total: f64,
    /// Sum of the lower half, without the middle one.
    lower: f64,
}

impl Deviations {
    /// The sum of absolute deviations from their median, of the first value, the first two, …
    fn growing<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
        let mut so_far = Self::default();
        values.map(|value| so_far.with(*value)).collect()
    }

    fn with(&mut self, value: f64) -> f64 {
        let half = self.sorted.len() / 2;
        let place = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(place, value);
        self.total += value;
        if place < half {
            self.lower += value - self.sorted[half];
        }
        let odd = self.sorted.len() % 2 == 1;
        if !odd {
            self.lower += self.sorted[half];
        }
        let middle = if odd { self.sorted[half] } else { 0.0 };
        (self.total - middle - 2.0 * self.lower).max(0.0)
    }
}
