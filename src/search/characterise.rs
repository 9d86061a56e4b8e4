//! After the decision: the winner for minutes on end, each of its changes alone, the levels around
//! it, and settings that the search never saw.

use std::collections::BTreeSet;

use autotune_engine::api::{Setting, Work};

use super::Ask;
use super::ledger::Ledger;
use super::order::walk;
use super::propose::unseen;
use crate::knob::{self, Knob};
use crate::model::{Axis, Level, Plan, Purpose, Trial};

/// Complete blocks of the ablation's two parts, and of the curves.
const BLOCKS: u32 = 3;
/// Changes that are taken apart at most.
const CHANGES: usize = 8;
/// Depths of the curve over the filled context, as shares of it.
const DEPTHS: [u32; 4] = [0, 1, 2, 3];
/// Filling the context for one visit may take so many times what a visit takes.
const FILL: f64 = 4.0;
/// Blocks that an audited setting is visited in again when its first looked good.
const AUDIT_AGAIN: u32 = 3;

/// The next visit of the soak: the winner until its time is over.
pub(super) fn soak(ledger: &Ledger<'_>, winner: &Setting) -> Option<Ask> {
    let plan = ledger.plan;
    let own = |trial: &&Trial| trial.purpose == Purpose::Soak && trial.asked != plan.baseline;
    let spent: u64 = ledger.trials.iter().filter(own).map(|trial| trial.elapsed_ms).sum();
    let block = u32::try_from(ledger.trials.iter().filter(own).count()).unwrap_or(u32::MAX);
    let wanted = spent < plan.protocol.soak_ms && ledger.may_run(winner);
    wanted.then(|| Ask::of(plan, Purpose::Soak, block, winner.clone()))
}

/// The next visit of the ablation: every change alone and the winner without each of them; then
/// the way from the baseline to the winner, the largest step first.
pub(super) fn ablation(ledger: &Ledger<'_>, winner: &Setting) -> Option<Ask> {
    let plan = ledger.plan;
    let steps = steps(plan, winner);
    if steps.len() < 2 {
        return None;
    }
    let mut members = vec![plan.baseline.clone(), winner.clone()];
    for step in &steps {
        members.extend([step.alone.clone(), step.without.clone()]);
    }
    open(ledger, Purpose::Ablation, 0..BLOCKS, &distinct(members))
        .or_else(|| open(ledger, Purpose::Ablation, BLOCKS..2 * BLOCKS, &path(ledger, winner)))
}

/// One change of the winner.
struct Step {
    axis: Axis,
    /// The baseline with this change only.
    alone: Setting,
    /// The winner without it.
    without: Setting,
}

fn steps(plan: &Plan, winner: &Setting) -> Vec<Step> {
    let step = |(knob, from, to): (&'static dyn Knob, Level, Level)| {
        let axis = Axis {
            knob: knob.name().to_owned(),
            scope: knob.scope(),
            levels: vec![from.clone(), to.clone()],
        };
        let alone = knob::apply(&axis, &plan.baseline, &to)?;
        let without = knob::apply(&axis, winner, &from)?;
        Some(Step { axis, alone, without })
    };
    knob::changed(&plan.baseline, winner).into_iter().filter_map(step).take(CHANGES).collect()
}

/// From the baseline to the winner, one change after the other, the one that does most alone
/// first.
pub(super) fn path(ledger: &Ledger<'_>, winner: &Setting) -> Vec<Setting> {
    let plan = ledger.plan;
    let mut steps = steps(plan, winner);
    let gain = |step: &Step| {
        // Only by the first part: the way must not change while it is walked.
        let first = |trial: &Trial| trial.purpose == Purpose::Ablation && trial.block < BLOCKS;
        let gain = ledger.gain(&step.alone, first);
        gain.and_then(|gain| ledger.turn_gain(&gain, ledger.part(&step.alone)))
            .unwrap_or(f64::NEG_INFINITY)
    };
    steps.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    let mut path = vec![plan.baseline.clone()];
    for step in &steps {
        let before = path.last().expect("it begins with the baseline");
        let after = knob::apply(&step.axis, before, &step.axis.levels[1]);
        path.extend(after);
    }
    path.push(winner.clone());
    distinct(path)
}

/// The next visit of the curves: every level of every knob with the others as in the best setting,
/// and that setting with the context filled.
pub(super) fn curve(ledger: &Ledger<'_>, best: &Setting, visit_ms: f64) -> Option<Ask> {
    let plan = ledger.plan;
    let mut loaded = best.clone();
    for block in 0..BLOCKS {
        let members = around(plan, best);
        for setting in walk(plan, Purpose::Curve, block, &loaded, members) {
            loaded.clone_from(&setting);
            let ask = Ask::of(plan, Purpose::Curve, block, setting);
            if ledger.wants(&ask) {
                return Some(ask);
            }
        }
        for work in depths(ledger, best, visit_ms) {
            let ask = Ask { work, ..Ask::of(plan, Purpose::Curve, block, best.clone()) };
            if ledger.wants(&ask) {
                return Some(ask);
            }
        }
    }
    None
}

