//! A row of logits as a distribution over the vocabulary: the loops that a comparison spends its
//! time in, compiled for several instruction sets and chosen at run time. All of them round alike,
//! because what is added to what is fixed: the same logits give the same numbers on each processor
//! of an architecture.

use std::f64::consts::LOG2_E;

use multiversion::multiversion;

/// Sums that are kept side by side, so that vector registers have something to do.
const LANES: usize = 8;

/// What is needed of one position of one model beside its logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// The likeliest token, the first of equals.
    pub(super) top: usize,
    /// Natural logarithm of the sum of the exponentials of all logits.
    pub(super) ln_sum: f64,
}

impl Row {
    /// `None` where a logit is not a number, or all are infinitely unlikely. The weights become the
    /// tokens' probabilities times their sum, which is given too.
    pub(super) fn of(logits: &[f32], weights: &mut [f64]) -> Option<(Self, f64)> {
        let most = largest(logits).filter(|most| most.is_finite())?;
        let top = logits.iter().position(|logit| *logit >= most)?;
        let most = f64::from(most);
        let sum = weigh(logits, most, weights);
        let ln_sum = most + sum.ln();
        ln_sum.is_finite().then_some((Self { top, ln_sum }, sum))
    }

    /// Negative log likelihood of a token, in nats.
    pub(super) fn nll(&self, logits: &[f32], token: usize) -> f64 {
        self.ln_sum - f64::from(logits[token])
    }
}

/// The largest of them; `None` where one is not a number.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn largest(logits: &[f32]) -> Option<f32> {
    let larger = |most: f32, logit: f32| if logit > most { logit } else { most };
    let mut most = [f32::NEG_INFINITY; LANES];
    let mut wrong = [false; LANES];
    let (rows, rest) = logits.as_chunks::<LANES>();
    for row in rows {
        for (at, logit) in row.iter().enumerate() {
            most[at] = larger(most[at], *logit);
            wrong[at] |= logit.is_nan();
        }
    }
    let wrong = wrong.contains(&true) || rest.iter().any(|logit| logit.is_nan());
    let all = most.iter().chain(rest);
    (!wrong).then(|| all.fold(f32::NEG_INFINITY, |most, logit| larger(most, *logit)))
}

/// The exponential of each logit's distance to the largest, and their sum.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
fn weigh(logits: &[f32], most: f64, weights: &mut [f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (rows, rest) = logits.as_chunks::<LANES>();
    let (weight_rows, weight_rest) = weights.as_chunks_mut::<LANES>();
    for (row, weights) in rows.iter().zip(weight_rows) {
        for at in 0..LANES {
            weights[at] = exponential(f64::from(row[at]) - most);
            sums[at] += weights[at];
        }
    }
    let mut sum: f64 = sums.iter().sum();
    for (logit, weight) in rest.iter().zip(weight_rest) {
        *weight = exponential(f64::from(*logit) - most);
        sum += *weight;
    }
    sum
}

/// Σ w (a - b). What weighs nothing adds nothing, infinitely unlikely as it may be.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(super) fn weighted_difference(weights: &[f64], a: &[f32], b: &[f32]) -> f64 {
    let part = |weight: f64, a: f32, b: f32| {
        let part = weight * (f64::from(a) - f64::from(b));
        if weight > 0.0 { part } else { 0.0 }
    };
    let mut sums = [0.0; LANES];
    let (weight_rows, weight_rest) = weights.as_chunks::<LANES>();
    let (a_rows, a_rest) = a.as_chunks::<LANES>();
    let (b_rows, b_rest) = b.as_chunks::<LANES>();
    for ((weights, a), b) in weight_rows.iter().zip(a_rows).zip(b_rows) {
        for at in 0..LANES {
            sums[at] += part(weights[at], a[at], b[at]);
        }
    }
    let rest = weight_rest.iter().zip(a_rest).zip(b_rest);
    sums.iter().sum::<f64>() + rest.map(|((weight, a), b)| part(*weight, *a, *b)).sum::<f64>()
}

