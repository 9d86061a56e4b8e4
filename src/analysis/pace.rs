//! A trial as times per token, and pairs of trials that were close together in time.

use std::collections::BTreeMap;

use autotune_engine::api::Setting;

use crate::model::{Outcome, Phase, Plan, Purpose, Source, Trial};

/// A trial that ran, with seconds per token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paced<'a> {
    pub(super) trial: &'a Trial,
    /// Seconds per prompt token, where prompts were timed.
    pub(super) prefill_s: Option<f64>,
    /// Seconds per generated token, where generation was timed.
    pub(super) decode_s: Option<f64>,
    /// Seconds per turn of the workload, where all its parts were timed.
    pub(super) turn_s: Option<f64>,
    /// What the workload wants little of: the seconds of a turn, mostly.
    pub(super) cost: Option<f64>,
}

/// A part of a turn, or the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Prefill,
    Decode,
    Turn,
}

impl From<Phase> for Part {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Prefill => Self::Prefill,
            Phase::Decode => Self::Decode,
        }
    }
}

impl Paced<'_> {
    /// Seconds of a part.
    pub(super) fn seconds(&self, part: Part) -> Option<f64> {
        match part {
            Part::Prefill => self.prefill_s,
            Part::Decode => self.decode_s,
            Part::Turn => self.cost,
        }
    }
}

/// The trials that ran, in the order of the journal.
pub(super) fn paced<'a>(plan: &Plan, trials: &'a [Trial]) -> Vec<Paced<'a>> {
    let ran = |trial: &&Trial| matches!(trial.outcome, Outcome::Measured(_));
    trials.iter().filter(ran).map(|trial| pace(plan, trial)).collect()
}

fn pace<'a>(plan: &Plan, trial: &'a Trial) -> Paced<'a> {
    let prefill_s = trial.prefill_seconds_per_token();
    let decode_s = trial.decode_seconds_per_token();
    let part = |tokens: u32, seconds: Option<f64>| if tokens == 0 { Some(0.0) } else { seconds };
    let turn_s = part(plan.workload.prompt_tokens, prefill_s)
        .zip(part(plan.workload.generate_tokens, decode_s))
        .map(|(prefill_s, decode_s)| plan.workload.turn_seconds(prefill_s, decode_s))
        .filter(|seconds| *seconds > 0.0);
    let cost = part(plan.workload.prompt_tokens, prefill_s)
        .zip(part(plan.workload.generate_tokens, decode_s))
        .map(|(prefill_s, decode_s)| plan.workload.cost(prefill_s, decode_s))
        .filter(|cost| *cost > 0.0);
    Paced { trial, prefill_s, decode_s, turn_s, cost }
}

/// Two trials of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) first: Paced<'a>,
    pub(super) second: Paced<'a>,
}

impl Pair<'_> {
    /// `ln(t_first / t_second)` of a part: positive where the second is faster.
    pub(super) fn log_speed(&self, part: Part) -> Option<f64> {
        Some((self.first.seconds(part)? / self.second.seconds(part)?).ln())
    }

    /// The numbers of both trials.
    pub(super) fn ids(&self) -> [u32; 2] {
        [self.first.trial.id, self.second.trial.id]
    }
}

/// All pairs of two settings that were measured in the same block of a purpose and in the same
/// session, in order. A block that holds a setting twice pairs its first visits.
pub(super) fn pairs<'a>(
    paced: &[Paced<'a>],
    purpose: Purpose,
    first: &Setting,
    second: &Setting,
) -> Vec<Pair<'a>> {
    let mut blocks: BTreeMap<(u32, u32), [Option<Paced<'a>>; 2]> = BTreeMap::new();
    for one in paced {
        let trial = one.trial;
        if trial.purpose != purpose || trial.source != Source::Measured {
            continue;
        }
        let side = match &trial.asked {
            asked if asked == first => 0,
            asked if asked == second => 1,
            _ => continue,
        };
        let block = blocks.entry((trial.session, trial.block)).or_default();
        block[side].get_or_insert(*one);
    }
    let complete = |[first, second]: [Option<Paced<'a>>; 2]| {
        first.zip(second).map(|(first, second)| Pair { first, second })
    };
    blocks.into_values().filter_map(complete).collect()
}

/// The log speed ratios of pairs and the trials behind them.
pub(super) fn log_speeds(pairs: &[Pair<'_>], part: Part) -> (Vec<f64>, Vec<u32>) {
    let usable = |pair: &Pair<'_>| pair.log_speed(part).map(|ratio| (ratio, pair.ids()));
    let (ratios, ids): (Vec<f64>, Vec<[u32; 2]>) = pairs.iter().filter_map(usable).unzip();
    let mut ids = ids.concat();
    ids.sort_unstable();
    (ratios, ids)
}
