//! Speed over the levels of one knob, the others at the baseline.

use super::candidate::rate;
use super::pace::Paced;
use crate::knob::{self, ActsOn, Knob};
use crate::model::{Axis, Curve, CurvePoint, Level, Phase, Plan, Purpose, Trial};

/// One curve per knob of the plan and part of a turn that it acts on, from the screening.
pub(super) fn curves(plan: &Plan, trials: &[Trial], paced: &[Paced<'_>]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for axis in &plan.axes {
        for phase in phases(axis) {
            let points = points(plan, trials, paced, axis, *phase);
            if points.iter().any(|point| point.tok_per_s.is_some()) {
                curves.push(Curve { knob: axis.knob.clone(), phase: *phase, points });
            }
        }
    }
    curves
}

fn phases(axis: &Axis) -> &'static [Phase] {
    match knob::named(&axis.knob).map(Knob::acts_on) {
        Ok(ActsOn::Prefill) => &[Phase::Prefill],
        Ok(ActsOn::Decode) => &[Phase::Decode],
        Ok(ActsOn::Both) => &[Phase::Prefill, Phase::Decode],
        Err(_) => &[],
    }
}

fn points(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    axis: &Axis,
    phase: Phase,
) -> Vec<CurvePoint> {
    let mut points: Vec<CurvePoint> = Vec::new();
    for level in &axis.levels {
        let Some(setting) = knob::apply(axis, &plan.baseline, level) else { continue };
        let own = |trial: &Trial| trial.purpose == Purpose::Screen && trial.asked == setting;
        if !trials.iter().any(own) && runs_as_baseline(plan, trials, axis, level) {
            continue;
        }
        let visits: Vec<Paced<'_>> = paced.iter().filter(|one| own(one.trial)).copied().collect();
        let tok_per_s = rate(&visits, phase.into(), plan.protocol.confidence);
        let first = points.first().map_or(Some((level, tok_per_s)), |first: &CurvePoint| {
            Some((&first.level, first.tok_per_s))
        });
        let speedup = first.and_then(|(_, first)| Some(tok_per_s?.value / first?.value));
        let threads = axis.knob.starts_with("threads");
        let ratio = first.and_then(|(first, _)| ratio(first, level)).filter(|_| threads);
        points.push(CurvePoint {
            level: level.clone(),
            tok_per_s,
            speedup,
            efficiency: speedup.zip(ratio).map(|(speedup, ratio)| speedup / ratio),
            evidence: trials.iter().filter(|trial| own(trial)).map(|trial| trial.id).collect(),
        });
    }
    points
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
