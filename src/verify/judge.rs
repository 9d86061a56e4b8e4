//! What pairs say about a gain that a run confirmed. Pure: words follow from numbers alone.

use crate::model::{Fits, ServedPair, ServedVisit, Transfer, Verification};
use crate::stats::{Change, Estimate, Separation, paired_change, student_t_interval};

/// What became of a gain, with the changes behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The answer.
    pub transfer: Transfer,
    /// What the workload wants little of, mostly whole turns: this is judged.
    pub turn: Option<Change>,
    /// Turns by the wall clock.
    pub wall: Option<Change>,
    /// Prompts.
    pub prefill: Option<Change>,
    /// Generation.
    pub decode: Option<Change>,
}

/// Judges pairs.
///
/// Each pair gives `ln(t_default / t_tuned)`; the estimate and its interval are those of
/// [`paired_change`], looked at once. `promised` is the change that the run confirmed, where it
/// confirmed a gain. With `z` as the zone of indifference:
///
/// | the interval | answer |
/// |---|---|
/// | is missing, or has fewer than 4 pairs behind it | inconclusive |
/// | lies below `1 / (1 + z)` | worse |
/// | lies above `1 + z`, and its upper end below the promised interval | smaller |
/// | lies above `1 + z` otherwise | holds |
/// | none of this, and its upper end lies below the promised interval | lost |
/// | none of this | inconclusive |
#[must_use]
pub fn judge(
    pairs: &[ServedPair],
    confidence: f64,
    indifference: f64,
    promised: Option<&Change>,
) -> Judged {
    let change = |number: fn(&ServedVisit) -> Option<f64>| {
        // Seconds: the ratio of a pair is that of speeds.
        let ratio = |pair: &ServedPair| Some((number(&pair.default)? / number(&pair.tuned)?).ln());
        let ratios: Vec<f64> = pairs.iter().filter_map(ratio).collect();
        paired_change(&ratios, confidence, indifference)
    };
    let turn = change(|visit| Some(visit.cost));
    Judged {
        transfer: transfer(turn.as_ref(), promised),
        turn,
        wall: change(|visit| Some(visit.wall_s)),
        prefill: change(|visit| visit.prefill_tok_per_s.map(f64::recip)),
        decode: change(|visit| visit.decode_tok_per_s.map(f64::recip)),
    }
}

fn transfer(turn: Option<&Change>, promised: Option<&Change>) -> Transfer {
    let Some(turn) = turn.filter(|it| it.speed_ratio.n >= Verification::FEWEST_PAIRS) else {
        return Transfer::Inconclusive;
    };
    let below = promised.is_some_and(|promised| {
        let ends = turn.speed_ratio.high.zip(promised.speed_ratio.low);
        ends.is_some_and(|(high, low)| high < low)
    });
    match turn.separation {
        Separation::Slower => Transfer::Worse,
        Separation::Faster if below => Transfer::Smaller,
        Separation::Faster => Transfer::Holds,
        Separation::NotSeparated if below => Transfer::Lost,
        Separation::NotSeparated => Transfer::Inconclusive,
    }
}

/// The answer as one sentence.
#[must_use]
pub fn sentence(judged: &Judged, promised: Option<&Change>) -> String {
    let Some(turn) = &judged.turn else { return "Not decided: no pair was measured.".to_owned() };
    let here = format!("the tuned setting is {} the default here", times(turn, "pairs"));
    let run = promised.map_or_else(
        || "; the run itself had confirmed no gain".to_owned(),
        |promised| format!("; the run confirmed {}", bare(&promised.speed_ratio)),
    );
    let ends = |change: &Change| change.speed_ratio.low.zip(change.speed_ratio.high);
    let least = Verification::FEWEST_PAIRS;
    match judged.transfer {
        Transfer::Holds => {
            let more = ends(turn)
                .zip(promised.and_then(ends))
                .is_some_and(|((low, _), (_, high))| low > high);
            let word = match (promised, more) {
                (None, _) => "There is a gain",
                (Some(_), false) => "The gain holds",
                (Some(_), true) => "The gain holds, and is larger",
            };
            format!("{word}: {here}{run}.")
        }
        Transfer::Smaller => format!("A gain, but a smaller one: {here}{run}."),
        Transfer::Lost => format!("No gain was found: {here}{run}, which would have shown."),
        Transfer::Worse => format!("Worse: {here}{run}."),
        Transfer::Inconclusive if turn.speed_ratio.n < least => format!(
            "Not decided: {} of the {least} pairs that an answer takes were measured.",
            turn.speed_ratio.n
        ),
        Transfer::Inconclusive => format!(
            "Not decided: {here}, which allows both a gain and none{run}. More pairs, or a \
             quieter machine, would tell."
        ),
    }
}

