//! A Gaussian process: what is known of a function after a few noisy looks, and how surely.
//!
//! Matérn kernel with ν = 5/2 and one length scale per coordinate; coordinates without an order
//! count as one apart where they differ. Knobs mostly act each for itself, so part of the kernel
//! is a sum over single coordinates: a level that was good in one company is expected to be good
//! in another one. Rasmussen and Williams, *Gaussian Processes for Machine
//! Learning* (2006), algorithm 2.1 and chapter 5. The length scales are the likeliest of a seeded
//! sample, improved one at a time.

use rand::RngExt;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::stats::{median, robust_spread};

/// Draws of length scales that are compared by their likelihood.
const DRAWS: usize = 16;
/// Mean and standard deviation of the logarithm of a length scale before anything is known.
const LENGTH_PRIOR: [f64; 2] = [0.3, 0.9];
/// Shares of the kernel that are a sum over single coordinates.
const ALONE: [f64; 3] = [0.85, 0.5, 0.15];
/// Values farther from the median than so many robust deviations are pulled in: how bad a bad
/// setting is teaches nothing about good ones.
const WINSOR: f64 = 6.0;
/// Smallest noise variance, in units of the values' variance.
const JITTER: f64 = 1e-6;

/// One look: where, what was seen, and the variance of its error.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) at: Vec<f64>,
    pub(super) value: f64,
    pub(super) variance: f64,
}

/// Mean and standard deviation of a belief.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Belief {
    pub(super) mean: f64,
    pub(super) sd: f64,
}

/// The belief about every place, from some looks.
#[derive(Debug)]
pub(super) struct Surrogate {
    places: Vec<Vec<f64>>,
    unordered: Vec<bool>,
    shape: Shape,
    lower: Triangle,
    weights: Vec<f64>,
    middle: f64,
    spread: f64,
}

impl Surrogate {
    /// What these looks teach; `None` without any, or where they cannot be told apart.
    pub(super) fn of(looks: &[Look], unordered: &[bool], seed: u64) -> Option<Self> {
        let values = winsorised(looks)?;
        let middle = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
        let spread = (square / values.len() as f64).sqrt().max(1e-4);
        let values: Vec<f64> = values.iter().map(|value| (value - middle) / spread).collect();
        let noise: Vec<f64> =
            looks.iter().map(|look| look.variance / (spread * spread) + JITTER).collect();
        let places: Vec<Vec<f64>> = looks.iter().map(|look| look.at.clone()).collect();
        let fit = |shape: &Shape| fitted(&places, unordered, shape, &noise, &values);
        let shape = likeliest(unordered.len(), seed, |shape| fit(shape).map(|(_, _, it)| it))?;
        let (lower, weights, _) = fit(&shape)?;
        let unordered = unordered.to_vec();
        Some(Self { places, unordered, shape, lower, weights, middle, spread })
    }

    /// The belief about a place.
    pub(super) fn belief(&self, at: &[f64]) -> Belief {
        let near: Vec<f64> = self
            .places
            .iter()
            .map(|place| kernel(place, at, &self.unordered, &self.shape))
            .collect();
        let mean: f64 = near.iter().zip(&self.weights).map(|(near, weight)| near * weight).sum();
        let explained: f64 = self.lower.solve(&near).iter().map(|part| part * part).sum();
        Belief {
            mean: self.middle + self.spread * mean,
            sd: self.spread * (1.0 - explained).max(1e-12).sqrt(),
        }
    }
}

/// The values, none farther from the median than the limit.
fn winsorised(looks: &[Look]) -> Option<Vec<f64>> {
    let values: Vec<f64> = looks.iter().map(|look| look.value).collect();
    let middle = median(&values)?;
    let reach = WINSOR * robust_spread(&values).unwrap_or(0.0).max(0.01);
    Some(values.iter().map(|value| value.clamp(middle - reach, middle + reach)).collect())
}

/// What the likelihood of the looks depends on.
#[derive(Debug, Clone)]
struct Shape {
    /// One length scale per coordinate.
    lengths: Vec<f64>,
    /// Share of the variance that single coordinates explain.
    alone: f64,
    /// Share of the variance that nothing explains.
    nugget: f64,
}

