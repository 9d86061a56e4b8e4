//! Time per token of one visit, and what a difference in it means for a whole turn. Everything is
//! compared and averaged as a logarithm of time.

use crate::knob::ActsOn;
use crate::model::{Trial, Workload};

/// Logarithm of the seconds per token, by part of the turn; `None` for a part that was not run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) prefill: Option<f64>,
    pub(super) decode: Option<f64>,
}

/// How much less time a token takes than with the baseline, as a difference of logarithms:
/// positive is faster.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Gain {
    pub(super) prefill: f64,
    pub(super) decode: f64,
}

impl Pace {
    /// Of a trial that was measured.
    pub(super) fn of(trial: &Trial) -> Option<Self> {
        if trial.outcome.samples().is_empty() {
            return None;
        }
        Some(Self {
            prefill: trial.prefill_seconds_per_token().map(f64::ln),
            decode: trial.decode_seconds_per_token().map(f64::ln),
        })
    }

    /// How much faster this is than `reference`; a part that either lacks counts as equal.
    pub(super) fn gain_over(&self, reference: &Self) -> Gain {
        let difference = |own: Option<f64>, other: Option<f64>| match (own, other) {
            (Some(own), Some(other)) => other - own,
            _ => 0.0,
        };
        Gain {
            prefill: difference(self.prefill, reference.prefill),
            decode: difference(self.decode, reference.decode),
        }
    }

    /// Logarithm of what the workload wants little of, at this pace: the seconds of a turn, mostly.
    pub(super) fn turn(&self, workload: &Workload) -> f64 {
        let seconds = |pace: Option<f64>| pace.map_or(0.0, f64::exp);
        workload.cost(seconds(self.prefill), seconds(self.decode)).ln()
    }
}

impl Gain {
    /// What it does to whole turns when the baseline runs at this pace.
    pub(super) fn of_turn(&self, baseline: &Pace, workload: &Workload) -> f64 {
        let faster = Pace {
            prefill: baseline.prefill.map(|pace| pace - self.prefill),
            decode: baseline.decode.map(|pace| pace - self.decode),
        };
        baseline.turn(workload) - faster.turn(workload)
    }

    /// The part of it that a knob can be the cause of; the rest is noise.
    pub(super) fn caused_by(&self, part: ActsOn) -> Self {
        match part {
            ActsOn::Prefill => Self { decode: 0.0, ..*self },
            ActsOn::Decode => Self { prefill: 0.0, ..*self },
            ActsOn::Both => *self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Workload;

    #[test]
    fn a_gain_counts_by_the_share_of_its_part() {
        let workload = Workload {
            name: "w".into(),
            description: String::new(),
            prompt_tokens: 100,
            generate_tokens: 10,
            depth: 0,
            context: 4096,
            ..Workload::default()
        };
        // 100 tokens of 0.01 s and 10 of 0.1 s: each part is one second.
        let baseline = Pace { prefill: Some(0.01_f64.ln()), decode: Some(0.1_f64.ln()) };
        let halved = Gain { prefill: 2_f64.ln(), decode: 0.0 };
        assert!((halved.of_turn(&baseline, &workload) - (2.0 / 1.5_f64).ln()).abs() < 1e-12);
        let none = halved.caused_by(ActsOn::Decode);
        assert!(none.of_turn(&baseline, &workload).abs() < 1e-12);
    }
}