/// `1.26 times as fast (95 % interval 1.20 to 1.31, 6 pairs) as`.
fn times(change: &Change, unit: &str) -> String {
    let speed = &change.speed_ratio;
    let interval = match (speed.low, speed.high) {
        (Some(low), Some(high)) => {
            let level = (1e4 * speed.confidence).round() / 1e2;
            format!("{level} % interval {low:.2} to {high:.2}, ")
        }
        _ => String::new(),
    };
    format!("{:.2} times as fast ({interval}{} {unit}) as", speed.value, speed.n)
}

/// `1.30 (1.25 to 1.36)`.
fn bare(estimate: &Estimate) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{:.2} ({low:.2} to {high:.2})", estimate.value),
        _ => format!("{:.2}", estimate.value),
    }
}

/// Which of the run's seconds of a turn a server's visits fit: whose interval meets theirs, each
/// widened by the zone of indifference.
#[must_use]
pub fn fits(
    visits: &[ServedVisit],
    confidence: f64,
    indifference: f64,
    default: Option<&Estimate>,
    tuned: Option<&Estimate>,
) -> Fits {
    let logs: Vec<f64> = visits.iter().map(|visit| visit.turn_s.ln()).collect();
    let zone = indifference.ln_1p();
    let meets = |own: (f64, f64), other: Option<&Estimate>| {
        let other = other?;
        let (low, high) = other.low.zip(other.high)?;
        Some(own.0 - zone <= high.ln() && own.1 + zone >= low.ln())
    };
    let Some(own) = student_t_interval(&logs, confidence) else { return Fits::Unknown };
    match (meets(own, default), meets(own, tuned)) {
        (Some(true), Some(true)) => Fits::Both,
        (Some(true), Some(false)) => Fits::Default,
        (Some(false), Some(true)) => Fits::Tuned,
        (Some(false), Some(false)) => Fits::Neither,
        _ => Fits::Unknown,
    }
}