/// The shape that makes the looks likeliest.
fn likeliest(
    dimensions: usize,
    seed: u64,
    likelihood: impl Fn(&Shape) -> Option<f64>,
) -> Option<Shape> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut best: Option<(f64, Shape)> = None;
    let consider = |shape: Shape, best: &mut Option<(f64, Shape)>| {
        let Some(own) = likelihood(&shape) else { return };
        if best.as_ref().is_none_or(|(known, _)| own > *known) {
            *best = Some((own, shape));
        }
    };
    for draw in 0..DRAWS {
        let lengths = (0..dimensions)
            .map(|_| (LENGTH_PRIOR[0] + LENGTH_PRIOR[1] * normal(&mut chance)).exp().max(0.05))
            .collect();
        let nugget = if draw == 0 { 1e-4 } else { 10_f64.powf(chance.random_range(-4.0..-1.0)) };
        consider(Shape { lengths, alone: ALONE[draw % ALONE.len()], nugget }, &mut best);
    }
    for axis in 0..dimensions {
        for factor in [0.4, 2.5, 8.0] {
            let mut changed = best.clone()?.1;
            changed.lengths[axis] = (changed.lengths[axis] * factor).clamp(0.05, 50.0);
            consider(changed, &mut best);
        }
    }
    for alone in ALONE {
        consider(Shape { alone, ..best.clone()?.1 }, &mut best);
    }
    best.map(|(_, shape)| shape)
}

/// A standard normal number, near enough for a prior: the sum of twelve uniform ones less six.
fn normal(chance: &mut Xoshiro256PlusPlus) -> f64 {
    (0..12).map(|_| chance.random_range(0.0..1.0)).sum::<f64>() - 6.0
}

/// The factor of the covariance, the weights of the looks, and the log likelihood.
fn fitted(
    places: &[Vec<f64>],
    unordered: &[bool],
    shape: &Shape,
    noise: &[f64],
    values: &[f64],
) -> Option<(Triangle, Vec<f64>, f64)> {
    let lower = Triangle::of(places.len(), |row, column| {
        let near = kernel(&places[row], &places[column], unordered, shape);
        if row == column { near + noise[row] + shape.nugget } else { near }
    })?;
    let half = lower.solve(values);
    let fit: f64 = half.iter().map(|part| part * part).sum();
    let weights = lower.solve_transposed(&half);
    let likelihood = -0.5 * fit - lower.log_diagonal();
    likelihood.is_finite().then_some((lower, weights, likelihood))
}

/// How much two places have in common, from 0 to 1.
fn kernel(one: &[f64], other: &[f64], unordered: &[bool], shape: &Shape) -> f64 {
    let (mut square, mut alone) = (0.0, 0.0);
    for (axis, length) in shape.lengths.iter().enumerate() {
        let apart = one[axis] - other[axis];
        let apart = if unordered[axis] && apart != 0.0 { 1.0 } else { apart };
        let own = (apart / length).powi(2);
        square += own;
        alone += matern(own);
    }
    let single = alone / (shape.lengths.len().max(1) as f64);
    shape.alone * single + (1.0 - shape.alone) * matern(square)
}

/// Matérn with ν = 5/2 of a squared distance in length scales.
fn matern(square: f64) -> f64 {
    let root = (5.0 * square).sqrt();
    (1.0 + root + root * root / 3.0) * (-root).exp()
}

/// The lower triangle of a Cholesky factor, row by row.
#[derive(Debug)]
struct Triangle {
    size: usize,
    cells: Vec<f64>,
}

impl Triangle {
    /// The factor of a symmetric matrix; `None` where that is not positive definite.
    fn of(size: usize, matrix: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let mut cells = vec![0.0; size * (size + 1) / 2];
        for row in 0..size {
            let start = row * (row + 1) / 2;
            for column in 0..=row {
                let other = column * (column + 1) / 2;
                let known: f64 = (0..column).map(|k| cells[start + k] * cells[other + k]).sum();
                let rest = matrix(row, column) - known;
                cells[start + column] = if row == column {
                    (rest > 0.0).then(|| rest.sqrt())?
                } else {
                    rest / cells[other + column]
                };
            }
        }
        Some(Self { size, cells })
    }

