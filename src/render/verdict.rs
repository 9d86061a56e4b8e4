//! What may be said, word for word, by rules: a finding is never a fixed sentence.

use crate::model::{Findings, Plan, Verdict};
use crate::stats::{Change, Separation};

use super::format;
use super::view::{CellView, Tone};

/// A verdict in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wording {
    pub(super) tone: Tone,
    pub(super) headline: String,
    pub(super) interval: String,
    pub(super) sentence: String,
}

/// The wording of what was found.
pub(super) fn wording(plan: &Plan, findings: &Findings) -> Wording {
    match &findings.verdict {
        Verdict::Confirmed { turn, .. } => confirmed(plan, turn),
        Verdict::KeepBaseline => keep(plan, findings),
        Verdict::Unconfirmed { reason } => unconfirmed(findings, reason),
    }
}

/// What a comparison means.
pub(super) fn tone(change: &Change) -> Tone {
    match change.separation {
        Separation::Faster => Tone::Better,
        Separation::Slower => Tone::Worse,
        Separation::NotSeparated => Tone::Same,
    }
}

/// A comparison as a cell, in the colour of what it means.
pub(super) fn cell(change: &Change) -> CellView {
    CellView { tone: Some(tone(change)), ..format::change(change).into() }
}

/// The same where there may be none.
pub(super) fn cell_or_none(change: Option<&Change>) -> CellView {
    change.map_or_else(CellView::none, cell)
}

fn confirmed(plan: &Plan, turn: &Change) -> Wording {
    let pairs = turn.speed_ratio.n;
    let figure = format::change(turn);
    let level = format::confidence(turn.speed_ratio.confidence);
    let ratio = format::ratio(turn.speed_ratio.value);
    let turn_words = turn_words(plan);
    let (headline, sentence) = match turn.separation {
        Separation::Faster => (
            if turn.speed_ratio.value >= 2.0 {
                format!("{ratio} the speed of the default")
            } else {
                format!("{ratio} speed over the default")
            },
            format!(
                "The tuned setting was itself run against the default in {pairs} interleaved \
                 pairs: {turn_words} run faster, and the {level} interval excludes no change."
            ),
        ),
        Separation::NotSeparated => (
            "~ No detectable difference from the default".to_owned(),
            format!(
                "{pairs} interleaved pairs could not tell the candidate from the default for \
                 {turn_words}. Differences under {} count as equal. Keep the default.",
                format::percent(plan.protocol.indifference)
            ),
        ),
        Separation::Slower => (
            "Keep the default: the candidate is slower".to_owned(),
            format!(
                "The search's candidate lost against the default in {pairs} interleaved pairs \
                 ({ratio} speed). The default stays."
            ),
        ),
    };
    let interval = match turn.separation {
        Separation::Faster | Separation::Slower => {
            format!("{level} interval {}", figure.detail)
        }
        Separation::NotSeparated => format!("{}, {level} interval", figure.detail),
    };
    Wording { tone: tone(turn), headline, interval, sentence }
}

fn keep(plan: &Plan, findings: &Findings) -> Wording {
    let noise = findings.noise.map_or(String::new(), |noise| {
        format!(" One comparison on this machine scatters by {}.", format::percent(noise))
    });
    Wording {
        tone: Tone::Same,
        headline: "Keep the default: nothing better was found".into(),
        interval: String::new(),
        sentence: format!(
            "The search over {} ended at what llama-server runs by default.{noise}",
            format::plural(plan.axes.len(), "knob")
        ),
    }
}

fn unconfirmed(findings: &Findings, reason: &str) -> Wording {
    let measured = findings.trials_measured > 0;
    Wording {
        tone: Tone::Open,
        headline: if measured { "Not confirmed" } else { "Nothing was measured" }.into(),
        interval: String::new(),
        sentence: format!(
            "{} No speed-up is claimed: what a search saw once is an overestimate until it is \
             run again against the default.",
            sentence(reason)
        ),
    }
}

/// A fragment as a sentence.
pub(super) fn sentence(fragment: &str) -> String {
    let trimmed = fragment.trim();
    let mut letters = trimmed.chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if trimmed.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

fn turn_words(plan: &Plan) -> String {
    let (workload, slice) = (&plan.workload, &plan.protocol.slice);
    let tokens = |prompt: u32, generated: u32| {
        let [prompt, generated] = [prompt, generated].map(|count| format::count(count.into()));
        format!("{prompt} prompt and {generated} generated tokens")
    };
    let turn = format!("turns of {}", tokens(workload.prompt_tokens, workload.generate_tokens));
    let measured = (slice.prompt_tokens, slice.generate_tokens);
    if measured == (workload.prompt_tokens, workload.generate_tokens) {
        turn
    } else {
        format!("{turn} (scaled from visits of {})", tokens(measured.0, measured.1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn said(verdict: Verdict) -> Wording {
        let (plan, mut findings) = (fixture::plan(), fixture::findings());
        findings.verdict = verdict;
        wording(&plan, &findings)
    }

    fn turn(value: f64, separation: Separation) -> Verdict {
        Verdict::Confirmed {
            turn: fixture::change(value, separation),
            prefill: None,
            decode: None,
            evidence: vec![1],
        }
    }

    #[test]
    fn each_verdict_has_its_own_words_and_only_a_proven_gain_sounds_like_one() {
        let faster = said(turn(1.23, Separation::Faster));
        assert_eq!(
            (faster.tone, faster.headline.as_str()),
            (Tone::Better, "+23 % speed over the default")
        );
        assert!(faster.interval.starts_with("95 % interval [+"), "{}", faster.interval);
        let double = said(turn(2.5, Separation::Faster));
        assert_eq!(double.headline, "2.50× the speed of the default");
        let same = said(turn(1.004, Separation::NotSeparated));
        assert!(same.headline.starts_with('~') && same.tone == Tone::Same);
        let slower = said(turn(0.9, Separation::Slower));
        assert!(slower.headline.contains("slower") && slower.tone == Tone::Worse);
        let kept = said(Verdict::KeepBaseline);
        assert!(kept.headline.contains("Keep the default") && kept.interval.is_empty());
        let open = said(Verdict::Unconfirmed { reason: "the budget was used up".into() });
        assert_eq!((open.tone, open.headline.as_str()), (Tone::Open, "Not confirmed"));
        assert!(open.sentence.starts_with("The budget was used up. No speed-up is claimed"));
    }

    #[test]
    fn a_run_without_a_measurement_says_so() {
        let (plan, mut findings) = (fixture::plan(), fixture::findings());
        findings.trials_measured = 0;
        findings.verdict = Verdict::Unconfirmed { reason: "every trial failed".into() };
        assert_eq!(wording(&plan, &findings).headline, "Nothing was measured");
    }
}
