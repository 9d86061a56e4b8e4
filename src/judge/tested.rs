//! One cell's test at one look: everything but the level, which depends on the other cells.

use crate::model::{GateReason, GateVerdict};
use crate::stats::{self, MeanShift};

use super::{Judgement, Rule};

/// Blocks that are thought of at most when somebody asks how many it takes.
const MOST_NEEDED: u32 = 4096;

/// A cell's test against its limit.
#[derive(Debug, Clone)]
pub(super) struct Tested {
    /// Mean of the logarithms of time, head over base, with its standard error.
    pub(super) shift: MeanShift,
    /// The limit as a logarithm.
    pub(super) limit: f64,
    pub(super) n: u32,
    pub(super) p_t: f64,
    pub(super) p_guard: f64,
    pub(super) p_floor: f64,
    /// Standard deviation of one block, and what a session adds to all of them.
    pub(super) noise: (f64, f64),
}

impl Tested {
    /// Paired blocks against a limit (a share).
    pub(super) fn blocks(differences: &[f64], delta: f64, session: f64, seed: u64) -> Option<Self> {
        let limit = delta.ln_1p();
        let shift = stats::mean_shift(differences, limit, session * session)?;
        let over: Vec<f64> = differences.iter().map(|difference| difference - limit).collect();
        let n = u32::try_from(differences.len()).ok()?;
        let within = (shift.standard_error.powi(2) - session * session).max(0.0);
        Some(Self {
            p_t: shift.p_value,
            p_guard: stats::sign_flip(&over, seed)?,
            p_floor: stats::sign_flip_floor(differences.len()),
            noise: ((within * f64::from(n)).sqrt(), session),
            shift,
            limit,
            n,
        })
    }

    /// Two independent sets of logarithms of times against a limit; each comes from a run of its
    /// own, which adds to all of them.
    pub(super) fn samples(base: &[f64], head: &[f64], delta: f64, run: f64) -> Option<Self> {
        let limit = delta.ln_1p();
        let session = run * 2.0_f64.sqrt();
        let shift = stats::welch(base, head, limit, session * session)?;
        let moved: Vec<f64> = base.iter().map(|value| value + limit).collect();
        let smaller = base.len().min(head.len());
        let n = u32::try_from(smaller).ok()?;
        let within = (shift.standard_error.powi(2) - session * session).max(0.0);
        Some(Self {
            p_t: shift.p_value,
            p_guard: stats::mann_whitney(&moved, head)?,
            p_floor: stats::mann_whitney_floor(base.len(), head.len())?,
            noise: ((within * f64::from(n)).sqrt(), session),
            shift,
            limit,
            n,
        })
    }

    /// The p value that both tests have to beat: a floor that no sample of this size can go
    /// below is not held against it where `lenient`.
    pub(super) fn p(&self, lenient: bool) -> f64 {
        let at_floor = self.p_guard <= self.p_floor * (1.0 + 1e-9);
        if lenient && at_floor { self.p_t } else { self.p_t.max(self.p_guard) }
    }

    /// The cell as it is reported: its verdict with the levels at which it was tested.
    pub(super) fn judgement(&self, verdict: GateVerdict, levels: Levels, rule: &Rule) -> Judgement {
        let detectable = self.minimum_detectable(self.n, levels.fail, rule.power);
        let inconclusive = verdict == GateVerdict::Inconclusive;
        let blind = detectable.is_none_or(|share| share > rule.blind_above);
        let reason = if blind { GateReason::Blind } else { GateReason::Noise };
        Judgement {
            verdict,
            reason: inconclusive.then_some(reason),
            slowdown: Some(self.shift.difference.exp_m1()),
            interval: self
                .shift
                .lower_bound(levels.fail)
                .zip(self.shift.upper_bound(levels.pass))
                .map(|(low, high)| (low.exp_m1(), high.exp_m1()))
                .filter(|(low, high)| low.is_finite() && high.is_finite()),
            n: self.n,
            p_t: Some(self.p_t),
            p_guard: Some(self.p_guard),
            p_required: Some(levels.fail),
            p_floor: Some(self.p_floor),
            minimum_detectable: detectable,
            blocks_needed: inconclusive.then(|| self.blocks_needed(levels)).flatten(),
        }
    }

    /// Whether the slowdown is below the limit, wrongly with the probability `level`.
    pub(super) fn passes(&self, level: f64) -> bool {
        self.shift.upper_bound(level).is_some_and(|high| high < self.limit)
    }

    /// The smallest true slowdown (a share) that `n` blocks of this noise fail with this power.
    fn minimum_detectable(&self, n: u32, level: f64, power: f64) -> Option<f64> {
        let (block, session) = self.noise;
        let error = (block * block / f64::from(n) + session * session).sqrt();
        let wide = stats::student_quantile(level, self.shift.degrees)?
            + stats::student_quantile(1.0 - power, self.shift.degrees)?;
        Some((self.limit + wide * error).exp_m1()).filter(|share| share.is_finite())
    }

    /// Blocks after which a slowdown of the size seen is decided one way or the other; `None`
    /// where no number of blocks does it, because what a session adds is larger.
    fn blocks_needed(&self, levels: Levels) -> Option<u32> {
        let gap = (self.shift.difference - self.limit).abs();
        let level = if self.shift.difference > self.limit { levels.fail } else { levels.pass };
        let (block, session) = self.noise;
        let decides = |n: u32| {
            let error = (block * block / f64::from(n) + session * session).sqrt();
            stats::student_quantile(level, f64::from(n) - 1.0).is_some_and(|t| t * error < gap)
        };
        let mut enough = self.n.max(2);
        while !decides(enough) {
            enough = enough.checked_add(enough.div_ceil(8)).filter(|it| *it <= MOST_NEEDED)?;
        }
        Some(enough)
    }
}

/// One-sided levels of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    /// What a failure must not exceed.
    pub(super) fail: f64,
    /// What a pass must not exceed.
    pub(super) pass: f64,
}
