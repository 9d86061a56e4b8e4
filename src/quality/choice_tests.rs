//! Choices among made-up quantizations.

use proptest::prelude::*;

use super::*;
use crate::model::QualityClass;
use crate::stats::Estimate;

const GIB: u64 = 1 << 30;

fn speed(value: f64) -> Estimate {
    let (low, high) = (Some(0.99 * value), Some(1.01 * value));
    Estimate { value, low, high, confidence: 0.95, n: 8 }
}

fn contender(name: &str, decode: f64, file_gib: u64, divergence: f64) -> Contender {
    let point = FrontPoint {
        name: name.to_owned(),
        decode: Some(speed(decode)),
        prefill: None,
        memory_bytes: Some((file_gib + 1) * GIB),
        divergence: Some((divergence, divergence / 20.0)),
        file_bytes: file_gib * GIB,
    };
    Contender { point, top1_agreement: Some(0.919) }
}

fn family() -> Vec<Contender> {
    vec![
        contender("f16", 29.2, 15, 0.0),
        contender("q8_0", 50.9, 8, 0.00136),
        contender("q6_k", 58.7, 6, 0.00545),
        contender("q4_k_m", 71.9, 4, 0.03127),
        contender("q3_k_m", 71.7, 3, 0.10191),
        contender("q2_k", 79.9, 2, 0.44513),
    ]
}

fn wish(floor: QualityClass, limit: Option<u64>) -> Wish {
    let source = Some(family()[0].point.clone());
    Wish { floor, memory_limit_bytes: limit, source, speed_only: false }
}

#[test]
fn the_fastest_that_keeps_the_class_is_taken() {
    let choice = choose(&family(), &wish(QualityClass::Good, None)).unwrap();
    assert_eq!(
        choice.sentence,
        "q4_k_m: the fastest of 4 that keep at least `good` (KL divergence 0.031 ± 0.002, 1 of 12 \
         tokens differs), 2.5 times as fast as the source and 27 % of its size"
    );
    assert_eq!((choice.index, choice.tied.as_slice()), (3, [].as_slice()));
    let below = |place: usize, why: &str| (place, why.to_owned());
    assert_eq!(
        choice.left_out,
        [
            below(4, "it is `visible loss` (KL divergence 0.102 ± 0.005), below `good`"),
            below(5, "it is `broken` (KL divergence 0.45 ± 0.02), below `good`"),
        ]
    );
}

#[test]
fn of_those_that_are_equally_fast_the_smallest_file_is_taken() {
    let choice = choose(&family(), &wish(QualityClass::VisibleLoss, None)).unwrap();
    assert_eq!((choice.index, choice.tied.as_slice()), (4, [3].as_slice()));
    let begin = "q3_k_m: the smallest of 2 that are equally fast as far as can be told, of 5 that \
                 keep at least `visible loss` (KL";
    assert!(choice.sentence.starts_with(begin), "{}", choice.sentence);
    let two = &family()[3..5];
    let choice = choose(two, &wish(QualityClass::Poor, None)).unwrap();
    let begin = "q3_k_m: the smallest of 2 that keep at least `poor`, equally fast as far as can \
                 be told (KL";
    assert!(choice.sentence.starts_with(begin), "{}", choice.sentence);
}

#[test]
fn what_does_not_fit_is_left_out_before_anything_else() {
    let mut all = family();
    all[1].point.memory_bytes = None;
    let limit = Some(6 * GIB);
    let choice = choose(&all, &wish(QualityClass::Good, limit)).unwrap();
    let begin = "q4_k_m: the only one that fits into 6.00 GiB and keeps at least `good` (KL";
    assert!(choice.sentence.starts_with(begin), "{}", choice.sentence);
    let whys: Vec<&str> = choice.left_out.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(whys[0], "it takes 16.0 GiB of memory and 6.00 GiB are allowed");
    assert_eq!(whys[1], "its file has 8.00 GiB and 6.00 GiB of memory are allowed");
    all[3].point.memory_bytes = None;
    let choice = choose(&all, &wish(QualityClass::Good, limit)).unwrap();
    let end = "; whether it fits into 6.00 GiB was not measured";
    assert!(choice.sentence.ends_with(end), "{}", choice.sentence);
}

#[test]
fn a_class_within_its_error_of_the_floor_is_taken_and_doubted() {
    let all = [contender("f16", 29.2, 15, 0.0), contender("q4_0", 70.0, 4, 0.048)];
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!(choice.index, 1);
    let end = "; that it keeps `good` is not certain";
    assert!(choice.sentence.ends_with(end), "{}", choice.sentence);
    let choice = choose(&all, &wish(QualityClass::VisibleLoss, None)).unwrap();
    assert!(!choice.sentence.contains("certain"), "{}", choice.sentence);
    let mut one_chunk = all;
    one_chunk[1].point.divergence = Some((0.03, f64::INFINITY));
    let choice = choose(&one_chunk, &wish(QualityClass::Good, None)).unwrap();
    assert!(choice.sentence.contains("(KL divergence 0.0300, 1"), "{}", choice.sentence);
    assert!(choice.sentence.ends_with(end), "{}", choice.sentence);
}

