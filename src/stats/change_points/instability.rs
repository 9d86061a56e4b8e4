//! Series that say nothing about changes, because their levels come and go or run into each other.

use std::f64::consts::FRAC_PI_2;

use super::{LevelChange, middle};
use crate::stats::{finite, lag_one_autocorrelation, robust_spread, sorted};

/// Points per change, on average, below which a series is no sequence of levels. Our choice, like
/// the figures below, and held to noise, slopes, steps and random walks in seeded series.
const POINTS_PER_CHANGE: usize = 15;
/// Correlation of neighbours, after levels or a slope are taken off, above which they are not
/// independent enough to tell a change from wandering.
const CORRELATED: f64 = 0.4;
/// Standard deviations of a correlation that is zero, `1 / sqrt(n)`, which it must exceed too.
const BY_CHANCE: f64 = 1.96;
/// Standard deviations, from crest to trough, that a series wanders through.
const WANDERS_WITHIN: f64 = 4.0;
/// Distance of two modes in scaled deviations within them. The halves of normal noise are 3 apart.
const APART: f64 = 5.0;
/// Times that a series has to go from one mode to the other: a step does so once, a passing
/// disturbance twice.
const ALTERNATIONS: usize = 3;
/// The rarer mode has at least this many points …
const FEWEST: usize = 3;
/// … and one in ten of all: a mode that is visited less is a few outliers.
const ONE_IN: usize = 10;

/// Why a series says nothing about changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Instability {
    /// Two levels take turns.
    Bimodal {
        /// Distance of the levels, in the unit of the series.
        gap: f64,
        /// How often it goes from one to the other.
        alternations: usize,
    },
    /// More than one change in fifteen points.
    TooManyChanges {
        /// How many.
        changes: usize,
    },
    /// Each point resembles the one before: the series wanders rather than steps.
    Autocorrelated {
        /// Correlation with the point before, -1 to 1.
        correlation: f64,
    },
}

/// Why such a series, with the changes that were found in it, says nothing about changes of `least`
/// or more; `None` where it may be believed, and for values that are not finite.
///
/// Modes that are closer than `least`, and wandering within it, are no reason. A steady slope is not unstable: its points resemble each other, but no more once the slope is
/// taken off.
#[must_use]
pub fn instability(values: &[f64], changes: &[LevelChange], least: f64) -> Option<Instability> {
    let values = finite(values)?;
    if let Some((gap, alternations)) = two_modes(values).filter(|(gap, _)| *gap >= least) {
        return Some(Instability::Bimodal { gap, alternations });
    }
    let count = changes.len();
    if count > 1 && count * POINTS_PER_CHANGE > values.len() {
        return Some(Instability::TooManyChanges { changes: count });
    }
    let rest = without_levels(values, changes);
    if WANDERS_WITHIN * robust_spread(&rest)? < least {
        return None;
    }
    let correlation =
        correlation(&rest, changes.len() + 1)?.min(correlation(&without_slope(values), 2)?);
    (correlation > CORRELATED).then_some(Instability::Autocorrelated { correlation })
}

/// The correlation of neighbours in what is left after so many figures were fitted, 0 where chance
/// explains it. Fitting takes some of it along: each figure `(1 + 3 r) / n` (Kendall, 1954, "Note on
/// bias in the estimation of autocorrelation", Biometrika 41), which is given back.
fn correlation(rest: &[f64], fitted: usize) -> Option<f64> {
    let n = rest.len() as f64;
    let seen = lag_one_autocorrelation(rest)?;
    let taken = fitted as f64 / n;
    let whole = (seen + taken) / (1.0 - 3.0 * taken).max(0.1);
    Some(if seen > BY_CHANCE / n.sqrt() { whole.min(1.0) } else { 0.0 })
}

fn without_levels(values: &[f64], changes: &[LevelChange]) -> Vec<f64> {
    let mut ends: Vec<usize> = changes.iter().map(|change| change.index).collect();
    ends.push(values.len());
    let mut start = 0;
    let mut rest = Vec::with_capacity(values.len());
    for end in ends {
        let level = &values[start..end];
        let center = middle(level);
        rest.extend(level.iter().map(|value| value - center));
        start = end;
    }
    rest
}

/// What least squares leave of a straight line.
fn without_slope(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let (mid_time, mean) = ((n - 1.0) / 2.0, values.iter().sum::<f64>() / n);
    let times = || (0..values.len()).map(|index| index as f64 - mid_time);
    let product: f64 = times().zip(values).map(|(time, value)| time * (value - mean)).sum();
    let slope = product / times().map(|time| time * time).sum::<f64>().max(1.0);
    times().zip(values).map(|(time, value)| value - mean - slope * time).collect()
}

/// The distance of two modes and how often they take turns, where there are two.
fn two_modes(values: &[f64]) -> Option<(f64, usize)> {
    let sorted = sorted(values)?;
    let fewest = FEWEST.max(values.len().div_ceil(ONE_IN));
    let (parting, deviations) = parting(&sorted, fewest)?;
    let (low, high) = sorted.split_at(parting);
    let gap = middle(high) - middle(low);
    let finest = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.0);
    let spread = [
        robust_spread(low)?,
        robust_spread(high)?,
        // The mean deviation, too, for few points; as a standard deviation, less two medians.
        FRAC_PI_2.sqrt() * deviations / (sorted.len() - 2) as f64,
        // Rounded values are known to half of their unit.
        finest.fold(f64::INFINITY, f64::min) / 2.0,
    ]
    .into_iter()
    .fold(0.0, f64::max);
    // Each point belongs to the mode that is nearer.
    let border = f64::midpoint(middle(low), middle(high));
    let rarer = values.iter().filter(|value| **value > border).count();
    let rarer = rarer.min(values.len() - rarer);
    let alternations = turns(values, border, gap / 4.0);
    (gap > APART * spread && rarer >= fewest && alternations >= ALTERNATIONS)
        .then_some((gap, alternations))
}

/// How often a series goes from one mode to the other: a point between them, within `margin` of the
/// border, has not left. Else the noise around a single step would go to and fro.
fn turns(values: &[f64], border: f64, margin: f64) -> usize {
    let clear = values.iter().filter(|value| (**value - border).abs() > margin);
    let sides: Vec<bool> = clear.map(|value| *value > border).collect();
    sides.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Where to part sorted values in two, of `fewest` at least, so that the sum of deviations from
/// both medians is least, and that sum.
fn parting(sorted: &[f64], fewest: usize) -> Option<(usize, f64)> {
    let mut sums = vec![0.0];
    sums.extend(sorted.iter().scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum)
    }));
    let within = |start: usize, end: usize| {
        let half = (end - start) / 2;
        sums[end] - sums[end - half] - (sums[start + half] - sums[start])
    };
    (fewest..=sorted.len().checked_sub(fewest)?)
        .map(|at| (at, within(0, at) + within(at, sorted.len())))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}
