//! Times as a user meets them.

use autotune_engine::api::Stretch;

use super::phases::plain;
use super::{Evidence, seconds};
use crate::model::{LatencyProfile, Stall};
use crate::stats::{median, median_estimate, quantile};

/// How many times the median a token takes that is called a stall.
const STALL: f64 = 3.0;
/// Stalls that are listed.
const MOST_STALLS: usize = 50;
/// Tokens whose times are kept.
const MOST_TOKENS: usize = 20_000;

pub(super) fn latency(evidence: &Evidence<'_>) -> LatencyProfile {
    let load = plain(evidence, Stretch::Load);
    let prefill: Vec<f64> =
        plain(evidence, Stretch::Prefill).iter().map(|it| seconds(it.elapsed_ns)).collect();
    // Samples are taken in some repetitions; they cost less than a percent, and a stall there is
    // one all the same.
    let tokens_s: Vec<f64> = evidence
        .program
        .run
        .samples
        .iter()
        .flat_map(|sample| &sample.token_ns)
        .take(MOST_TOKENS)
        .map(|token| seconds(*token))
        .collect();
    let middle = median(&tokens_s);
    LatencyProfile {
        load_s: load.first().map(|phase| seconds(phase.elapsed_ns)),
        ttft_s: median_estimate(&prefill, 0.95),
        token_p50_s: middle,
        token_p90_s: quantile(&tokens_s, 0.9),
        token_p99_s: quantile(&tokens_s, 0.99),
        token_max_s: tokens_s.iter().copied().reduce(f64::max),
        tokens_per_repetition: evidence.work.generate_tokens,
        stalls: stalls(&tokens_s, middle),
        tokens_s,
    }
}

fn stalls(tokens_s: &[f64], middle: Option<f64>) -> Vec<Stall> {
    let Some(middle) = middle.filter(|middle| *middle > 0.0) else { return Vec::new() };
    let mut stalls: Vec<Stall> = (0_u32..)
        .zip(tokens_s)
        .map(|(token, took)| Stall { token, took_s: *took, times_median: took / middle })
        .filter(|stall| stall.times_median > STALL)
        .collect();
    stalls.sort_by(|one, other| other.took_s.total_cmp(&one.took_s));
    stalls.truncate(MOST_STALLS);
    stalls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_told_by_its_place_and_size() {
        let mut tokens = vec![0.01; 40];
        tokens[7] = 0.05;
        tokens[9] = 0.029;
        let found = stalls(&tokens, median(&tokens));
        let [stall] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(stall.token, 7);
        assert!((stall.times_median - 5.0).abs() < 1e-9);
        assert!(stalls(&[], None).is_empty());
    }
}