/// The same as a sentence.
#[must_use]
pub fn fits_sentence(fits: Fits) -> String {
    let seen = match fits {
        Fits::Default => "A turn takes as long as the run measured with the default setting.",
        Fits::Tuned => "A turn takes as long as the run measured with the tuned setting.",
        Fits::Both => "A turn takes as long as with both settings of the run: they are too close.",
        Fits::Neither => {
            "A turn takes neither as long as with the default setting of the run nor \
                          with the tuned one: the server is another one, or its machine is."
        }
        Fits::Unknown => "Too few measurements for a comparison with the run.",
    };
    format!("{seen} One server alone proves no gain: name a second one with --against.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Side;

    fn visit(turn_s: f64) -> ServedVisit {
        ServedVisit {
            cost: turn_s,
            turn_s,
            wall_s: turn_s * 1.01,
            prefill_tok_per_s: Some(100.0 / turn_s),
            decode_tok_per_s: None,
        }
    }

    fn pairs(ratios: &[f64]) -> Vec<ServedPair> {
        let pair = |ratio: &f64| ServedPair {
            first: Side::Default,
            default: visit(*ratio),
            tuned: visit(1.0),
        };
        ratios.iter().map(pair).collect()
    }

    fn promise(low: f64, value: f64, high: f64) -> Change {
        let speed_ratio =
            Estimate { value, low: Some(low), high: Some(high), confidence: 0.99, n: 10 };
        Change { speed_ratio, separation: Separation::Faster }
    }

    const CLOSE: [f64; 6] = [0.99, 1.0, 1.01, 1.0, 0.995, 1.005];
    const WIDE: [f64; 6] = [0.8, 1.3, 0.9, 1.25, 0.85, 1.2];

    fn around(center: f64, shape: [f64; 6]) -> Vec<ServedPair> {
        pairs(&shape.map(|one| one * center))
    }

    #[test]
    fn each_answer_follows_from_where_the_interval_lies() {
        let promised = promise(1.20, 1.30, 1.40);
        for (pairs, answer, words) in [
            (around(1.28, CLOSE), Transfer::Holds, "The gain holds: "),
            (around(1.60, CLOSE), Transfer::Holds, "The gain holds, and is larger: "),
            (around(1.10, CLOSE), Transfer::Smaller, "A gain, but a smaller one: "),
            (around(1.00, CLOSE), Transfer::Lost, "No gain was found: "),
            (around(0.80, CLOSE), Transfer::Worse, "Worse: "),
            (around(1.05, WIDE), Transfer::Inconclusive, "Not decided: the tuned"),
            (pairs(&[1.3, 1.3, 1.31]), Transfer::Inconclusive, "Not decided: 3 of the 4"),
            (Vec::new(), Transfer::Inconclusive, "Not decided: no pair"),
        ] {
            let judged = judge(&pairs, 0.95, 0.01, Some(&promised));
            assert_eq!(judged.transfer, answer, "{:?}", judged.turn);
            let sentence = sentence(&judged, Some(&promised));
            assert!(sentence.starts_with(words) && sentence.ends_with('.'), "{sentence}");
        }
    }

    #[test]
    fn without_a_promise_nothing_is_smaller_or_lost() {
        for (center, answer) in
            [(1.1, Transfer::Holds), (1.0, Transfer::Inconclusive), (0.9, Transfer::Worse)]
        {
            let judged = judge(&around(center, CLOSE), 0.95, 0.01, None);
            assert_eq!(judged.transfer, answer);
            assert!(sentence(&judged, None).contains("had confirmed no gain"));
        }
    }

    #[test]
    fn every_phase_has_a_change_of_its_own() {
        let judged = judge(&around(1.25, CLOSE), 0.95, 0.01, None);
        for change in [judged.turn, judged.wall, judged.prefill] {
            let value = change.unwrap().speed_ratio.value;
            assert!((value - 1.25).abs() < 0.01, "{value}");
        }
        assert_eq!(judged.decode, None, "nothing was generated");
    }

    #[test]
    fn a_server_is_recognized_by_the_interval_that_its_own_meets() {
        let visits: Vec<ServedVisit> = CLOSE.map(visit).to_vec();
        let estimate =
            |low: f64, high: f64| promise(low, f64::midpoint(low, high), high).speed_ratio;
        let near = estimate(0.98, 1.02);
        let far = estimate(1.40, 1.50);
        for (default, tuned, answer) in [
            (&near, &far, Fits::Default),
            (&far, &near, Fits::Tuned),
            (&near, &near, Fits::Both),
            (&far, &far, Fits::Neither),
        ] {
            assert_eq!(fits(&visits, 0.95, 0.01, Some(default), Some(tuned)), answer);
            assert!(fits_sentence(answer).contains("proves no gain"));
        }
        assert_eq!(fits(&visits[..1], 0.95, 0.01, Some(&near), Some(&far)), Fits::Unknown);
        assert_eq!(fits(&visits, 0.95, 0.01, None, Some(&far)), Fits::Unknown);
    }

    proptest! {
        #[test]
        fn no_gain_is_claimed_that_the_interval_does_not_hold(
            ratios in proptest::collection::vec(0.3_f64..3.0, 0..20),
            low in 1.01_f64..2.0,
        ) {
            let promised = promise(low, low * 1.1, low * 1.2);
            let judged = judge(&pairs(&ratios), 0.95, 0.01, Some(&promised));
            let ends = judged.turn.and_then(|it| it.speed_ratio.low.zip(it.speed_ratio.high));
            match judged.transfer {
                Transfer::Holds => {
                    let (own, end) = ends.unwrap();
                    prop_assert!(own > 1.0 && end >= low);
                }
                Transfer::Smaller => prop_assert!(ends.unwrap().0 > 1.0 && ends.unwrap().1 < low),
                Transfer::Lost => prop_assert!(ends.unwrap().1 < low),
                Transfer::Worse => prop_assert!(ends.unwrap().1 < 1.0),
                Transfer::Inconclusive => {}
            }
        }
    }
}
