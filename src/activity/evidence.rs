//! Why a class is what it is, in sentences with numbers.

use std::fmt::Write as _;

use super::split::Split;
use crate::model::activity::{CallShare, Class, CommandProfile};
use crate::model::observation::{Series, Wait};

/// Fewer looks than this say little.
const FEW_LOOKS: usize = 10;
/// Processors of others from which on they are worth a sentence.
const OTHERS: f64 = 0.3;
/// Page faults from memory for each second of processor time that are worth a sentence: at about
/// half a microsecond each they are a hundredth of it.
const MANY_FAULTS: f64 = 20_000.0;

pub(super) fn of(profile: &CommandProfile, whole: &Split, series: &Series) -> Vec<String> {
    let mut said = Vec::new();
    said.push(processors(profile, whole));
    said.extend(waits(profile));
    said.extend(rhythm(whole, series));
    said.extend(places(profile));
    said.extend(storage(profile, whole, series));
    said.extend(kernel(profile));
    said.extend(one_at_a_time(profile, whole, series));
    said.extend(queue(profile));
    said.extend(cards(profile));
    said.extend(others(profile));
    said.extend(short(profile, series));
    said
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

pub(super) fn seconds(value: f64) -> String {
    match value {
        v if v >= 0.9995 => format!("{v:.1} s"),
        v if v >= 0.00995 => format!("{:.0} ms", v * 1e3),
        v if v >= 0.001 => format!("{:.1} ms", v * 1e3),
        v => format!("{:.0} µs", v * 1e6),
    }
}

pub(super) fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [
        (1_099_511_627_776.0, "TiB"),
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
    ];
    for (size, unit) in UNITS {
        if value >= size {
            return format!("{:.1} {unit}", value / size);
        }
    }
    format!("{value:.0} bytes")
}

fn processors(profile: &CommandProfile, whole: &Split) -> String {
    let cpu = &profile.cpu;
    if whole.cpu() < 0.005 {
        return "Hardly ever did it want a processor.".to_owned();
    }
    format!(
        "In {} of the time somebody wanted a processor, {:.1} at once; {:.2} of {} were used on \
         the average.",
        percent(whole.cpu()),
        whole.parallelism(),
        cpu.mean_cores,
        cpu.processors
    )
}

fn waits(profile: &CommandProfile) -> Vec<String> {
    let waits = profile.shares.iter().filter(|share| share.share >= 0.05);
    waits
        .filter_map(|share| {
            let kind = share.wait?;
            let sources: Vec<&str> = share.sources.iter().map(|source| source.words()).collect();
            Some(format!(
                "In {} of the time all of it waited for {} (told by {}).",
                percent(share.share),
                kind.words(),
                sources.join(", ")
            ))
        })
        .collect()
}

/// Waits of the kind that holds it up: how many and how long, by Little's law.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// Waits that ended, for each second.
    pub(super) per_s: f64,
    /// One wait, on the average.
    pub(super) each_s: f64,
    /// Threads that waited at once while all waited.
    pub(super) in_flight: f64,
}

/// A thread that is given a processor without its having been taken away ended a wait.
pub(super) fn little(kind: Wait, whole: &Split, series: &Series) -> Option<Rhythm> {
    let part = whole.waits.get(&kind)?;
    let totals = &series.totals;
    let switches = (totals.voluntary_switches + totals.involuntary_switches) as f64;
    let voluntary = if switches > 0.0 { totals.voluntary_switches as f64 / switches } else { 1.0 };
    let waited: f64 = whole.waits.values().map(|part| part.seconds).sum();
    // Of all waits those of this kind, as far as time tells.
    let share = if waited > 0.0 { part.seconds / waited } else { 0.0 };
    let ended = totals.turns as f64 * voluntary * share;
    (ended >= 5.0 && whole.seconds > 0.0).then(|| Rhythm {
        per_s: ended / whole.seconds,
        each_s: part.seconds * part.in_flight() / ended,
        in_flight: part.in_flight(),
    })
}

fn rhythm(whole: &Split, series: &Series) -> Vec<String> {
    let kinds = [Wait::Network, Wait::Disk];
    let told = kinds.into_iter().filter(|kind| whole.wait(*kind) >= 0.15);
    told.filter_map(|kind| {
        let rhythm = little(kind, whole, series)?;
        Some(format!(
            "About {:.0} waits for {} ended each second, {} each, {:.1} at once.",
            rhythm.per_s,
            kind.words(),
            seconds(rhythm.each_s),
            rhythm.in_flight
        ))
    })
    .collect()
}

fn place(call: &CallShare) -> String {
    match &call.on {
        Some(on) => format!("{} on {on}", call.call),
        None => call.call.clone(),
    }
}

fn places(profile: &CommandProfile) -> Option<String> {
    let waited: f64 =
        profile.shares.iter().filter(|share| share.wait.is_some()).map(|share| share.share).sum();
    if waited < 0.15 {
        return None;
    }
    let mut places: Vec<String> = profile
        .calls
        .iter()
        .filter(|call| call.share >= 0.1)
        .take(3)
        .map(|call| format!("{} ({})", place(call), percent(call.share)))
        .collect();
    let last = places.pop()?;
    let all = if places.is_empty() { last } else { format!("{} and {last}", places.join(", ")) };
    Some(format!("Waiting threads were seen in {all}."))
}

