//! Whether enough of a text was read to tell the candidates' classes, and neighbours apart.

use crate::model::QualityClass;

use super::Accumulated;
use super::words::mean_nats;

/// Chunks before the first look; then twice as many each time. With 255 scored tokens each, a mean
/// divergence is known to 2 to 5 % of itself were tokens independent: they vary by 1.5 to 2.9 times
/// their mean in llama.cpp's table of Llama 3 8B and in our own runs.
pub const FIRST_CHUNKS: u32 = 16;
/// Mean divergences that differ by less than this many nats are equal in practice: a quarter of
/// what the best class holds.
const EQUAL_NATS: f64 = 0.0005;
/// As are those that differ by less than this share of themselves.
const EQUAL_SHARE: f64 = 0.05;

/// Whether to read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enough {
    /// Every class is certain, and neighbours are apart or equal in practice.
    Yes,
    /// Something is open.
    No {
        /// Chunks in all at the next look: twice as many, and [`FIRST_CHUNKS`] at least.
        doubled: u32,
        /// What is open, one sentence without its full stop.
        because: String,
    },
}

/// Looks at what was read of all candidates, each with its name.
///
/// A class is certain where the interval of the mean (two standard errors, more with few chunks)
/// stays in it. Neighbours in the order of mean divergence are apart where the interval of the mean
/// of their paired differences is beyond zero, and equal in practice where it is surely below 0.0005 nats or 5 % of the
/// mean of both. Errors are clustered by chunk. Looking again after each doubling makes two errors
/// a rule for stopping rather than a test of 5 %.
#[must_use]
pub fn enough(candidates: &[(&str, &Accumulated)]) -> Enough {
    let chunks = candidates.iter().map(|(_, scores)| scores.chunks()).min().unwrap_or_default();
    let mut order: Vec<(&str, &Accumulated, f64)> = candidates
        .iter()
        .filter_map(|(name, scores)| Some((*name, *scores, scores.mean_divergence()?.mean)))
        .collect();
    order.sort_by(|a, b| a.2.total_cmp(&b.2));
    let classes = candidates.iter().filter_map(|(name, scores)| open_class(name, scores));
    let pairs = order.windows(2).filter_map(|pair| open_pair(pair[0], pair[1]));
    let open: Vec<String> = classes.chain(pairs).collect();
    let Some(first) = open.first() else { return Enough::Yes };
    let because = match open.len() {
        1 => first.clone(),
        more => format!("{first}, and {} more like it", more - 1),
    };
    Enough::No { doubled: chunks.saturating_mul(2).max(FIRST_CHUNKS), because }
}

fn open_class(name: &str, scores: &Accumulated) -> Option<String> {
    let Some(mean) = scores.mean_divergence() else {
        return Some(format!("nothing was read with {name}"));
    };
    let Some((low, high)) = mean.interval() else {
        return Some(format!("one chunk does not tell how sure the mean divergence of {name} is"));
    };
    let (best, worst) = (QualityClass::of(low), QualityClass::of(high));
    (best != worst).then(|| {
        let nats = mean_nats(&mean);
        format!("{name} may be `{best}` or `{worst}`: its KL divergence is {nats}")
    })
}

fn open_pair(
    (name, scores, mean): (&str, &Accumulated, f64),
    (other_name, other, other_mean): (&str, &Accumulated, f64),
) -> Option<String> {
    let Some(difference) = other.divergence_above(scores) else {
        return Some(format!("{name} and {other_name} were not read with the same tokens"));
    };
    // One chunk: said of their classes already.
    let reach = difference.reach()?;
    let distance = difference.mean.abs();
    let equal_below = EQUAL_NATS.max(EQUAL_SHARE * f64::midpoint(mean, other_mean));
    let settled = distance > reach || distance + reach < equal_below;
    (!settled).then(|| {
        let nats = mean_nats(&difference);
        format!("{other_name} is not told apart from {name}: its KL divergence is {nats} larger")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::tests::{scores, spread};

    fn look(candidates: &[(&str, &Accumulated)]) -> (u32, String) {
        match enough(candidates) {
            Enough::Yes => (0, String::new()),
            Enough::No { doubled, because } => (doubled, because),
        }
    }

    #[test]
    fn sure_classes_and_neighbours_apart_are_enough() {
        let (a, b) = (spread(0.005, 0.0002, 16), spread(0.03, 0.001, 16));
        assert_eq!(enough(&[("b", &b), ("a", &a)]), Enough::Yes);
        assert_eq!(enough(&[]), Enough::Yes);
    }

    #[test]
    fn a_class_that_is_not_certain_is_named() {
        let (chunks, because) = look(&[("q4_k_m", &spread(0.0121, 0.002, 16))]);
        assert_eq!(chunks, 32);
        let begin = "q4_k_m may be `near-lossless` or `good`: its KL divergence is 0.0121 ± 0.0005";
        assert_eq!(because, begin);
    }

    #[test]
    fn neighbours_are_held_against_each_other_chunk_by_chunk() {
        // Chunks differ by far more than the two do, and by the same in both.
        let hard = |add: f64| scores((0..16).map(|it| 0.02 + 0.001 * f64::from(it) + add));
        let (a, b) = (hard(0.0), hard(0.0015));
        assert!(b.mean_divergence().unwrap().se.unwrap() > 0.001);
        assert_eq!(enough(&[("a", &a), ("b", &b)]), Enough::Yes);
        // The same means in other chunks.
        let turned = scores((0..16).map(|it| 0.02 + 0.001 * f64::from(15 - it) + 0.0017));
        let (chunks, because) = look(&[("a", &a), ("turned", &turned)]);
        assert_eq!(chunks, 32);
        let begin = "turned is not told apart from a: its KL divergence is 0.002 ± 0.002 larger";
        assert_eq!(because, begin);
    }

    #[test]
    fn candidates_that_are_equal_in_practice_are_left_so() {
        let wobble = |by: f64| {
            scores((0..16_u32).map(|it| 0.03 + by * if it.is_multiple_of(2) { 1.0 } else { -1.0 }))
        };
        assert_eq!(enough(&[("a", &wobble(0.0)), ("b", &wobble(0.001))]), Enough::Yes);
        assert_eq!(enough(&[("a", &wobble(0.0)), ("same", &wobble(0.0))]), Enough::Yes);
        let (_, because) = look(&[("a", &wobble(0.0)), ("b", &wobble(0.004))]);
        assert!(because.starts_with("b is not told apart from a"), "{because}");
    }

    #[test]
    fn the_first_look_comes_after_sixteen_chunks_whatever_was_read() {
        let (chunks, because) = look(&[("a", &Accumulated::default())]);
        assert_eq!((chunks, because.as_str()), (16, "nothing was read with a"));
        let (chunks, because) = look(&[("a", &spread(0.03, 0.0, 1)), ("b", &spread(0.03, 0.0, 1))]);
        let begin = "one chunk does not tell how sure the mean divergence of a is, and 1 more";
        assert_eq!(chunks, 16);
        assert!(because.starts_with(begin), "{because}");
        let (_, because) = look(&[("a", &spread(0.03, 0.0, 3)), ("b", &spread(0.03, 0.0, 2))]);
        assert_eq!(because, "a and b were not read with the same tokens");
    }
}
