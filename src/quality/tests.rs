//! Scores whose numbers are known.

use autotune_engine::api::{Bytes, ChunkScore};
use proptest::prelude::*;

use super::*;
use crate::model::{QualityClass, QualitySubject};

/// A token of twice a chunk's divergence and one of none, for each chunk.
pub(super) fn scores(chunks: impl IntoIterator<Item = f64>) -> Accumulated {
    let mut all = Accumulated::default();
    for mean in chunks {
        let (nll, divergence) = (vec![2.0, 3.0], vec![2.0 * mean, 0.0]);
        let score = ChunkScore { nll, divergence, same_top: vec![true; 2] };
        all.add(&[2.0, 3.0], &score).unwrap();
    }
    all
}

/// Chunks that are `by` above and below a mean in turn: the error is `by / √(chunks - 1)`.
pub(super) fn spread(mean: f64, by: f64, chunks: u32) -> Accumulated {
    scores((0..chunks).map(|it| if it.is_multiple_of(2) { mean + by } else { mean - by }))
}

fn chunk(nll: &[f64], divergence: &[f64], same_top: &[bool]) -> ChunkScore {
    let (nll, divergence) = (nll.to_vec(), divergence.to_vec());
    ChunkScore { nll, divergence, same_top: same_top.to_vec() }
}

fn close(got: impl Into<Option<f64>>, expected: f64) {
    let got = got.into().unwrap();
    assert!((got - expected).abs() < 1e-12, "{got}, not {expected}");
}

#[test]
fn numbers_of_a_candidate_are_those_worked_out_by_hand() {
    // True tokens of probability 1/2 and 1/4 become 1/4 and 1/4, then 1/2 and 1/2.
    let (half, quarter) = (2.0_f64.ln(), 4.0_f64.ln());
    let mut all = Accumulated::default();
    let first = chunk(&[quarter, quarter], &[0.3, 0.1], &[false, true]);
    let second = chunk(&[half, half], &[-1e-9, 0.2 + 1e-9], &[true, true]);
    all.add(&[half, quarter], &first).unwrap();
    all.add(&[half, quarter], &second).unwrap();
    assert_eq!((all.chunks(), all.scored_tokens()), (2, 4));
    // The mean is that of 2/2 and 4/2 logarithms of two; sums deviate by ln 2: 2 · 2 ln² 2 / 4².
    let perplexity = all.perplexity().unwrap();
    close(perplexity.value, 8.0_f64.sqrt());
    close(perplexity.se, 8.0_f64.sqrt() * half / 2.0);
    let against = all.against_reference().unwrap();
    close(against.ln_perplexity_ratio, 0.0);
    close(against.ln_perplexity_ratio_se, half / 2.0);
    // Changes -1/4, 0, 0, 1/4: their squares have equal sums in both chunks.
    close(against.mean_delta_p, 0.0);
    close(against.mean_delta_p_se, 0.125);
    close(against.rms_delta_p, (1.0 / 32.0_f64).sqrt());
    close(against.rms_delta_p_se, 0.0);
    close(against.top1_agreement, 0.75);
    close(against.top1_agreement_se, 0.25);
    // Below zero by rounding, and kept: chunks sum up to 0.4 and 0.2, 2 · 2 · 0.1² / 4².
    let divergence = against.kl_divergence;
    close(divergence.mean, 0.15);
    close(divergence.se, 0.05);
    close(divergence.median, f64::midpoint(0.1, 0.2 + 1e-9));
    // Four tokens tell no percentile.
    for it in [divergence.p90, divergence.p99, divergence.max] {
        close(it, 0.3);
    }
    assert_eq!(against.class, QualityClass::Poor);
    assert!(!against.class_is_certain);
}

#[test]
fn the_error_of_a_root_mean_square_is_half_of_its_squares() {
    // Changes 1/4, 1/4 and 1/2, 1/2: mean square 5/32, sums 3/16 away from their mean.
    let mut all = Accumulated::default();
    let reference = [4.0_f64.ln(); 2];
    all.add(&reference, &chunk(&[2.0_f64.ln(); 2], &[0.0; 2], &[true; 2])).unwrap();
    all.add(&reference, &chunk(&[(4.0_f64 / 3.0).ln(); 2], &[0.0; 2], &[true; 2])).unwrap();
    let against = all.against_reference().unwrap();
    close(against.rms_delta_p, (5.0 / 32.0_f64).sqrt());
    close(against.rms_delta_p_se, 3.0 / 32.0 / (2.0 * (5.0 / 32.0_f64).sqrt()));
}

