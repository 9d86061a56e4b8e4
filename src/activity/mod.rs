//! What kind of program it was: [`Series`] → [`CommandProfile`], a pure function.
//!
//! The time is split into that in which somebody wanted a processor and that in which everybody
//! waited, by kind; the class follows from the split, the confidence from resampling the looks. How
//! the looks came about is left to `observe`, how it is shown to `render`.

mod class;
mod confidence;
mod counters;
mod course;
mod evidence;
#[cfg(test)]
mod fixture;
mod phase;
mod split;
mod strategy;
#[cfg(test)]
mod tests;

use autotune_engine::api::Bytes;

pub use counters::{Counted, add_counters};

use crate::model::activity::{
    Begin, CallShare, CardActivity, Class, CommandProfile, CpuUse, End, Looks, MemoryUse,
    OnProcessor, Share,
};
use crate::model::observation::{CardSeries, Series, Wait};
use split::{Cards, Split, filled};

/// Threads and places of waiting that are listed.
const LISTED: usize = 12;

/// Judges a command that was watched.
#[must_use]
pub fn judge(command: Vec<String>, begin: Begin, end: End, series: &Series) -> CommandProfile {
    let cards = Cards::of(series);
    let looks = filled(&series.looks, &cards);
    let whole = Split::of(&looks);
    let phases = phase::find(&looks);
    let class = match phases.len() {
        0 => class::of(&whole),
        _ => Class::Mixed,
    };
    let duration_s: f64 = series.looks.iter().map(|look| look.span_s).sum();
    let confidence = confidence::of(class, &looks, &phases);
    let cpu = cpu(series, &whole, duration_s);
    let calls = calls(series);
    let mut profile = CommandProfile {
        command,
        begin,
        end,
        duration_s,
        class,
        waits_for: class::waits_for(class, &whole),
        confidence,
        evidence: Vec::new(),
        strategies: Vec::new(),
        phases,
        shares: shares(&whole),
        calls,
        io: series.totals.io,
        network: series.totals.network,
        memory: MemoryUse {
            peak_bytes: Bytes(series.totals.peak_bytes),
            minor_faults: series.totals.minor_faults,
            major_faults: series.totals.major_faults,
        },
        threads: series.threads.iter().take(LISTED).cloned().collect(),
        cards: if series.holds_card { cards_used(&series.cards) } else { Vec::new() },
        course: course::of(&looks),
        looks: Looks {
            count: series.looks.len().try_into().unwrap_or(u32::MAX),
            spacing_s: if series.looks.is_empty() {
                0.0
            } else {
                duration_s / series.looks.len() as f64
            },
            cost_cores: if duration_s > 0.0 { series.own_cpu_s / duration_s } else { 0.0 },
        },
        unseen: series.unseen.clone(),
        more_rights: more_rights(series),
        counts: Vec::new(),
        metrics: Vec::new(),
        cpu,
    };
    profile.evidence = evidence::of(&profile, &whole, series);
    profile.strategies = strategy::of(&profile, &whole, series);
    profile
}

fn cpu(series: &Series, whole: &Split, duration_s: f64) -> CpuUse {
    let totals = &series.totals;
    let looked: f64 = series.looks.iter().map(|look| look.on_cpu_s).sum();
    // Ticks lag behind: of a short command the looks know more.
    let mut user_s = totals.user_s;
    if user_s + totals.system_s < looked {
        let share = user_s / (user_s + totals.system_s).max(f64::MIN_POSITIVE);
        let share = if user_s + totals.system_s > 0.0 { share } else { 1.0 };
        user_s += (looked - user_s - totals.system_s) * share;
    }
    let system_s = totals.system_s.max(looked - user_s).max(0.0);
    CpuUse {
        processors: series.processors,
        user_s,
        system_s,
        queued_s: series.looks.iter().map(|look| look.queued_s).sum(),
        mean_cores: if duration_s > 0.0 { (user_s + system_s) / duration_s } else { 0.0 },
        parallelism: whole.parallelism(),
        serial_share: whole.serial_share(),
        others_cores: totals.others_cores,
        by_processor: series
            .by_processor
            .iter()
            .map(|(processor, cpu_s)| OnProcessor { processor: *processor, cpu_s: *cpu_s })
            .collect(),
        voluntary_switches: totals.voluntary_switches,
        involuntary_switches: totals.involuntary_switches,
    }
}

/// Processors first, then kinds of waiting by their share.
fn shares(whole: &Split) -> Vec<Share> {
    let mut waits: Vec<Share> = whole
        .waits
        .iter()
        .map(|(kind, part)| Share {
            wait: Some(*kind),
            share: whole.share(part.seconds),
            sources: part.sources.iter().copied().collect(),
            in_flight: Some(part.in_flight()),
        })
        .filter(|share| share.share >= 0.0005)
        .collect();
    waits.sort_by(|a, b| b.share.total_cmp(&a.share));
    let cpu = Share { wait: None, share: whole.cpu(), sources: Vec::new(), in_flight: None };
    std::iter::once(cpu).chain(waits).collect()
}

fn calls(series: &Series) -> Vec<CallShare> {
    let all: u64 = series.calls.iter().map(|call| call.times).sum();
    let seen = series.calls.iter().take(LISTED).map(|call| CallShare {
        call: call.call.clone(),
        on: call.on.clone(),
        wait: call.kind,
        share: call.times as f64 / all.max(1) as f64,
    });
    seen.collect()
}

fn cards_used(cards: &[CardSeries]) -> Vec<CardActivity> {
    let mean = |card: &CardSeries,
                of: fn(&crate::model::observation::CardSample) -> Option<f64>| {
        let known: Vec<f64> = card.samples.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let used = cards.iter().map(|card| CardActivity {
        name: card.name.clone(),
        busy: mean(card, |sample| sample.busy),
        memory_busy: mean(card, |sample| sample.memory_busy),
        memory_bytes: card.memory_bytes.map(Bytes),
        peak_bytes: card.samples.iter().filter_map(|sample| sample.used_bytes).max().map(Bytes),
        copied_in_bytes_per_s: mean(card, |sample| sample.copied_in_bytes_per_s),
        copied_out_bytes_per_s: mean(card, |sample| sample.copied_out_bytes_per_s),
        power_watts: mean(card, |sample| sample.power_watts),
    });
    used.collect()
}

fn more_rights(series: &Series) -> Option<String> {
    let refused: Vec<&str> = series
        .unseen
        .iter()
        .filter_map(|sentence| sentence.strip_prefix("this user may not read "))
        .collect();
    if !refused.is_empty() {
        return Some(format!(
            "Run as the user of the process, or with CAP_SYS_PTRACE, to see {}.",
            refused.join(" and ")
        ));
    }
    let waits = series
        .looks
        .iter()
        .any(|look| look.waiting.is_some_and(|waiting| waiting.kind == Wait::Disk));
    (waits && series.totals.storage_delay_s.is_none()).then(|| {
        "With `sysctl kernel.task_delayacct=1` (root) the kernel would count each thread's time \
         of waiting for storage; here it is taken from the looks."
            .to_owned()
    })
}
