//! Where the level of a series in time changed.
//!
//! Deterministic: no random intervals, no permutations drawn. Candidates come from a [`scan`] whose
//! largest value under noise is known from simulation ([`null`]), their places from least absolute
//! deviations ([`refine`]), and each has to stand against its own neighbourhood before it counts.
//! What a change means, and for whom, is left to the caller.

mod instability;
mod null;
mod refine;
mod scan;
#[cfg(test)]
mod tests;

pub use instability::{Instability, instability};

use super::hampel::without_outliers;
use super::{difference_spread, finite, mann_whitney, mann_whitney_floor, median, robust_spread};

/// Points from which on a series is searched for changes. Our choice: the table of what noise
/// reaches begins there, and fewer differences hardly tell the noise.
pub const CHANGE_POINTS_FROM: usize = 12;
/// Points that a level needs: the median of three outvotes one outlier.
const SHORTEST: usize = 3;
/// How many standard errors the medians on both sides have to differ by, with the scatter of these
/// two sides: a wandering series has more of it than its neighbours' differences show.
const FEWEST_ERRORS: f64 = 3.0;
/// The standard error of a median over that of a mean, squared, for normal noise.
const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;
/// Two-sided probability by ranks that is small enough beside the search's own, with 20 points and
/// more. Our choice: it turns away what a few wild points make.
const RANKS_WITHIN: f64 = 0.02;
/// The same for fewer points, where three against three can do no better than 0.1.
const RANKS_WITHIN_FEW: f64 = 0.1;
const FEW: usize = 20;

/// A change of level, in the unit of the series.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelChange {
    /// First point of the new level.
    pub index: usize,
    /// Median since the change before, without single outliers.
    pub before: f64,
    /// Median up to the next change, without single outliers.
    pub after: f64,
    /// Points of the level before.
    pub points_before: usize,
    /// Points of the level after.
    pub points_after: usize,
    /// Probability of so clear a change by chance: the larger of two. One is that of noise to
    /// reach so much anywhere in so long a series, the other that of the ranks on both sides,
    /// two-sided.
    pub p_value: f64,
    /// First and last place at which the new level may have begun, with 95 % confidence.
    pub range: (usize, usize),
}

/// The changes of level in a series of logarithms, in the order of time; `None` below
/// [`CHANGE_POINTS_FROM`] points.
///
/// A change is at least `least` in size, has 3 points on each side, exceeds what 99 % of series of
/// such length reach anywhere by noise alone, and stands out from its own two sides by their
/// scatter and by ranks. Single outliers are left out (see `hampel_outliers`): they are no change.
#[must_use]
pub fn change_points(values: &[f64], least: f64) -> Option<Vec<LevelChange>> {
    if values.len() < CHANGE_POINTS_FROM {
        return None;
    }
    let values = without_outliers(finite(values)?)?;
    let noise = difference_spread(&values)?;
    if noise <= 0.0 {
        return Some(Vec::new());
    }
    let mut places = scan::candidates(&values, noise);
    loop {
        refine::settle(&values, &mut places);
        let judged: Vec<Judged> = around(&places, values.len())
            .map(|(start, place, end)| judge(&values, noise, (start, place, end)))
            .collect();
        let weakest = (0..judged.len())
            .filter(|index| !judged[*index].stands(least, values.len()))
            .min_by(|a, b| judged[*a].errors.total_cmp(&judged[*b].errors));
        match weakest {
            Some(index) => places.remove(index),
            None => return Some(judged.into_iter().map(|judged| judged.change).collect()),
        };
    }
}

/// The smallest probability that a change between so many points can have.
#[must_use]
pub fn change_floor(before: usize, after: usize) -> f64 {
    mann_whitney_floor(before, after).map_or(1.0, |floor| (2.0 * floor).min(1.0))
}

/// The smallest step that such a series shows at its end, with so many points after it, with the
/// probability `p_value` and a power of 80 %; `None` where no step could.
#[must_use]
pub fn smallest_step(values: &[f64], after: usize, p_value: f64) -> Option<f64> {
    let before = values.len().checked_sub(after).filter(|before| *before >= SHORTEST)?;
    if values.len() < CHANGE_POINTS_FROM || after < SHORTEST {
        return None;
    }
    let noise = difference_spread(&without_outliers(finite(values)?)?)?;
    smallest_step_for(noise, before, after, p_value)
}

fn smallest_step_for(noise: f64, before: usize, after: usize, p_value: f64) -> Option<f64> {
    // The normal quantile of 80 %.
    const POWER: f64 = 0.841_621_233_572_914_3;
    // The noise of so many points is known to `sqrt(3 / n)` of itself: measured in seeded series.
    const NOISE_DOUBT: f64 = 3.0;
    let points = before + after;
    let reachable = change_floor(before, after) <= p_value;
    let needed = null::statistic(points, p_value).filter(|_| reachable)?;
    let scatter = (1.0 + NOISE_DOUBT * needed * needed / points as f64).sqrt();
    Some(noise * (needed + POWER * scatter) / scan::weight(before, after))
}

/// Each place with the neighbours that bound its two levels.
fn around(places: &[usize], end: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..places.len()).map(move |index| {
        let start = index.checked_sub(1).map_or(0, |before| places[before]);
        (start, places[index], places.get(index + 1).copied().unwrap_or(end))
    })
}

/// A change, and how far it stands out from its surroundings.
struct Judged {
    change: LevelChange,
    errors: f64,
    rank_p_value: f64,
    scan_p_value: f64,
}

impl Judged {
    fn stands(&self, least: f64, points: usize) -> bool {
        let ranks = if points < FEW { RANKS_WITHIN_FEW } else { RANKS_WITHIN };
        (self.change.after - self.change.before).abs() >= least
            && self.errors >= FEWEST_ERRORS
            && self.rank_p_value <= ranks
            && self.scan_p_value <= null::ALLOWED
    }
}

fn judge(values: &[f64], noise: f64, (start, place, end): (usize, usize, usize)) -> Judged {
    let (left, right) = (&values[start..place], &values[place..end]);
    let (before, after) = (middle(left), middle(right));
    let scatter: Vec<f64> = left
        .iter()
        .map(|value| value - before)
        .chain(right.iter().map(|value| value - after))
        .collect();
    let spread = robust_spread(&scatter).unwrap_or(0.0).max(noise);
    let weight = scan::weight(left.len(), right.len());
    let (low, high) = if before < after { (left, right) } else { (right, left) };
    let rank_p_value = mann_whitney(low, high).map_or(1.0, |p_value| (2.0 * p_value).min(1.0));
    let scan_p_value = null::p_value(values.len(), scan::statistic(left, right) / noise);
    Judged {
        errors: (after - before).abs() * weight / (spread * MEDIAN_VARIANCE.sqrt()),
        rank_p_value,
        scan_p_value,
        change: LevelChange {
            index: place,
            before,
            after,
            points_before: left.len(),
            points_after: right.len(),
            p_value: rank_p_value.max(scan_p_value),
            range: refine::range(values, noise, (start, place, end)),
        },
    }
}

fn middle(values: &[f64]) -> f64 {
    median(values).unwrap_or(f64::NAN)
}
