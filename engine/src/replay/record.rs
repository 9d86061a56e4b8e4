//! What was measured once, as plain records: reading a journal is left to callers.

use std::time::Duration;

use crate::api::{
    DeviceReport, Failure, Identity, MemoryUse, ModelFacts, Sample, Setting, Transition,
    VariantReport, Work,
};

/// One visit that took place.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The setting asked for.
    pub asked: Setting,
    /// The work asked for.
    pub work: Work,
    /// How long the visit took, loading and warm-up included.
    pub elapsed: Duration,
    /// What came back.
    pub outcome: Result<Measured, Failure>,
}

/// What came back from a visit that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The setting as it was run.
    pub effective: Setting,
    /// Times, one entry per repetition.
    pub samples: Vec<Sample>,
    /// Memory in use.
    pub memory: MemoryUse,
    /// What loading took.
    pub transition: Transition,
}

/// Everything that a replay is made of.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Who measured.
    pub identity: Identity,
    /// The CPU variants that were found.
    pub variants: Vec<VariantReport>,
    /// The devices that were found.
    pub devices: Vec<DeviceReport>,
    /// The model that was run.
    pub model: ModelFacts,
    /// The visits.
    pub records: Vec<Record>,
    /// The one form of all settings that are the same run.
    pub canonical: fn(Setting) -> Setting,
}

impl Record {
    /// Whether the recorded work has all parts of another one.
    pub(super) fn covers(&self, work: &Work) -> bool {
        (work.prompt_tokens == 0 || self.work.prompt_tokens > 0)
            && (work.generate_tokens == 0 || self.work.generate_tokens > 0)
    }

    /// Whether the recorded work is another one, repetitions aside.
    pub(super) fn differs(&self, work: &Work) -> bool {
        let tokens = |work: &Work| (work.prompt_tokens, work.generate_tokens, work.depth);
        tokens(&self.work) != tokens(work)
    }

    /// A recorded repetition as one of other work, scaled token by token.
    pub(super) fn scaled(&self, sample: &Sample, work: &Work) -> Sample {
        let (own, wanted) = (self.work.prompt_tokens, work.prompt_tokens);
        let prefill = sample.prefill_ns as f64 * f64::from(wanted) / f64::from(own.max(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let prefill_ns = prefill as u64;
        let wanted = usize::try_from(work.generate_tokens).unwrap_or(usize::MAX);
        let token_ns: Vec<u64> = sample.token_ns.iter().copied().cycle().take(wanted).collect();
        // What is recorded beside the single tokens is a little more than their sum.
        let whole = self.work.generate_tokens == work.generate_tokens;
        let decode_ns = if whole { sample.decode_ns } else { token_ns.iter().sum() };
        Sample { prefill_ns, decode_ns, token_ns }
    }

    /// Time of a visit with other work that is neither loading nor timed: shorter in proportion
    /// where the work is shorter.
    pub(super) fn untimed_of(&self, work: &Work) -> Duration {
        let tokens = |work: &Work| f64::from(work.prompt_tokens + work.generate_tokens);
        let share = tokens(work) / tokens(&self.work).max(1.0);
        self.untimed().mul_f64(share.clamp(0.0, 1.0))
    }

    /// Time of the visit that was neither loading nor timed: warm-up, filling the KV cache.
    fn untimed(&self) -> Duration {
        let Ok(measured) = &self.outcome else { return Duration::ZERO };
        let Transition { process_ns, load_ns, context_ns } = measured.transition;
        let loading: u64 = [process_ns, load_ns, context_ns].into_iter().flatten().sum();
        let timed: Duration = measured.samples.iter().map(Sample::total).sum();
        self.elapsed.saturating_sub(timed + Duration::from_nanos(loading))
    }
}
