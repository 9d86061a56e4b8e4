//! Load, prefill and decode: times, accounts and counters of all their repetitions.

use autotune_engine::api::{Count, Event, KernelUse, PhaseUse, Stretch};

use super::metrics::metrics;
use super::{Evidence, seconds};
use crate::model::PhaseProfile;
use crate::stats::{Estimate, median_estimate};

/// Two-sided coverage of the intervals here.
const CONFIDENCE: f64 = 0.95;

/// The stretches that took place, in order.
pub(super) fn phases(evidence: &Evidence<'_>) -> Vec<PhaseProfile> {
    [Stretch::Load, Stretch::Prefill, Stretch::Decode]
        .into_iter()
        .filter_map(|stretch| phase(evidence, stretch))
        .collect()
}

/// Repetitions without samples that are enough for an interval of their median.
const ENOUGH: usize = 6;

/// The repetitions of a stretch without samples; all where those are too few for an interval: what
/// samples cost is far below what such few repetitions resolve.
pub(super) fn plain(evidence: &Evidence<'_>, stretch: Stretch) -> Vec<PhaseUse> {
    let own = || evidence.program.phases.iter().filter(|phase| phase.stretch == stretch);
    let plain: Vec<PhaseUse> = own().filter(|phase| !phase.sampled).cloned().collect();
    if plain.len() < ENOUGH { own().cloned().collect() } else { plain }
}

fn phase(evidence: &Evidence<'_>, stretch: Stretch) -> Option<PhaseProfile> {
    let own = plain(evidence, stretch);
    let times: Vec<f64> = own.iter().map(|phase| seconds(phase.elapsed_ns)).collect();
    let elapsed_s = median_estimate(&times, CONFIDENCE)?;
    let tokens = own.first()?.tokens;
    let all: f64 = times.iter().sum();
    let counts = summed(&own);
    let cpu: f64 = own.iter().map(|phase| seconds(phase.cpu_ns)).sum();
    let joules = joules(evidence, &counts, all);
    let all_tokens: u64 = own.iter().map(|phase| phase.tokens).sum();
    Some(PhaseProfile {
        stretch,
        tok_per_s: (tokens > 0).then(|| inverse(&elapsed_s, tokens as f64)),
        elapsed_s,
        tokens,
        cores_busy: if all > 0.0 { cpu / all } else { 0.0 },
        kernel: kernel(&own),
        metrics: metrics(&counts, Some(all)),
        counts,
        joules_per_token: joules.filter(|_| all_tokens > 0).map(|sum| sum / all_tokens as f64),
    })
}

/// `amount` for each second, from seconds.
pub(super) fn inverse(seconds: &Estimate, amount: f64) -> Estimate {
    Estimate {
        value: amount / seconds.value,
        low: seconds.high.map(|high| amount / high),
        high: seconds.low.map(|low| amount / low),
        ..*seconds
    }
}

fn summed(phases: &[PhaseUse]) -> Vec<Count> {
    let mut sums: Vec<Count> = Vec::new();
    for count in phases.iter().flat_map(|phase| &phase.counts) {
        let known =
            sums.iter_mut().find(|sum| (sum.event, &sum.unit) == (count.event, &count.unit));
        match known {
            Some(sum) => {
                sum.value = sum.value.saturating_add(count.value);
                sum.enabled_ns = sum.enabled_ns.saturating_add(count.enabled_ns);
                sum.running_ns = sum.running_ns.saturating_add(count.running_ns);
            }
            None => sums.push(count.clone()),
        }
    }
    sums
}

fn kernel(phases: &[PhaseUse]) -> KernelUse {
    let sum = |field: fn(&KernelUse) -> Option<u64>| {
        phases.iter().map(|phase| field(&phase.kernel)).sum::<Option<u64>>()
    };
    KernelUse {
        minor_faults: sum(|it| it.minor_faults),
        major_faults: sum(|it| it.major_faults),
        voluntary_switches: sum(|it| it.voluntary_switches),
        involuntary_switches: sum(|it| it.involuntary_switches),
        read_bytes: sum(|it| it.read_bytes),
    }
}

/// Energy of packages and memory by their counters, and of graphics cards by their mean power.
fn joules(evidence: &Evidence<'_>, counts: &[Count], elapsed_s: f64) -> Option<f64> {
    let energy = |event: Event| {
        let count = counts.iter().find(|count| count.event == event)?;
        Some(count.scaled()? as f64 / 1e6)
    };
    let package = energy(Event::PackageEnergy);
    let memory = energy(Event::MemoryEnergy);
    let watts: Option<f64> =
        evidence.cards.iter().map(|card| card.power_watts).reduce(|a, b| Some(a? + b?)).flatten();
    let cards = watts.map(|watts| watts * elapsed_s);
    [package, memory, cards].into_iter().flatten().reduce(|a, b| a + b)
}
