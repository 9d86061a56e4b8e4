//! What the search saw of the space: every setting with its speed and memory, those that nothing
//! beats in both, and the two knobs that move speed most.

use autotune_engine::api::{Bytes, Setting};

use super::pace::Paced;
use crate::knob;
use crate::model::{
    Axis, Level, Outcome, Plan, Source, Surface, SurfaceAxis, SurfaceCell, TriedSetting,
};
use crate::stats::{Estimate, median_estimate};

/// Settings that a knob's levels are compared over, at least.
const FEWEST_SETTINGS: usize = 6;

/// Every setting that ran the workload's own work, fastest first.
pub(super) fn tried(plan: &Plan, paced: &[Paced<'_>]) -> Vec<TriedSetting> {
    let own = |one: &&Paced<'_>| {
        one.trial.source == Source::Measured && one.trial.work == plan.work(&one.trial.asked)
    };
    let mut visits: Vec<(&Paced<'_>, f64)> = Vec::new();
    let measured: Vec<&Paced<'_>> = paced.iter().filter(own).collect();
    let anchors: Vec<&Paced<'_>> =
        measured.iter().copied().filter(|one| one.trial.asked == plan.baseline).collect();
    for one in &measured {
        let speed = nearest(&anchors, one).and_then(|anchor| Some(anchor.cost? / one.cost?));
        visits.extend(speed.map(|speed| (*one, speed.ln())));
    }
    visits.sort_by(|a, b| (&a.0.trial.asked, a.0.trial.id).cmp(&(&b.0.trial.asked, b.0.trial.id)));
    let same = |a: &(&Paced<'_>, f64), b: &(&Paced<'_>, f64)| a.0.trial.asked == b.0.trial.asked;
    let mut tried: Vec<TriedSetting> =
        visits.chunk_by(same).filter_map(|visits| setting(plan, visits)).collect();
    tried.sort_by(|a, b| b.speed.value.total_cmp(&a.speed.value));
    tried
}

/// The visit to the default that was run nearest to another one, in the same session.
fn nearest<'a>(anchors: &[&Paced<'a>], one: &Paced<'_>) -> Option<Paced<'a>> {
    let own = one.trial;
    // The anchors are in the order of the journal: the nearest is beside the place of this one.
    let place = anchors.partition_point(|anchor| anchor.trial.id < own.id);
    let beside = anchors[place.saturating_sub(1)..(place + 1).min(anchors.len())].iter();
    beside
        .filter(|anchor| anchor.trial.session == own.session)
        .min_by_key(|anchor| anchor.trial.id.abs_diff(own.id))
        .map(|anchor| **anchor)
}

