//! Whether a mean is above zero, from the signs that the samples could as well have had.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::finite;

/// Samples up to which all flips are counted: two halves of 2^15 sums each.
const COUNTED_UP_TO: usize = 30;
/// Random flips beyond.
const DRAWS: u32 = 1 << 16;
/// Share of the sum of all sizes by which two sums may differ and still be called equal: far above
/// what adding 60 numbers in another order can change.
const ROUNDING: f64 = 1e-12;

/// The one-sided probability, over all ways to flip signs, of a mean as large as this one: small
/// where the mean is above zero, whatever the distribution, as long as it is symmetric.
///
/// All flips are counted for up to 30 samples. Beyond, 2^16 of them are drawn from `seed`, and
/// the samples as they are count as one more.
#[must_use]
pub fn sign_flip(samples: &[f64], seed: u64) -> Option<f64> {
    let samples = finite(samples)?;
    let observed: f64 = samples.iter().sum();
    let size: f64 = samples.iter().map(|sample| sample.abs()).sum();
    let limit = observed - ROUNDING * size;
    Some(if samples.len() <= COUNTED_UP_TO {
        counted(samples, limit)
    } else {
        drawn(samples, limit, seed)
    })
}

/// The smallest probability that [`sign_flip`] can answer with so many samples.
#[must_use]
pub fn sign_flip_floor(samples: usize) -> f64 {
    match i32::try_from(samples) {
        Ok(exponent) if samples <= COUNTED_UP_TO => 2_f64.powi(-exponent),
        _ => 1.0 / f64::from(DRAWS + 1),
    }
}

fn counted(samples: &[f64], limit: f64) -> f64 {
    let (front, back) = samples.split_at(samples.len() / 2);
    let (front, back) = (flipped_sums(front), flipped_sums(back));
    // As the sums of the front grow, ever smaller ones of the back are enough.
    let mut enough = back.len();
    let mut reaching = 0;
    for sum in &front {
        while enough > 0 && sum + back[enough - 1] >= limit {
            enough -= 1;
        }
        reaching += back.len() - enough;
    }
    reaching as f64 / (front.len() as f64 * back.len() as f64)
}

/// The sums under all flips, in ascending order.
fn flipped_sums(samples: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for sample in samples {
        sums = sums.iter().flat_map(|sum| [sum - sample, sum + sample]).collect();
    }
    sums.sort_unstable_by(f64::total_cmp);
    sums
}

fn drawn(samples: &[f64], limit: f64, seed: u64) -> f64 {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    let reaching = (0..DRAWS)
        .filter(|_| {
            let sum: f64 = samples
                .chunks(64)
                .map(|chunk| {
                    let signs = chance.next_u64();
                    let flipped = chunk
                        .iter()
                        .enumerate()
                        .map(|(bit, sample)| if signs >> bit & 1 == 1 { -sample } else { *sample });
                    flipped.sum::<f64>()
                })
                .sum();
            sum >= limit
        })
        .count();
    (reaching as f64 + 1.0) / (f64::from(DRAWS) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    // scipy.stats.permutation_test((samples,), numpy.mean, permutation_type='samples',
    // alternative='greater', n_resamples=inf).pvalue
    const FLIPS: &[(&[f64], f64)] = &[
        (&[0.02, -0.49, 0.03], 0.625),
        (&[0.8, 1.93, 2.3, 0.3, -0.76, -0.68], 0.140_625),
        (&[2.43, -0.1, 0.76, 2.22, -0.38, 0.11, -0.28, -0.8, 1.1], 0.105_468_75),
        (
            &[1.47, -1.47, 1.38, 0.16, 0.58, 0.6, -0.91, 0.09, -0.59, 2.32, 2.59, 0.48],
            0.073_974_609_375,
        ),
        (&[1.0, -1.0, 2.0, 2.0, 0.0, -0.5, 0.5, 3.0], 0.078_125),
    ];

    fn made(count: u32) -> Vec<f64> {
        (0..count).map(|index| (f64::from(index * 37 % 41) - 17.0) / 10.0).collect()
    }

    #[test]
    fn probabilities_are_those_of_scipy() {
        for (samples, expected) in FLIPS {
            let got = sign_flip(samples, 1).unwrap();
            assert!((got - expected).abs() < 1e-12, "{samples:?}: {got}, not {expected}");
        }
        // The same call for 20; for 30 and 40 the sums of all flips were counted in Python's whole
        // numbers.
        for (count, expected) in [(20, 0.193_700_790_405_273_44), (30, 0.097_561_290_487_647_06)] {
            assert!((sign_flip(&made(count), 1).unwrap() - expected).abs() < 1e-12);
        }
        let drawn = sign_flip(&made(40), 1).unwrap();
        // Three standard deviations of a share of 2^16.
        assert!((drawn - 0.039_870_874_812_55).abs() < 0.0023, "{drawn}");
    }

    #[test]
    fn one_sample_on_the_wrong_side_keeps_it_from_the_floor() {
        for count in [1, 6, 12, 30, 48] {
            let mut samples = vec![0.1; count];
            let floor = sign_flip_floor(count);
            assert!((sign_flip(&samples, 7).unwrap() / floor - 1.0).abs() < 1e-9, "{count}");
            samples[0] = -0.001;
            if count <= 30 {
                assert!(sign_flip(&samples, 7).unwrap() >= 2.0 * floor);
            }
        }
        assert!((sign_flip_floor(6) - 0.015_625).abs() < 1e-15);
    }

    #[test]
    fn nothing_and_zeros_show_nothing() {
        assert_eq!(sign_flip(&[], 1), None);
        assert_eq!(sign_flip(&[1.0, f64::INFINITY], 1), None);
        assert_eq!(sign_flip(&[0.0; 9], 1), Some(1.0));
        assert_eq!(sign_flip(&[0.0; 40], 1), Some(1.0));
    }

    #[test]
    fn it_is_wrong_as_often_as_it_says() {
        let mut chance = Normals::seeded(8);
        let wrong = (0..4000).filter(|_| sign_flip(&chance.take(9), 1).unwrap() <= 0.05).count();
        // 5 % of 4000 with three standard deviations.
        assert!((158..=242).contains(&wrong), "{wrong} of 4000");
    }
}