    fn row(&self, row: usize) -> &[f64] {
        let start = row * (row + 1) / 2;
        &self.cells[start..=start + row]
    }

    /// `x` of `L x = b`.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Vec::with_capacity(self.size);
        for row in 0..self.size {
            let cells = self.row(row);
            let known: f64 = cells[..row].iter().zip(&x).map(|(cell, x)| cell * x).sum();
            x.push((b[row] - known) / cells[row]);
        }
        x
    }

    /// `x` of `Lᵀ x = b`.
    fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        for row in (0..self.size).rev() {
            let cells = self.row(row);
            x[row] /= cells[row];
            let own = x[row];
            for (cell, rest) in cells[..row].iter().zip(&mut x) {
                *rest -= cell * own;
            }
        }
        x
    }

    /// Sum of the logarithms of the diagonal: half that of the determinant of the matrix.
    fn log_diagonal(&self) -> f64 {
        (0..self.size).map(|row| self.row(row)[row].ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: &[f64], value: f64) -> Look {
        Look { at: at.to_vec(), value, variance: 1e-8 }
    }

    #[test]
    fn a_factor_gives_the_matrix_back() {
        let matrix = [[4.0, 2.0, 0.6], [2.0, 3.0, 0.4], [0.6, 0.4, 2.0]];
        let lower = Triangle::of(3, |row, column| matrix[row][column]).unwrap();
        let b = [1.0, -2.0, 3.0];
        let x = lower.solve_transposed(&lower.solve(&b));
        for row in 0..3 {
            let product: f64 = (0..3).map(|column| matrix[row][column] * x[column]).sum();
            assert!((product - b[row]).abs() < 1e-12);
        }
        // The determinant, by Sarrus.
        assert!((2.0 * lower.log_diagonal() - 15.24_f64.ln()).abs() < 1e-12);
        assert!(Triangle::of(2, |_, _| 1.0).is_none(), "singular");
    }

    #[test]
    fn beliefs_are_sure_where_something_was_seen_and_unsure_far_away() {
        let smooth = |x: f64| (3.0 * x).sin();
        let looks: Vec<Look> =
            (0..9).map(|i| f64::from(i) / 8.0).map(|x| look(&[x], smooth(x))).collect();
        let surrogate = Surrogate::of(&looks, &[false], 1).unwrap();
        let (seen, between) = (surrogate.belief(&[0.5]), surrogate.belief(&[0.55]));
        assert!((seen.mean - smooth(0.5)).abs() < 0.02, "{seen:?}");
        assert!((between.mean - smooth(0.55)).abs() < 0.05, "{between:?}");
        let far = surrogate.belief(&[4.0]);
        assert!(far.sd > 5.0 * between.sd, "{far:?} {between:?}");
    }

    #[test]
    fn what_does_not_matter_gets_a_long_scale() {
        let mut looks = Vec::new();
        for i in 0..5 {
            for j in 0..5 {
                let (x, y) = (f64::from(i) / 4.0, f64::from(j) / 4.0);
                looks.push(look(&[x, y], (4.0 * x).cos()));
            }
        }
        let surrogate = Surrogate::of(&looks, &[false, false], 7).unwrap();
        let lengths = &surrogate.shape.lengths;
        assert!(lengths[1] > 2.0 * lengths[0], "{lengths:?}");
    }

    #[test]
    fn noise_is_not_followed() {
        let looks: Vec<Look> = (0..20)
            .map(|i| Look {
                at: vec![f64::from(i % 4)],
                value: if i % 2 == 0 { 0.1 } else { -0.1 },
                variance: 0.01,
            })
            .collect();
        let surrogate = Surrogate::of(&looks, &[true], 3).unwrap();
        assert!(surrogate.belief(&[9.0]).mean.abs() < 0.05);
        assert!(Surrogate::of(&[], &[true], 3).is_none());
    }
}