fn setting(plan: &Plan, visits: &[(&Paced<'_>, f64)]) -> Option<TriedSetting> {
    let logs: Vec<f64> = visits.iter().map(|(_, log)| *log).collect();
    let log = median_estimate(&logs, plan.protocol.confidence)?;
    let last = visits.last()?.0.trial;
    Some(TriedSetting {
        setting: last.asked.clone(),
        speed: Estimate {
            value: log.value.exp(),
            low: log.low.map(f64::exp),
            high: log.high.map(f64::exp),
            ..log
        },
        memory_bytes: memory(&last.outcome),
        evidence: visits.iter().map(|(one, _)| one.trial.id).collect(),
    })
}

/// Memory of the process by its kinds, which unlike its peak forgets the settings before, and what
/// it put on devices.
fn memory(outcome: &Outcome) -> Option<Bytes> {
    let Outcome::Measured(measured) = outcome else { return None };
    let resident = measured.memory.resident.map(|resident| resident.total());
    let main = resident.or(measured.memory.peak_resident_bytes)?;
    Some(main + measured.devices.iter().map(|device| device.allocated_bytes).sum::<Bytes>())
}

/// Those that no other one beats in speed and memory at once; `tried` is sorted by speed.
pub(super) fn frontier(tried: &[TriedSetting]) -> Vec<TriedSetting> {
    let mut least = None;
    let mut frontier = Vec::new();
    for one in tried {
        let Some(memory) = one.memory_bytes else { continue };
        if least.is_none_or(|least| memory < least) {
            least = Some(memory);
            frontier.push(one.clone());
        }
    }
    frontier
}

/// The two knobs that explain most of the speeds seen, with the best at each pair of levels.
pub(super) fn surface(plan: &Plan, tried: &[TriedSetting]) -> Option<Surface> {
    let mut axes: Vec<(&Axis, f64)> =
        plan.axes.iter().filter_map(|axis| Some((axis, explained(axis, tried)?))).collect();
    axes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [first, second, ..] = axes.as_slice() else { return None };
    let cells = cells(first.0, second.0, tried);
    let side = |(axis, explains): &(&Axis, f64)| SurfaceAxis {
        knob: axis.knob.clone(),
        levels: axis.levels.clone(),
        explains: *explains,
    };
    // A cross of two lines shows nothing that the curves do not.
    let lines = first.0.levels.len() + second.0.levels.len() - 1;
    (cells.len() >= 4 && cells.len() > lines).then(|| Surface {
        first: side(first),
        second: side(second),
        cells,
    })
}

/// Share of the variance of logarithmic speed that lies between the levels of a knob, less what chance
/// puts there: the epsilon-squared of Kelley (1935, "An unbiased correlation ratio measure"). `None`
/// where fewer than two of its levels ran, too few settings did, or nothing is left.
fn explained(axis: &Axis, tried: &[TriedSetting]) -> Option<f64> {
    let seen: Vec<(Level, f64)> = tried
        .iter()
        .filter_map(|one| Some((level(axis, &one.setting)?, one.speed.value.ln())))
        .collect();
    if seen.len() < FEWEST_SETTINGS {
        return None;
    }
    let mean = |logs: &[f64]| logs.iter().sum::<f64>() / logs.len() as f64;
    let all: Vec<f64> = seen.iter().map(|(_, log)| *log).collect();
    let middle = mean(&all);
    let whole: f64 = all.iter().map(|log| (log - middle).powi(2)).sum();
    let groups: Vec<Vec<f64>> = axis
        .levels
        .iter()
        .map(|level| seen.iter().filter(|(own, _)| own == level).map(|(_, log)| *log).collect())
        .filter(|group: &Vec<f64>| !group.is_empty())
        .collect();
    let between: f64 =
        groups.iter().map(|group| group.len() as f64 * (mean(group) - middle).powi(2)).sum();
    let (n, k) = (all.len() as f64, groups.len() as f64);
    if groups.len() < 2 || n <= k || whole <= 0.0 {
        return None;
    }
    // Chance alone puts (k - 1) / (n - 1) of the variance between k groups.
    let explained = 1.0 - (1.0 - between / whole) * (n - 1.0) / (n - k);
    (explained > 0.0).then_some(explained)
}

fn cells(first: &Axis, second: &Axis, tried: &[TriedSetting]) -> Vec<SurfaceCell> {
    let pairs = first.levels.iter().flat_map(|a| second.levels.iter().map(move |b| (a, b)));
    pairs
        .filter_map(|(a, b)| {
            let here = |one: &&TriedSetting| {
                level(first, &one.setting).as_ref() == Some(a)
                    && level(second, &one.setting).as_ref() == Some(b)
            };
            // Sorted by speed: the first is the fastest.
            let best = tried.iter().find(here)?;
            Some(SurfaceCell {
                first: a.clone(),
                second: b.clone(),
                speed: best.speed.value,
                settings: u32::try_from(tried.iter().filter(here).count()).unwrap_or(u32::MAX),
                evidence: best.evidence.clone(),
            })
        })
        .collect()
}

fn level(axis: &Axis, setting: &Setting) -> Option<Level> {
    Some(knob::named(&axis.knob).ok()?.read(setting))
}
