//! Fronts of public tables, and of points that errors do not tell apart.

use proptest::prelude::*;

use super::*;
use crate::stats::Estimate;

/// Llama 3 8B from llama.cpp's own tables: name, generated tokens per second (tg128) and bits
/// per weight (tools/quantize/README.md, Llama 3.1 8B), mean divergence (tools/perplexity/
/// README.md, wikitext-2, the importance matrix of 10M tokens where there is one). All rows
/// that we have both numbers of: none of `Q2_K_S`, `Q4_0` and `Q5_0`.
const PUBLIC: [(&str, f64, f64, f64); 15] = [
    ("F16", 29.2, 16.00, 0.00055),
    ("Q8_0", 50.9, 8.50, 0.00136),
    ("Q6_K", 58.7, 6.56, 0.00545),
    ("Q5_K_M", 67.2, 5.70, 0.01076),
    ("Q5_K_S", 69.5, 5.57, 0.01660),
    ("Q4_K_M", 71.9, 4.89, 0.02815),
    ("Q4_K_S", 76.7, 4.67, 0.03195),
    ("IQ4_NL", 76.6, 4.68, 0.03574),
    ("IQ4_XS", 77.5, 4.46, 0.03633),
    ("Q3_K_M", 71.7, 4.00, 0.08436),
    ("IQ3_XXS", 74.0, 3.25, 0.18363),
    ("Q3_K_S", 69.8, 3.64, 0.22822),
    ("Q2_K", 79.9, 3.16, 0.33222),
    ("IQ2_XXS", 79.9, 2.38, 0.81202),
    ("IQ1_S", 79.7, 2.00, 2.25455),
];

fn exact(value: f64) -> Estimate {
    Estimate { value, low: None, high: None, confidence: 0.95, n: 1 }
}

fn about(value: f64, half: f64) -> Estimate {
    Estimate { low: Some(value - half), high: Some(value + half), ..exact(value) }
}

fn point(decode: Option<Estimate>, divergence: Option<(f64, f64)>, file: u64) -> FrontPoint {
    let (name, prefill, memory_bytes) = (String::new(), None, Some(file));
    FrontPoint { name, decode, prefill, memory_bytes, divergence, file_bytes: file }
}

fn public_front(size: fn(f64) -> f64) -> Vec<&'static str> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    let points = PUBLIC.map(|(_, decode, bits, divergence)| {
        point(Some(exact(decode)), Some((divergence, 0.0)), (size(bits) * 1e9) as u64)
    });
    front(&points).into_iter().map(|place| PUBLIC[place].0).collect()
}

#[test]
fn the_front_of_public_tables_is_the_known_one() {
    assert_eq!(
        public_front(|_| 1.0),
        ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q2_K"]
    );
    // With the size as a third axis nearly everything is worth something to somebody.
    let out = |names: &[&str]| {
        PUBLIC.map(|it| it.0).into_iter().filter(|it| !names.contains(it)).collect::<Vec<_>>()
    };
    assert_eq!(out(&public_front(|bits| bits)), ["IQ4_NL", "Q3_K_S"]);
}

#[test]
fn a_difference_within_its_error_neither_helps_nor_harms() {
    let base = point(Some(about(50.0, 2.0)), Some((0.03, 0.001)), 5);
    for (other, dominates) in [
        (point(Some(about(52.0, 2.0)), Some((0.03, 0.001)), 5), false),
        (point(Some(about(53.0, 2.0)), Some((0.03, 0.001)), 5), true),
        (point(Some(about(53.0, 2.0)), Some((0.032, 0.001)), 5), true),
        (point(Some(about(53.0, 2.0)), Some((0.034, 0.001)), 5), false),
        (point(Some(about(53.0, 2.0)), Some((0.034, f64::INFINITY)), 5), true),
        (point(Some(about(48.0, 2.0)), Some((0.03, 0.001)), 4), true),
        (point(Some(about(53.0, 2.0)), Some((0.03, 0.001)), 6), false),
        (point(None, Some((0.02, 0.001)), 5), true),
        (point(None, None, 5), false),
        (base.clone(), false),
    ] {
        assert_eq!(other.dominates(&base), dominates, "{other:?}");
    }
}

#[test]
fn points_that_beat_one_another_in_a_ring_all_stay() {
    // Each is ahead of the next in one of three, and too near to tell from it elsewhere.
    let ring = [(10.0, 11.2, 0.12), (8.5, 12.5, 0.11), (9.3, 9.5, 0.10)];
    let ring = ring.map(|(decode, prefill, divergence)| FrontPoint {
        prefill: Some(about(prefill, 1.4)),
        ..point(Some(about(decode, 0.7)), Some((divergence, 0.005)), 5)
    });
    let beats = |a: usize, b: usize| ring[a].dominates(&ring[b]);
    assert!(beats(0, 1) && beats(1, 2) && beats(2, 0));
    assert_eq!(front(&ring), [0, 1, 2]);
}

fn any_point() -> impl Strategy<Value = FrontPoint> {
    let speed = || proptest::option::of((1.0_f64..20.0, 0.0_f64..3.0));
    let divergence = proptest::option::of((0.0_f64..0.2, 0.0_f64..0.03));
    (speed(), speed(), proptest::option::of(1_u64..6), divergence, 1_u64..6).prop_map(
        |(decode, prefill, memory_bytes, divergence, file_bytes)| FrontPoint {
            prefill: prefill.map(|(value, half)| about(value, half)),
            memory_bytes,
            ..point(decode.map(|(value, half)| about(value, half)), divergence, file_bytes)
        },
    )
}

proptest! {
    #[test]
    fn nothing_dominates_itself_and_no_two_each_other(a in any_point(), b in any_point()) {
        prop_assert!(!a.dominates(&a));
        prop_assert!(!(a.dominates(&b) && b.dominates(&a)));
    }

    #[test]
    fn a_front_has_a_point_and_all_that_none_dominates(
        points in proptest::collection::vec(any_point(), 1..12),
    ) {
        let front = front(&points);
        prop_assert!(!front.is_empty());
        for (place, point) in points.iter().enumerate() {
            let free = !points.iter().any(|other| other.dominates(point));
            prop_assert!(!free || front.contains(&place));
        }
    }
}
