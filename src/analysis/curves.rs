//! Speed over the levels of one knob, the others as in the best setting.

use autotune_engine::api::Setting;

use super::candidate::rate;
use super::pace::Paced;
use crate::knob::{self, ActsOn, Knob};
use crate::model::{Axis, Curve, CurvePoint, Level, Phase, Plan, Purpose, Trial};

/// The name of the curve over tokens that are already in the KV cache.
const DEPTH: &str = "depth";

/// One curve per knob of the plan and part of a turn that it acts on, and one over the filled
/// context, from the visits that were made for them.
pub(super) fn curves(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    best: &Setting,
) -> Vec<Curve> {
    let mut curves = Vec::new();
    for axis in &plan.axes {
        for phase in phases(axis) {
            let points = axis.levels.iter().filter_map(|level| {
                let own = |trial: &Trial| is_point(plan, trial, best, axis, level);
                let known = trials.iter().any(own);
                let skip = !known && runs_as_baseline(plan, trials, axis, level);
                (!skip).then(|| point(plan, trials, paced, *phase, level.clone(), own))
            });
            keep(&mut curves, &axis.knob, *phase, points.collect());
        }
    }
    let depths = over_depth(trials, best);
    for phase in [Phase::Prefill, Phase::Decode] {
        let points = depths.iter().map(|depth| {
            let own = |trial: &Trial| at_depth(trial, best) == Some(*depth);
            point(plan, trials, paced, phase, Level::Count(*depth), own)
        });
        let points: Vec<CurvePoint> = points.collect();
        if points.len() > 1 {
            keep(&mut curves, DEPTH, phase, points);
        }
    }
    curves
}

fn keep(curves: &mut Vec<Curve>, knob: &str, phase: Phase, mut points: Vec<CurvePoint>) {
    if !points.iter().any(|point| point.tok_per_s.is_some()) {
        return;
    }
    let first = points.first().map(|point| (point.level.clone(), point.tok_per_s));
    let Some((first_level, first_rate)) = first else { return };
    for point in &mut points {
        point.speedup = point.tok_per_s.zip(first_rate).map(|(own, first)| own.value / first.value);
        let ratio = ratio(&first_level, &point.level).filter(|_| knob.starts_with("threads"));
        point.efficiency = point.speedup.zip(ratio).map(|(speedup, ratio)| speedup / ratio);
    }
    curves.push(Curve { knob: knob.to_owned(), phase, points });
}

fn point(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    phase: Phase,
    level: Level,
    own: impl Fn(&Trial) -> bool,
) -> CurvePoint {
    let visits: Vec<Paced<'_>> = paced.iter().filter(|one| own(one.trial)).copied().collect();
    CurvePoint {
        level,
        tok_per_s: rate(&visits, phase.into(), plan.protocol.confidence),
        speedup: None,
        efficiency: None,
        evidence: trials.iter().filter(|trial| own(trial)).map(|trial| trial.id).collect(),
    }
}

/// Whether a trial is a visit to the best setting with one knob at a level. The two thread counts
/// were turned together, because each acts on one part of a turn.
fn is_point(plan: &Plan, trial: &Trial, best: &Setting, axis: &Axis, level: &Level) -> bool {
    if trial.purpose != Purpose::Curve || trial.work.depth != plan.protocol.slice.depth {
        return false;
    }
    let Ok(knob) = knob::named(&axis.knob) else { return false };
    let threads = |name: &str| name.starts_with("threads");
    let alike = |name: &str| name == axis.knob || threads(name) && threads(&axis.knob);
    knob.read(&trial.asked) == *level
        && knob::changed(best, &trial.asked).iter().all(|(knob, _, _)| alike(knob.name()))
}

fn at_depth(trial: &Trial, best: &Setting) -> Option<u32> {
    (trial.purpose == Purpose::Curve && trial.asked == *best).then_some(trial.work.depth)
}

fn over_depth(trials: &[Trial], best: &Setting) -> Vec<u32> {
    let mut depths: Vec<u32> = trials.iter().filter_map(|trial| at_depth(trial, best)).collect();
    depths.sort_unstable();
    depths.dedup();
    depths
}

fn phases(axis: &Axis) -> &'static [Phase] {
    match knob::named(&axis.knob).map(Knob::acts_on) {
        Ok(ActsOn::Prefill) => &[Phase::Prefill],
        Ok(ActsOn::Decode) => &[Phase::Decode],
        Ok(ActsOn::Both) => &[Phase::Prefill, Phase::Decode],
        Err(_) => &[],
    }
}

/// Whether the baseline turned out to run with this level, as `auto` does with what it stands for:
/// then it is no run of its own.
pub(super) fn runs_as_baseline(plan: &Plan, trials: &[Trial], axis: &Axis, level: &Level) -> bool {
    let mut baselines = trials.iter().filter(|trial| trial.asked == plan.baseline);
    let effective = baselines.find_map(|trial| trial.effective.as_ref());
    let knob = knob::named(&axis.knob).ok();
    effective.zip(knob).is_some_and(|(effective, knob)| knob.read(effective) == *level)
}

/// How many times the first level a level is.
fn ratio(first: &Level, level: &Level) -> Option<f64> {
    match (first, level) {
        (Level::Count(first), Level::Count(level)) if *first > 0 => {
            Some(f64::from(*level) / f64::from(*first))
        }
        _ => None,
    }
}
