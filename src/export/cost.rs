//! What leaving a knob out costs, as far as the findings tell.

use crate::model::{Effect, Findings};
use crate::stats::{Change, Estimate, Separation};

/// The measured effect of a knob that the tuned setting turned, in a few words.
pub(super) fn of(findings: &Findings, knob: &str) -> String {
    let effect = findings.effects.iter().find(|effect| effect.knob == knob);
    match effect {
        Some(Effect { alone: Some(change), .. }) => told("alone it gave", change),
        Some(Effect { withdrawn: Some(change), .. }) => told("on top of the rest it gave", change),
        Some(_) => "not measured alone".to_owned(),
        None => "the default has the same, so nothing was measured".to_owned(),
    }
}

/// `alone it gave +4.2 % [+1.0 %, +7.5 %]`; `~` before a change that could not be told from none.
fn told(verb: &str, change: &Change) -> String {
    let ratio = &change.speed_ratio;
    let mark = if change.separation == Separation::NotSeparated { "~ " } else { "" };
    let interval = match (ratio.low, ratio.high) {
        (Some(low), Some(high)) => format!("[{}, {}]", percent(low), percent(high)),
        _ => "(no interval)".to_owned(),
    };
    format!("{verb} {mark}{} {interval}", percent(ratio.value))
}

fn percent(ratio: f64) -> String {
    format!("{:+.1} %", 100.0 * (ratio - 1.0))
}

/// `1.97 times (98.75 % interval 1.71 to 2.27)`.
pub(super) fn times(ratio: &Estimate) -> String {
    let level = (1e4 * ratio.confidence).round() / 1e2;
    match (ratio.low, ratio.high) {
        (Some(low), Some(high)) => {
            format!("{:.2} times ({level} % interval {low:.2} to {high:.2})", ratio.value)
        }
        _ => format!("{:.2} times (no interval)", ratio.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::findings;
    use crate::model::Level;

    fn change(value: f64, separation: Separation) -> Change {
        let [low, high] = [Some(value - 0.03), Some(value + 0.03)];
        let speed_ratio = Estimate { value, low, high, confidence: 0.95, n: 12 };
        Change { speed_ratio, separation }
    }

    #[test]
    fn the_cost_of_what_is_left_out_is_what_was_measured_of_it() {
        let effect = |alone, withdrawn| Effect {
            knob: "ubatch".into(),
            from: Level::Count(512),
            to: Level::Count(256),
            alone,
            withdrawn,
            cumulative: None,
            evidence: Vec::new(),
        };
        let faster = || Some(change(1.042, Separation::Faster));
        let equal = || Some(change(1.002, Separation::NotSeparated));
        for (alone, withdrawn, said) in [
            (faster(), equal(), "alone it gave +4.2 % [+1.2 %, +7.2 %]"),
            (equal(), None, "alone it gave ~ +0.2 % [-2.8 %, +3.2 %]"),
            (None, faster(), "on top of the rest it gave +4.2 % [+1.2 %, +7.2 %]"),
            (None, None, "not measured alone"),
        ] {
            let mut findings = findings();
            findings.effects = vec![effect(alone, withdrawn)];
            assert_eq!(of(&findings, "ubatch"), said);
            assert!(of(&findings, "poll").contains("the default has the same"));
        }
    }
}