/// e^x for x ≤ 0, without a branch, so that it can be computed for several at once; off by at most
/// 6e-16 of itself, and 0 below e^-708. 2^n e^r with |r| ≤ ln 2 / 2, by Taylor's series up to the
/// twelfth power, whose first missing term is 2e-16.
#[inline(always)]
fn exponential(x: f64) -> f64 {
    const LEAST: f64 = -708.0;
    /// Added to a number below 2^51 it leaves the nearest whole number in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// ln 2 in two parts, of which the first has no more than 33 bits: its products are exact.
    const LN_2: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);
    const FACTORIALS: [f64; 13] = {
        let mut all = [1.0; 13];
        let mut at = 1;
        while at < all.len() {
            all[at] = all[at - 1] * at as f64;
            at += 1;
        }
        all
    };
    let bounded = if x > LEAST { x } else { LEAST };
    let shifted = bounded * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (bounded - n * LN_2.0) - n * LN_2.1;
    let series = FACTORIALS.iter().rev().fold(0.0, |sum, factorial| sum * r + 1.0 / factorial);
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    if x > LEAST { series * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_exponential_is_the_standard_librarys_but_for_rounding() {
        let steps = (0..1_000_000_u32).map(|step| f64::from(step) * 7.07e-4);
        // Where the series is longest: halfway between two powers of two.
        let halves = (0..1020_u32).map(|power| (f64::from(power) + 0.5) * LN_2);
        let beside = halves.flat_map(|half| [half - 1e-9, half, half + 1e-9]);
        for x in steps.chain(beside).map(|x| -x) {
            let (own, known) = (exponential(x), x.exp());
            assert!((own - known).abs() <= 6e-16 * known, "{x}: {own} {known}");
        }
        assert!((exponential(0.0) - 1.0).abs() < f64::MIN_POSITIVE);
        for none in [-708.5, -1e9, f64::NEG_INFINITY] {
            assert!(exponential(none).abs() < f64::MIN_POSITIVE);
        }
    }

    proptest! {
        #[test]
        fn rows_of_every_length_are_what_plain_sums_say(
            logits in prop::collection::vec((-60.0_f32..60.0, -60.0_f32..60.0), 1..70),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = logits.into_iter().unzip();
            let mut weights = vec![0.0; a.len()];
            let (row, sum) = Row::of(&a, &mut weights).unwrap();
            prop_assert!(a.iter().all(|logit| *logit <= a[row.top]));
            let known: f64 = a.iter().map(|logit| f64::from(*logit).exp()).sum();
            prop_assert!((row.ln_sum - known.ln()).abs() < 1e-12);
            prop_assert!((weights.iter().sum::<f64>() / sum - 1.0).abs() < 1e-12);
            let distances = a.iter().zip(&b).map(|(a, b)| f64::from(*a) - f64::from(*b));
            let known: f64 = weights.iter().zip(distances).map(|(weight, by)| weight * by).sum();
            prop_assert!((weighted_difference(&weights, &a, &b) - known).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_wrong_is_found_wherever_it_is() {
        for length in [1, 7, 8, 9, 40] {
            for at in 0..length {
                for wrong in [f32::NAN, f32::INFINITY] {
                    let mut logits = vec![0.0; length];
                    logits[at] = wrong;
                    assert_eq!(Row::of(&logits, &mut vec![0.0; length]), None);
                }
                let mut logits = vec![f32::NEG_INFINITY; length];
                assert_eq!(Row::of(&logits, &mut vec![0.0; length]), None);
                logits[at] = -3.0;
                let (row, sum) = Row::of(&logits, &mut vec![0.0; length]).unwrap();
                assert_eq!((row.top, row.ln_sum, sum), (at, -3.0, 1.0));
            }
        }
        assert_eq!(Row::of(&[], &mut []), None);
    }
}