/// The settings that differ from one in one knob. The two thread counts go together: each acts on
/// one part of a turn, so one visit is a point of both curves.
pub(super) fn around(plan: &Plan, best: &Setting) -> Vec<Setting> {
    let mut settings = vec![best.clone()];
    let is_threads = |axis: &&Axis| axis.knob.starts_with("threads");
    let (threads, others): (Vec<&Axis>, Vec<&Axis>) = plan.axes.iter().partition(is_threads);
    let levels: BTreeSet<&Level> = threads.iter().flat_map(|axis| &axis.levels).collect();
    for level in levels {
        let both = threads.iter().try_fold(best.clone(), |setting, axis| {
            if axis.levels.contains(level) {
                knob::apply(axis, &setting, level)
            } else {
                Some(setting)
            }
        });
        settings.extend(both);
    }
    for axis in others {
        settings.extend(axis.levels.iter().filter_map(|level| knob::apply(axis, best, level)));
    }
    distinct(settings)
}

/// The work with the context filled to several depths, as far as that does not take too long.
fn depths(ledger: &Ledger<'_>, best: &Setting, visit_ms: f64) -> Vec<Work> {
    let plan = ledger.plan;
    let slice = &plan.protocol.slice;
    let share = best.context.context / best.context.sequences.max(1);
    let room = share.saturating_sub(
        slice.prompt_tokens.saturating_add(slice.generate_tokens).saturating_add(1),
    );
    let pace = ledger.baseline_pace().and_then(|pace| pace.prefill);
    let Some(seconds) = pace.map(f64::exp) else {
        return Vec::new();
    };
    let most = f64::from(DEPTHS[DEPTHS.len() - 1]);
    let fits = |depth: &u32| f64::from(*depth) * seconds * 1e3 <= FILL * visit_ms;
    let depth = |share: u32| {
        let depth = f64::from(room) * f64::from(share) / most;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below room")]
        let depth = depth as u32;
        depth / 64 * 64
    };
    let depths: BTreeSet<u32> = DEPTHS.into_iter().map(depth).filter(fits).collect();
    let new = depths.into_iter().filter(|depth| *depth != slice.depth);
    new.map(|depth| Work { depth, ..plan.work(best) }).collect()
}

/// The next visit of the audit: settings by chance beside the best, those that look good again.
pub(super) fn audit(ledger: &Ledger<'_>, best: &Setting) -> Option<Ask> {
    let plan = ledger.plan;
    let count = plan.protocol.audit;
    let settings = unseen(plan, count);
    let pair = |number: u32, block: u32| {
        let setting = settings.get(number as usize)?;
        let order = if block.is_multiple_of(2) { [setting, best] } else { [best, setting] };
        let ask = |it: &Setting| Ask::of(plan, Purpose::Audit, block, it.clone());
        order.map(ask).into_iter().find(|ask| ledger.wants(ask))
    };
    let close = 3.0 * ledger.noise().max(0.005);
    (0..count).find_map(|number| pair(number, number)).or_else(|| {
        (0..count).find_map(|number| {
            let setting = settings.get(number as usize)?;
            let turns = ledger.turns_in(Purpose::Audit, number, &[setting, best])?;
            let again = (0..AUDIT_AGAIN).map(|block| count + AUDIT_AGAIN * number + block);
            (turns[0] - turns[1] < close)
                .then(|| again.into_iter().find_map(|it| pair(number, it)))?
        })
    })
}

/// The first visit that is missing of complete blocks of these settings.
fn open(
    ledger: &Ledger<'_>,
    purpose: Purpose,
    blocks: std::ops::Range<u32>,
    settings: &[Setting],
) -> Option<Ask> {
    let plan = ledger.plan;
    let mut loaded = plan.baseline.clone();
    for block in blocks {
        for setting in walk(plan, purpose, block, &loaded, settings.to_vec()) {
            loaded.clone_from(&setting);
            let ask = Ask::of(plan, purpose, block, setting);
            if ledger.wants(&ask) {
                return Some(ask);
            }
        }
    }
    None
}

fn distinct(settings: Vec<Setting>) -> Vec<Setting> {
    let mut kept: Vec<Setting> = Vec::new();
    for setting in settings {
        if !kept.contains(&setting) {
            kept.push(setting);
        }
    }
    kept
}
