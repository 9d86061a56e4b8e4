//! Why a cell is what it is, and what to do about it: one sentence each.

use crate::model::{GateReason, GateVerdict};

use super::Judgement;

/// What a reader is told of a judgement beside its numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The reason with its figures.
    pub why: Option<String>,
    /// What to do.
    pub next_action: Option<String>,
    /// Minutes of the blocks that are needed.
    pub minutes_needed: Option<f64>,
}

/// Says what an undecided judgement lacks. `block_s` is how long a block takes, where that is
/// known.
#[must_use]
pub fn tell(judged: &Judgement, delta: f64, block_s: Option<f64>) -> Told {
    if judged.verdict != GateVerdict::Inconclusive {
        return Told::default();
    }
    let minutes_needed = judged.blocks_needed.zip(block_s).map(|(n, s)| f64::from(n) * s / 60.0);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let limit = percent(delta);
    let Some(reason) = judged.reason else { return Told::default() };
    let why = match reason {
        GateReason::TooFewBlocks => match (judged.p_floor, judged.p_required) {
            (Some(floor), Some(level)) => format!(
                "cannot fail with {} samples a side: ranks reach {floor:.2e} and {level:.2e} is \
                 required",
                judged.n
            ),
            _ => format!("{} are too few for a verdict", judged.n),
        },
        GateReason::ThinBaseline => {
            format!("the baseline has {} of {} sessions", judged.n, super::FEWEST_SESSIONS)
        }
        GateReason::Blind => match judged.minimum_detectable {
            Some(share) => format!("only a slowdown of {} or more would be seen", percent(share)),
            None => "no slowdown would be seen".to_owned(),
        },
        _ => format!("the interval holds the limit of {limit}"),
    };
    let next_action = match (reason, judged.blocks_needed) {
        (GateReason::ThinBaseline, _) => "record more sessions: autotune gate record".to_owned(),
        (GateReason::TooFewBlocks, Some(n)) => format!("give {n} samples or more a side"),
        (GateReason::TooFewBlocks, None) => format!(
            "a verdict needs {} blocks: --max-blocks, or more time with --budget",
            super::FEWEST_BLOCKS
        ),
        (_, Some(n)) => match minutes_needed {
            Some(minutes) => format!(
                "allow {n} blocks, about {}: --max-blocks {n} --budget {:.0}m",
                time(minutes),
                minutes.ceil()
            ),
            None => format!("measure {n} times or more a side"),
        },
        (_, None) => format!(
            "more blocks do not help: what a session adds hides {limit}; learn this machine's \
             noise with `autotune gate calibrate`, or allow more with --delta"
        ),
    };
    Told { why: Some(why), next_action: Some(next_action), minutes_needed }
}

fn time(minutes: f64) -> String {
    if minutes < 1.5 { "a minute".to_owned() } else { format!("{minutes:.0} minutes") }
}
