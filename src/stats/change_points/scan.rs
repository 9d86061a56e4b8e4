//! Candidates: where the means of two stretches differ most, over stretches of all lengths.

use super::{SHORTEST, null};

/// Ratio of the lengths of intervals from one layer to the next, `1 / sqrt(2)` (the default of
/// Kovács and others, 2023).
const DECAY: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The largest statistic within one interval, and the place that has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    pub(super) statistic: f64,
    place: usize,
    start: usize,
    end: usize,
}

/// Places whose statistic exceeds what noise reaches, in ascending order: the largest first, then
/// the largest of the intervals that do not contain it, and so on.
pub(super) fn candidates(values: &[f64], noise: f64) -> Vec<usize> {
    let threshold = null::threshold(values.len());
    let mut peaks: Vec<Peak> =
        peaks(values).filter(|peak| peak.statistic > threshold * noise).collect();
    let mut places = Vec::new();
    while let Some(best) = peaks.iter().copied().max_by(|a, b| a.statistic.total_cmp(&b.statistic))
    {
        places.push(best.place);
        peaks.retain(|peak| peak.end <= best.place || peak.start >= best.place);
    }
    places.sort_unstable();
    places
}

/// The peak of each seeded interval.
pub(super) fn peaks(values: &[f64]) -> impl Iterator<Item = Peak> {
    let mut sums = vec![0.0];
    sums.extend(values.iter().scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum)
    }));
    intervals(values.len()).map(move |(start, end)| {
        let mut peak = Peak { statistic: 0.0, place: start, start, end };
        for place in start + SHORTEST..=end - SHORTEST {
            let (left, right) = (place - start, end - place);
            let before = (sums[place] - sums[start]) / left as f64;
            let after = (sums[end] - sums[place]) / right as f64;
            let statistic = (after - before).abs() * weight(left, right);
            if statistic > peak.statistic {
                (peak.statistic, peak.place) = (statistic, place);
            }
        }
        peak
    })
}

/// Seeded intervals (Kovács, Bühlmann, Li and Munk, 2023, "Seeded binary segmentation", Biometrika
/// 110): layers of ever shorter ones that overlap by half or more, down to two shortest levels.
fn intervals(points: usize) -> impl Iterator<Item = (usize, usize)> {
    let n = points as f64;
    (0..)
        .map(|layer| DECAY.powi(layer))
        .take_while(move |share| n * share >= (2 * SHORTEST) as f64)
        .flat_map(move |share| {
            let length = n * share;
            let count = 2.0 * (1.0 / share - 1e-9).ceil() - 1.0;
            let shift = if count > 1.0 { (n - length) / (count - 1.0) } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let count = count as usize;
            (0..count).map(move |index| {
                let start = index as f64 * shift;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..n")]
                let ends = (start as usize, (start + length - 1e-9).ceil() as usize);
                (ends.0, ends.1.min(points))
            })
        })
}

/// `|S_k| / sqrt(k (n - k) / n)`, the cumulative sum at the end of the first stretch in units of
/// its own standard deviation for noise of one.
pub(super) fn statistic(left: &[f64], right: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    (mean(right) - mean(left)).abs() * weight(left.len(), right.len())
}

/// The inverse of the standard error of a difference of two means, for noise of one.
pub(super) fn weight(left: usize, right: usize) -> f64 {
    ((left * right) as f64 / (left + right) as f64).sqrt()
}
