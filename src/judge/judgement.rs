//! What the numbers of one cell allow to say, before anybody asks what the cell is.

use crate::model::{GateReason, GateVerdict};

/// What the numbers of one cell allow to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Pass, fail or inconclusive.
    pub verdict: GateVerdict,
    /// Why it is inconclusive.
    pub reason: Option<GateReason>,
    /// How much worse the head is, as a share.
    pub slowdown: Option<f64>,
    /// Its interval: one-sided bounds at the levels of the verdict, so that a failure is an
    /// interval above the limit and a pass one below.
    pub interval: Option<(f64, f64)>,
    /// Blocks, sessions, or samples of the smaller side.
    pub n: u32,
    /// One-sided probability by Student's t that the true slowdown is no more than the limit.
    pub p_t: Option<f64>,
    /// The same without a distribution.
    pub p_guard: Option<f64>,
    /// What both must not exceed.
    pub p_required: Option<f64>,
    /// The smallest `p_guard` possible.
    pub p_floor: Option<f64>,
    /// The smallest slowdown that fails with the power asked for.
    pub minimum_detectable: Option<f64>,
    /// Blocks after which this slowdown would be decided.
    pub blocks_needed: Option<u32>,
}

impl Judgement {
    /// Nothing can be said, for this reason.
    #[must_use]
    pub fn nothing(reason: GateReason, n: u32) -> Self {
        Self {
            verdict: GateVerdict::Inconclusive,
            reason: Some(reason),
            slowdown: None,
            interval: None,
            n,
            p_t: None,
            p_guard: None,
            p_required: None,
            p_floor: None,
            minimum_detectable: None,
            blocks_needed: None,
        }
    }

    /// A quantity that hardly varies: its slowdown alone decides.
    #[must_use]
    pub fn exact(slowdown: f64, delta: f64, n: u32) -> Self {
        let verdict = if slowdown > delta { GateVerdict::Fail } else { GateVerdict::Pass };
        Self {
            verdict,
            reason: None,
            slowdown: Some(slowdown),
            interval: Some((slowdown, slowdown)),
            minimum_detectable: Some(delta),
            ..Self::nothing(GateReason::Noise, n)
        }
    }

    /// Whether more measurements would change nothing.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.verdict != GateVerdict::Inconclusive
    }
}
