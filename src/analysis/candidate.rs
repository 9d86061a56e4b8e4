//! One setting with its absolute speeds.

use autotune_engine::api::Setting;

use super::pace::{Paced, Part};
use crate::model::{Candidate, CardUse, Outcome, Plan, Purpose, Source};
use crate::stats::{Estimate, median, median_estimate, quantile};

/// The speeds of a setting over its measured trials: those of the confirmation where it was part
/// of one, so that baseline and best are seen at the same times; else all.
pub(super) fn candidate(plan: &Plan, paced: &[Paced<'_>], setting: &Setting) -> Candidate {
    let own =
        |one: &&Paced<'_>| one.trial.asked == *setting && one.trial.source == Source::Measured;
    let mut trials: Vec<Paced<'_>> = paced.iter().filter(own).copied().collect();
    if trials.iter().any(|one| one.trial.purpose == Purpose::Confirm) {
        trials.retain(|one| one.trial.purpose == Purpose::Confirm);
    }
    let confidence = plan.protocol.confidence;
    let token_s: Vec<f64> = trials
        .iter()
        .flat_map(|one| one.trial.outcome.samples())
        .flat_map(|sample| sample.token_ns.iter().map(|token_ns| *token_ns as f64 / 1e9))
        .collect();
    let prompt_tokens = f64::from(plan.workload.prompt_tokens);
    let first_token_s = |one: &Paced<'_>| Some(prompt_tokens * one.prefill_s?);
    Candidate {
        setting: setting.clone(),
        effective: trials.last().and_then(|one| one.trial.effective.clone()),
        prefill_tok_per_s: rate(&trials, Part::Prefill, confidence),
        decode_tok_per_s: rate(&trials, Part::Decode, confidence),
        turn_s: seconds(trials.iter().filter_map(|one| one.turn_s), confidence),
        ttft_s: seconds(trials.iter().filter_map(first_token_s), confidence),
        itl_p50_s: median(&token_s),
        itl_p99_s: quantile(&token_s, 0.99),
        peak_resident_bytes: trials
            .iter()
            .filter_map(|one| match &one.trial.outcome {
                Outcome::Measured(measured) => measured.memory.peak_resident_bytes,
                Outcome::NotRun(_) | Outcome::Failed(_) => None,
            })
            .max(),
        gpu_utilization: busiest_card(&trials),
        peak_card_bytes: cards(&trials)
            .filter_map(|cards| {
                let used = cards.iter().filter_map(|card| card.used_peak_bytes);
                (cards.iter().any(|card| card.used_peak_bytes.is_some())).then(|| used.sum())
            })
            .max(),
        buffers: match trials.last().map(|one| &one.trial.outcome) {
            Some(Outcome::Measured(measured)) => measured.memory.buffers.clone(),
            _ => Vec::new(),
        },
        evidence: trials.iter().map(|one| one.trial.id).collect(),
    }
}

fn cards<'a>(trials: &'a [Paced<'a>]) -> impl Iterator<Item = &'a [CardUse]> {
    trials.iter().filter_map(|one| match &one.trial.outcome {
        Outcome::Measured(measured) if !measured.cards.is_empty() => Some(&*measured.cards),
        _ => None,
    })
}

/// How much the card computed that computed most, the mean over trials.
fn busiest_card(trials: &[Paced<'_>]) -> Option<f64> {
    let busiest =
        |cards: &[CardUse]| cards.iter().filter_map(|card| card.utilization).max_by(f64::total_cmp);
    let shares: Vec<f64> = cards(trials).filter_map(busiest).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Tokens per second over trials: the median of the logarithm of time, turned round.
pub(super) fn rate(trials: &[Paced<'_>], part: Part, confidence: f64) -> Option<Estimate> {
    let slowness = seconds(trials.iter().filter_map(|one| one.seconds(part)), confidence)?;
    Some(Estimate {
        value: 1.0 / slowness.value,
        low: slowness.high.map(|high| 1.0 / high),
        high: slowness.low.map(|low| 1.0 / low),
        ..slowness
    })
}

/// Seconds over trials: the median of their logarithm.
fn seconds(samples: impl Iterator<Item = f64>, confidence: f64) -> Option<Estimate> {
    let logs: Vec<f64> = samples.map(f64::ln).collect();
    let log = median_estimate(&logs, confidence)?;
    Some(Estimate {
        value: log.value.exp(),
        low: log.low.map(f64::exp),
        high: log.high.map(f64::exp),
        ..log
    })
}