#[test]
fn without_any_quality_speed_alone_counts_and_the_sentence_says_so() {
    let mut all = family();
    for it in &mut all[1..] {
        (it.point.divergence, it.top1_agreement) = (None, None);
    }
    let speed_only = Wish { speed_only: true, ..wish(QualityClass::Good, None) };
    let choice = choose(&all, &speed_only).unwrap();
    assert_eq!(
        choice.sentence,
        "q2_k: the fastest of 6, 2.7 times as fast as the source and 13 % of its size; speed only, \
         quality not measured"
    );
    // Where it was wanted and is missing, nobody but the source is taken.
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!((choice.index, choice.left_out.len()), (0, 5));
    all[1] = family().swap_remove(1);
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!((choice.index, choice.left_out.len()), (1, 4));
    assert_eq!(choice.left_out[0], (2, "its quality was not measured".to_owned()));
}

#[test]
fn what_has_no_speed_yields_to_what_has_and_alone_the_smallest_is_taken() {
    let mut all = family();
    all[3].point.decode = None;
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!(choice.index, 2);
    assert_eq!(choice.left_out[0], (3, "its speed was not measured".to_owned()));
    for it in &mut all {
        it.point.decode = None;
    }
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!((choice.index, choice.tied.as_slice()), (3, [0, 1, 2].as_slice()));
    assert_eq!(
        choice.sentence,
        "q4_k_m: the smallest of 4 that keep at least `good` (KL divergence 0.031 ± 0.002, 1 of 12 \
         tokens differs), 27 % of the source's size; its speed was not measured"
    );
}

#[test]
fn the_source_may_be_the_choice_and_needs_no_quality() {
    let mut all = [contender("f16", 29.2, 15, 0.0), contender("q2_k", 79.9, 2, 0.4)];
    (all[0].point.divergence, all[0].top1_agreement) = (None, None);
    let choice = choose(&all, &wish(QualityClass::Good, None)).unwrap();
    assert_eq!(choice.sentence, "f16: the only one that keeps at least `good`, the source itself");
    let same = [contender("q8_0", 29.3, 8, 0.001)];
    let choice = choose(&same, &wish(QualityClass::Good, None)).unwrap();
    let end = ", as fast as the source and 53 % of its size";
    assert!(choice.sentence.ends_with(end), "{}", choice.sentence);
}

#[test]
fn where_nothing_qualifies_everything_has_its_reason() {
    let all = &family()[3..];
    let none = choose(all, &wish(QualityClass::NearLossless, Some(4 * GIB))).unwrap_err();
    let places: Vec<usize> = none.left_out.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 1, 2]);
    assert!(none.left_out[0].1.contains("memory") && none.left_out[1].1.contains("below"));
    assert!(choose(&[], &wish(QualityClass::Good, None)).unwrap_err().left_out.is_empty());
}

proptest! {
    #[test]
    fn a_choice_keeps_to_the_wish_and_nothing_allowed_is_surely_faster(
        all in proptest::collection::vec((1.0_f64..50.0, 1_u64..20, 0.0001_f64..1.0), 0..10),
        limit in proptest::option::of(1_u64..20),
        class in 0_usize..6,
    ) {
        let name = |place: usize| format!("q{place}");
        let one = |(place, it): (usize, &(f64, u64, f64))| contender(&name(place), it.0, it.1, it.2);
        let all: Vec<Contender> = all.iter().enumerate().map(one).collect();
        let limit = limit.map(|gib| gib * GIB);
        let floor = QualityClass::LIMITS[class].0;
        let found = choose(&all, &wish(floor, limit));
        let allowed = |it: &Contender| {
            let fits = limit.is_none_or(|limit| it.point.memory_bytes.unwrap() <= limit);
            fits && QualityClass::of(it.point.divergence.unwrap().0) >= floor
        };
        let Ok(choice) = found else {
            prop_assert!(!all.iter().any(allowed));
            return Ok(());
        };
        prop_assert!(choice.left_out.iter().all(|(place, _)| !allowed(&all[*place])));
        let staying: Vec<usize> = (0..all.len()).filter(|place| allowed(&all[*place])).collect();
        prop_assert_eq!(staying.len() + choice.left_out.len(), all.len());
        let speed = |place: &usize| all[*place].point.decode.unwrap().value;
        let fastest = staying.into_iter().max_by(|a, b| speed(a).total_cmp(&speed(b))).unwrap();
        prop_assert!(choice.index == fastest || choice.tied.contains(&fastest));
        let size = |place: &usize| all[*place].point.file_bytes;
        prop_assert!(choice.tied.iter().all(|other| size(other) >= size(&choice.index)));
        prop_assert!(allowed(&all[choice.index]) && !choice.tied.contains(&choice.index));
    }
}