#[test]
fn a_class_is_certain_where_two_errors_stay_in_it() {
    for (mean, by, class, certain) in [
        (0.03, 0.001, QualityClass::Good, true),
        (0.049, 0.001, QualityClass::Good, true),
        (0.049, 0.004, QualityClass::Good, false),
        (0.0121, 0.002, QualityClass::Good, false),
        (0.0015, 0.0, QualityClass::Indistinguishable, true),
        (9.0, 0.5, QualityClass::Broken, true),
    ] {
        let against = spread(mean, by, 16).against_reference().unwrap();
        assert_eq!((against.class, against.class_is_certain), (class, certain), "{mean} {by}");
    }
    assert!(!spread(0.03, 0.0, 1).against_reference().unwrap().class_is_certain);
}

#[test]
fn percentiles_are_told_from_enough_tokens() {
    let mut all = Accumulated::default();
    let divergence: Vec<f64> = (0..301).map(f64::from).collect();
    all.add(&[1.0; 301], &chunk(&[1.0; 301], &divergence, &[true; 301])).unwrap();
    let found = all.against_reference().unwrap().kl_divergence;
    let percentiles = [found.median, found.p90, found.p99, found.max];
    assert_eq!((percentiles, found.se), ([150.0, 270.0, 297.0, 300.0], None));
}

#[test]
fn scores_of_other_tokens_are_not_taken() {
    let mut all = Accumulated::default();
    let error = all.add(&[1.0, 2.0], &chunk(&[1.0], &[0.0], &[true])).unwrap_err();
    let text = "cannot pair the scores of a chunk: 2 tokens of the reference, 1 likelihoods, \
                1 divergences and 1 likeliest tokens of the candidate";
    assert_eq!(error.to_string(), text);
    let short = chunk(&[1.0, 2.0], &[0.0, 0.0], &[true]);
    assert!(matches!(all.add(&[1.0, 2.0], &short), Err(ScoreError::Lengths { same_top: 1, .. })));
    assert_eq!(all.add(&[], &chunk(&[], &[], &[])), Err(ScoreError::Empty));
    let broken = chunk(&[1.0, 2.0], &[0.0, f64::NAN], &[true, false]);
    assert_eq!(all.add(&[1.0, 2.0], &broken), Err(ScoreError::NotFinite { token: 1 }));
    assert_eq!(all, Accumulated::default());
    assert!(all.against_reference().is_none() && all.noise_floor().is_none());
}

#[test]
fn a_candidate_is_its_subject_with_numbers() {
    let subject = QualitySubject {
        model: "m.gguf".to_owned(),
        file_bytes: Bytes(7),
        bits_per_weight: 4.5,
        file_type: Some("q4_0".to_owned()),
    };
    let found = spread(0.03, 0.001, 16).candidate(subject.clone(), String::new()).unwrap();
    assert_eq!((found.model, found.file_bytes), ("m.gguf".to_owned(), Bytes(7)));
    assert_eq!(found.perplexity_se, Some(0.0));
    assert_eq!(found.against.unwrap().class, QualityClass::Good);
    assert!(Accumulated::default().candidate(subject, String::new()).is_none());
}

fn likelihoods() -> impl Strategy<Value = Vec<Vec<f64>>> {
    proptest::collection::vec(proptest::collection::vec(0.0_f64..20.0, 1..8), 1..8)
}

proptest! {
    #[test]
    fn a_reference_against_itself_is_exactly_the_same(chunks in likelihoods()) {
        let mut all = Accumulated::default();
        for nll in &chunks {
            let same = chunk(nll, &vec![0.0; nll.len()], &vec![true; nll.len()]);
            all.add(nll, &same).unwrap();
        }
        let found = all.against_reference().unwrap();
        let zeros = [
            found.ln_perplexity_ratio,
            found.kl_divergence.mean,
            found.kl_divergence.max,
            found.rms_delta_p,
            found.mean_delta_p,
        ];
        prop_assert_eq!((zeros, found.top1_agreement), ([0.0; 5], 1.0));
        prop_assert_eq!(found.class, QualityClass::Indistinguishable);
        prop_assert_eq!(found.class_is_certain, chunks.len() > 1);
        let floor = all.noise_floor().unwrap();
        prop_assert_eq!((floor.kl_divergence, floor.top1_agreement), (0.0, 1.0));
        prop_assert_eq!(all.perplexity(), perplexity(&chunks));
    }

    #[test]
    fn more_of_the_same_keeps_the_mean_and_makes_it_surer(chunks in likelihoods()) {
        let mut once = Accumulated::default();
        let mut twice = Accumulated::default();
        for nll in &chunks {
            let score = chunk(nll, nll, &vec![false; nll.len()]);
            once.add(nll, &score).unwrap();
            twice.add(nll, &score).unwrap();
            twice.add(nll, &score).unwrap();
        }
        let (once, twice) = (once.mean_divergence().unwrap(), twice.mean_divergence().unwrap());
        prop_assert!((once.mean - twice.mean).abs() < 1e-9);
        let se = twice.se.unwrap();
        prop_assert!(once.se.is_none_or(|once| se <= once + 1e-12));
    }
}
