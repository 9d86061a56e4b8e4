//! What the trials of a sweep show: one pure function from plan and journal to findings.
//!
//! Every number cites the trials it comes from. A speed-up is quoted from the pairs of the
//! confirmation alone, because whatever looked best in the search looks better than it is. What
//! was run and when is left to `search`, how it is shown to `render`.

mod candidate;
mod claims;
mod compare;
mod curves;
mod doubts;
mod effects;
mod failures;
mod landscape;
mod pace;
mod verdict;

use crate::model::{Findings, Outcome, Plan, Source, Trial, TriedSetting};
use pace::paced;
pub use verdict::best_found;

pub use compare::{Side, comparison};

/// What the trials show; `stopped_because` is one sentence.
#[must_use]
pub fn findings(plan: &Plan, trials: &[Trial], stopped_because: &str) -> Findings {
    let paced = paced(plan, trials);
    let verdict = verdict::verdict(plan, trials, &paced);
    let best = verdict::best(plan, trials, &verdict);
    let tied_with = verdict::tied_with(plan, trials, &paced, &best);
    let candidate = |setting| candidate::candidate(plan, &paced, setting);
    let winner = candidate(&best);
    let tried = landscape::tried(plan, &paced);
    let measured = |trial: &&Trial| matches!(trial.outcome, Outcome::Measured(_));
    let failed = |trial: &&Trial| matches!(trial.outcome, Outcome::Failed(_));
    let here = |trial: &&Trial| trial.source == Source::Measured;
    Findings {
        schema: Findings::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        baseline: candidate(&plan.baseline),
        claims: claims::claims(plan, trials, &paced, &winner),
        fitness: claims::fitness(plan, &paced),
        soak: claims::soak(plan, trials, &paced),
        looked_at: looked_at(plan, trials),
        space: plan
            .axes
            .iter()
            .fold(1_u64, |space, it| space.saturating_mul(it.levels.len() as u64)),
        best: winner,
        tied_with,
        curves: curves::curves(plan, trials, &paced, &best),
        effects: effects::effects(plan, &paced, &best),
        frontier: landscape::frontier(&tried),
        surface: landscape::surface(plan, &tried),
        tried,
        failures: failures::failures(trials),
        trials_measured: number(trials.iter().filter(here).filter(measured)),
        trials_failed: number(trials.iter().filter(here).filter(failed)),
        trials_cached: number(trials.iter().filter(|trial| !here(trial))),
        noise: doubts::noise(plan, &paced),
        disturbed: doubts::disturbed(trials),
        memory_error: memory_error(trials),
        stopped_because: stopped_because.to_owned(),
        caveats: doubts::caveats(plan, trials, &paced, &verdict),
        verdict,
    }
}

/// The fastest setting of the trials so far: a look at it, not a finding.
#[must_use]
pub fn leader(plan: &Plan, trials: &[Trial]) -> Option<TriedSetting> {
    landscape::tried(plan, &paced(plan, trials)).into_iter().next()
}

/// Median distance between foreseen and measured memory.
fn memory_error(trials: &[Trial]) -> Option<f64> {
    let measured = trials.iter().filter(|trial| trial.source == Source::Measured);
    let mut errors: Vec<f64> =
        measured.filter_map(|trial| trial.outcome.memory_error()).map(f64::abs).collect();
    errors.sort_by(f64::total_cmp);
    errors.get(errors.len() / 2).copied()
}

/// Different settings besides the baseline that were run.
fn looked_at(plan: &Plan, trials: &[Trial]) -> u32 {
    let ran = |trial: &&Trial| matches!(trial.outcome, Outcome::Measured(_));
    let mut settings: Vec<_> = trials.iter().filter(ran).map(|trial| &trial.asked).collect();
    settings.sort_unstable();
    settings.dedup();
    settings.retain(|setting| **setting != plan.baseline);
    u32::try_from(settings.len()).unwrap_or(u32::MAX)
}

fn number<'a>(trials: impl Iterator<Item = &'a Trial>) -> u32 {
    u32::try_from(trials.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
