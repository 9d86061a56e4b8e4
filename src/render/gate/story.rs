//! What a report tells beside its cells, one sentence each: levels over time, trials of the gate
//! itself, the machine, the sessions.

use super::super::format;
use super::super::machine::clean;
use super::super::verdict::sentence;
use super::words;
use crate::model::{
    Canary, ChangePoint, FactDifference, GateNoise, GateReport, GateSeries, GateSession, GateTrials,
};

/// A cell over time: its changes, or that there are none.
pub(super) fn series(series: &GateSeries) -> Vec<String> {
    let name = clean(&series.cell);
    let sessions = format::plural(series.values.len(), "session");
    let mut told: Vec<String> = series
        .change_points
        .iter()
        .map(|change| format!("{name}: {}", change_point(series, change)))
        .collect();
    match &series.unstable {
        Some(why) => told.push(format!("{name}: unstable, {}", clean(why))),
        None if told.is_empty() => told.push(format!("{name}: no change of level in {sessions}")),
        None => {}
    }
    if let Some(drift) = series.drift {
        let drift = words::signed(drift);
        told.push(format!("{name}: {drift} % worse than the best level held for five sessions"));
    }
    if !series.outliers.is_empty() {
        let labels: Vec<String> = series.outliers.iter().map(|at| label(series, *at)).collect();
        told.push(format!("{name}: single points, no change: {}", labels.join(", ")));
    }
    told
}

/// Where a level changed, by how much, and between which sessions that may have been.
pub(super) fn change_point(series: &GateSeries, change: &ChangePoint) -> String {
    let level = |value| words::level(value, &series.unit);
    let (first, last) = change.range;
    let range = if first == last {
        String::new()
    } else {
        format!(", between {} and {}", label(series, first), label(series, last))
    };
    format!(
        "{} → {} ({} %, {}) at {}{range}, p={}{}",
        level(change.before),
        level(change.after),
        words::signed(change.change),
        if change.worse { "worse" } else { "better" },
        clean(&change.label),
        words::probability(change.p_value),
        if change.fails { ": fails the build" } else { "" }
    )
}

/// Whether identical code passes, and slowed code does not.
pub(super) fn trials(trials: &GateTrials) -> Vec<String> {
    let mut told = Vec::new();
    if trials.identical_runs > 0 {
        let (low, high) = trials.false_failure_rate;
        told.push(format!(
            "identical code: {} of {} failed falsely, 95 % interval of that rate {} to {}",
            trials.false_failures,
            runs(trials.identical_runs),
            format::tenth_percent(low),
            format::tenth_percent(high)
        ));
    }
    if let Some(injected) = trials.injected {
        told.push(format!(
            "slowed by {}: {} of {} failed, {} undecided",
            format::confidence(injected),
            trials.caught,
            runs(trials.injected_runs),
            trials.undecided
        ));
    }
    told.extend(trials.noise.iter().map(noise));
    told
}

/// What there is to know about how the figures came about.
pub(super) fn circumstances(report: &GateReport) -> Vec<String> {
    let mut told = Vec::new();
    if report.synthetic {
        told.push("Simulated machine: no hardware was measured.".to_owned());
    }
    told.extend(report.canary.as_ref().filter(|canary| canary.moved).map(canary_moved));
    told.extend(report.sessions.iter().flat_map(|it| session(it, report.sessions.len())));
    told.extend(report.machine_differences.iter().map(difference));
    told.extend(report.notes.iter().map(|note| sentence(&clean(note))));
    told
}

/// Blocks that count and blocks that were thrown away, over all sessions.
pub(super) fn blocks(report: &GateReport) -> Option<String> {
    let kept: u32 = report.sessions.iter().map(|session| session.blocks).sum();
    let dropped: u32 = report.sessions.iter().map(|session| session.dropped).sum();
    let kept = (kept > 0).then(|| format::plural(kept as usize, "block"))?;
    Some(if dropped > 0 { format!("{kept}, {dropped} dropped") } else { kept })
}

fn runs(count: u32) -> String {
    format::plural(count as usize, "run")
}

fn label(series: &GateSeries, at: u32) -> String {
    series.labels.get(at as usize).map_or_else(|| format!("session {at}"), |label| clean(label))
}

fn noise(noise: &GateNoise) -> String {
    let share = |share: f64| format!("{} %", format::three(share * 100.0));
    let mut parts = vec![
        format!("{} between blocks", share(noise.block)),
        format!("{} between sessions", share(noise.session)),
    ];
    parts.extend(noise.repetition.map(|it| format!("{} between repetitions", share(it))));
    let sessions = format::plural(noise.sessions as usize, "session");
    format!("noise of {}: {} ({sessions})", clean(&noise.cell), parts.join(", "))
}

fn canary_moved(canary: &Canary) -> String {
    let interval = canary.interval.map_or_else(String::new, |(low, high)| {
        format!(" [{}, {}]", words::signed(low), words::signed(high))
    });
    let slowdown = words::signed(canary.slowdown);
    format!("Fixed work beside the head took {slowdown} %{interval} of time: the machine moved.")
}

/// A second session, and what disturbed a session. One that went well needs no words.
fn session(session: &GateSession, of: usize) -> Vec<String> {
    let purpose = clean(&session.purpose);
    let mut told = Vec::new();
    if of > 1 {
        let failed = match session.failed.as_slice() {
            [] => String::new(),
            names => format!(": {}", clean(&names.join(", "))),
        };
        let blocks = format::plural(session.blocks as usize, "block");
        told.push(format!("Session to {purpose}: {}{failed}, {blocks}.", session.verdict));
    }
    told.extend(
        session.disturbances.iter().map(|it| format!("Disturbed: {}", sentence(&clean(it)))),
    );
    told
}

fn difference(difference: &FactDifference) -> String {
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "unknown".into(), clean);
    format!(
        "Another machine{}: {} was {}, is {}.",
        if difference.strict { "" } else { " perhaps" },
        clean(&difference.fact),
        value(&difference.base),
        value(&difference.head)
    )
}