fn storage(profile: &CommandProfile, whole: &Split, series: &Series) -> Option<String> {
    let io = profile.io?;
    let moved = io.storage_read_bytes + io.storage_write_bytes;
    let worth = whole.wait(Wait::Disk) >= 0.05 || moved >= 16 << 20;
    if !worth || profile.duration_s <= 0.0 {
        return None;
    }
    let rate = |count: u64| count as f64 / profile.duration_s;
    let mut sentence = format!(
        "Storage gave {} ({}/s) and took {} ({}/s), with {:.0} reading and {:.0} writing calls \
         each second",
        bytes(io.storage_read_bytes as f64),
        bytes(rate(io.storage_read_bytes)),
        bytes(io.storage_write_bytes as f64),
        bytes(rate(io.storage_write_bytes)),
        rate(io.read_calls),
        rate(io.write_calls)
    );
    if profile.memory.major_faults > 0 {
        let faults = profile.memory.major_faults;
        let _ = write!(sentence, "; {faults} page faults were answered from storage");
    }
    if let Some(delay) = series.totals.storage_delay_s {
        let _ = write!(sentence, "; the kernel counts {} of waiting for it", seconds(delay));
    }
    Some(sentence + ".")
}

fn kernel(profile: &CommandProfile) -> Option<String> {
    let cpu = &profile.cpu;
    let all = cpu.user_s + cpu.system_s;
    let faults = profile.memory.minor_faults as f64 / all.max(f64::MIN_POSITIVE);
    let share = cpu.system_s / all.max(f64::MIN_POSITIVE);
    if all < 0.1 || (share < 0.3 && faults < MANY_FAULTS) {
        return None;
    }
    Some(format!(
        "{} of the processor time was spent in the kernel; {:.0} page faults were answered from \
         memory for each second of processor time.",
        percent(share),
        faults
    ))
}

/// Several threads work, and hardly ever two at once: a lock that all of them need.
pub(super) fn takes_turns(profile: &CommandProfile, whole: &Split, series: &Series) -> bool {
    let all: f64 = series.threads.iter().map(|thread| thread.cpu_s).sum();
    let working = series.threads.iter().filter(|thread| thread.cpu_s > 0.1 * all).count();
    let lock = series.calls.iter().filter(|call| call.kind == Wait::Lock);
    let locked: u64 = lock.map(|call| call.times).sum();
    profile.class == Class::CpuOneThread
        && profile.cpu.processors > 1
        && working >= 2
        && whole.parallelism() < 1.3
        && locked > 0
}

fn one_at_a_time(profile: &CommandProfile, whole: &Split, series: &Series) -> Option<String> {
    let all: f64 = series.threads.iter().map(|thread| thread.cpu_s).sum();
    let working = series.threads.iter().filter(|thread| thread.cpu_s > 0.1 * all).count();
    takes_turns(profile, whole, series).then(|| {
        format!(
            "{working} threads share the work and ran one at a time while others waited for a \
             lock: a global one, as Python's interpreter has."
        )
    })
}

fn queue(profile: &CommandProfile) -> Option<String> {
    let cpu = &profile.cpu;
    let used = cpu.user_s + cpu.system_s;
    (cpu.queued_s > 0.2 * used && cpu.queued_s > 0.1).then(|| {
        format!(
            "Threads that were ready waited {} for a processor, beside {} of using one; that \
             counts as wanting it.",
            seconds(cpu.queued_s),
            seconds(used)
        )
    })
}

fn cards(profile: &CommandProfile) -> Vec<String> {
    let told = profile.cards.iter().filter_map(|card| {
        let busy = card.busy?;
        let name = card.name.as_deref().unwrap_or("A card");
        let mut sentence = format!("{name} computed in {} of the time", percent(busy));
        if let Some(memory) = card.memory_busy {
            let _ = write!(sentence, ", used its memory in {}", percent(memory));
        }
        if let (Some(peak), Some(all)) = (card.peak_bytes, card.memory_bytes) {
            let _ = write!(
                sentence,
                "; {} of {} were in use at most",
                bytes(peak.0 as f64),
                bytes(all.0 as f64)
            );
        }
        if let (Some(to), Some(from)) = (card.copied_in_bytes_per_s, card.copied_out_bytes_per_s) {
            let _ =
                write!(sentence, "; {}/s went to it and {}/s came back", bytes(to), bytes(from));
        }
        Some(sentence + ".")
    });
    told.collect()
}

fn others(profile: &CommandProfile) -> Option<String> {
    let others = profile.cpu.others_cores.filter(|others| *others >= OTHERS)?;
    Some(format!(
        "Other programs used {others:.1} processors meanwhile: alone it would run differently."
    ))
}

fn short(profile: &CommandProfile, series: &Series) -> Option<String> {
    (series.looks.len() < FEW_LOOKS).then(|| {
        let times = match series.looks.len() {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        format!(
            "It ran for {} and was looked at {times}: the class rests on what the kernel counted \
             in all.",
            seconds(profile.duration_s)
        )
    })
}
