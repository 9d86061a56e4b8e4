//! What may be said about the winner of the search, and who ties with it.

use std::collections::BTreeMap;

use autotune_engine::api::Setting;

use super::curves::runs_as_baseline;
use super::pace::{Paced, Part, log_speeds, paced, pairs};
use crate::knob;
use crate::model::{Axis, Level, Outcome, Plan, Protocol, Purpose, Trial, Verdict};
use crate::stats::{Change, Separation, median, paired_change};

/// The verdict, from the pairs of the confirmation alone.
pub(super) fn verdict(plan: &Plan, trials: &[Trial], paced: &[Paced<'_>]) -> Verdict {
    let unconfirmed = |reason: String| Verdict::Unconfirmed { reason };
    if !paced.iter().any(|one| one.trial.asked == plan.baseline) {
        let reason = "the default setting did not run, so there is nothing to compare with";
        return unconfirmed(reason.to_owned());
    }
    let Some(winner) = frozen(plan, trials) else {
        if looked_better(plan, paced) {
            return unconfirmed("a setting looked better, but no confirmation was run".to_owned());
        }
        let [untried, all] = untried(plan, trials);
        return match untried {
            0 => Verdict::KeepBaseline,
            _ => unconfirmed(format!(
                "{untried} of {all} levels were not tried, so a better one may be among them"
            )),
        };
    };
    if let Some(trial) = fall(trials, winner) {
        let kind = trial.outcome.kind();
        return unconfirmed(format!(
            "the winner of the search failed in trial {}: {kind}",
            trial.id
        ));
    }
    let pairs = pairs(paced, Purpose::Confirm, &plan.baseline, winner);
    let change = |part| change(plan, &log_speeds(&pairs, part).0);
    let (ratios, evidence) = log_speeds(&pairs, Part::Turn);
    let needed = fewest_pairs(plan);
    match change(Part::Turn) {
        Some(turn) if ratios.len() >= needed as usize => Verdict::Confirmed {
            turn,
            prefill: change(Part::Prefill),
            decode: change(Part::Decode),
            evidence,
        },
        _ => {
            let run = ratios.len();
            unconfirmed(format!("{run} of the {needed} pairs that a confirmation takes were run"))
        }
    }
}

/// Pairs below which nothing is claimed. The search looks at `confirm_pairs[0]` for the first time;
/// where the budget ended before, this is the only look, and its time was chosen by the clock.
fn fewest_pairs(plan: &Plan) -> u32 {
    plan.protocol.confirm_pairs[0].clamp(2, Protocol::FEWEST_PAIRS)
}

/// The recommended setting: what was confirmed to be faster, else the baseline.
pub(super) fn best(plan: &Plan, trials: &[Trial], verdict: &Verdict) -> Setting {
    let faster = matches!(verdict, Verdict::Confirmed { turn, .. }
        if turn.separation == Separation::Faster);
    let winner = frozen(plan, trials).filter(|_| faster);
    winner.unwrap_or(&plan.baseline).clone()
}

/// The settings that met the best one in the finals or in the confirmation and were not told apart
/// from it.
pub(super) fn tied_with(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    best: &Setting,
) -> Vec<Setting> {
    let races = [Purpose::Finalist, Purpose::Certify, Purpose::Confirm];
    let late = |trial: &&Trial| races.contains(&trial.purpose);
    let mut tied: Vec<Setting> = Vec::new();
    for trial in trials.iter().filter(late) {
        let other = &trial.asked;
        let known = other == best || *other == plan.baseline || tied.contains(other);
        // The confirmation has the last word where there is one.
        let last = |purpose| Some(pairs(paced, purpose, best, other)).filter(|all| !all.is_empty());
        let Some(pairs) = races.into_iter().rev().find_map(last) else {
            continue;
        };
        let change = change(plan, &log_speeds(&pairs, Part::Turn).0);
        if !known && change.is_some_and(|change| change.separation == Separation::NotSeparated) {
            tied.push(other.clone());
        }
    }
    tied
}

/// A change with the interval that looking several times asks for.
fn change(plan: &Plan, log_speeds: &[f64]) -> Option<Change> {
    let protocol = &plan.protocol;
    paired_change(log_speeds, protocol.confirm_confidence(), protocol.indifference)
}

/// The setting that the search froze as its winner: the one that was put beside the baseline.
pub(super) fn frozen<'a>(plan: &Plan, trials: &'a [Trial]) -> Option<&'a Setting> {
    confirmation(trials).map(|trial| &trial.asked).find(|asked| **asked != plan.baseline)
}

/// The best setting besides the baseline, proven or not: the winner of the search where one was
/// frozen, else the one whose own trials promise most. `None` where no other ran.
#[must_use]
pub fn best_found(plan: &Plan, trials: &[Trial]) -> Option<Setting> {
    if let Some(winner) = frozen(plan, trials) {
        return Some(winner.clone());
    }
    let paced = paced(plan, trials);
    let others = paced.iter().filter(|one| one.trial.asked != plan.baseline);
    let mut costs: BTreeMap<&Setting, Vec<f64>> = BTreeMap::new();
    for one in others {
        costs.entry(&one.trial.asked).or_default().extend(one.cost);
    }
    let typical = costs.into_iter().filter_map(|(own, costs)| Some((own, median(&costs)?)));
    typical.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(setting, _)| setting.clone())
}

fn confirmation(trials: &[Trial]) -> impl Iterator<Item = &Trial> {
    trials.iter().filter(|trial| trial.purpose == Purpose::Confirm)
}

/// The trial of the confirmation in which the winner failed, unless that may be an accident and
/// was the only one.
fn fall<'a>(trials: &'a [Trial], winner: &Setting) -> Option<&'a Trial> {
    let own = || trials.iter().filter(|trial| trial.asked == *winner);
    let accidents = own().filter(|trial| trial.outcome.may_be_accident()).count();
    own().filter(|trial| trial.purpose == Purpose::Confirm).find(|trial| {
        let ran = matches!(trial.outcome, Outcome::Measured(_));
        !ran && (accidents >= Outcome::ACCIDENTS || !trial.outcome.may_be_accident())
    })
}

/// Whether something beat the baseline in the last phase that was reached. The finals have enough
/// blocks to ask for an interval; before them a median above the zone of indifference is a hope.
fn looked_better(plan: &Plan, paced: &[Paced<'_>]) -> bool {
    let searching = |purpose: &Purpose| {
        matches!(purpose, Purpose::Search | Purpose::Finalist | Purpose::Certify)
    };
    let reached = paced.iter().map(|one| one.trial.purpose).filter(searching).max();
    let Some(reached) = reached else { return false };
    let zone = plan.protocol.indifference.ln_1p();
    let last = paced.iter().map(|one| one.trial).filter(|trial| trial.purpose == reached);
    last.filter(|trial| trial.asked != plan.baseline).any(|trial| {
        let pairs = pairs(paced, reached, &plan.baseline, &trial.asked);
        let (ratios, _) = log_speeds(&pairs, Part::Turn);
        if reached > Purpose::Search {
            change(plan, &ratios).is_some_and(|it| it.separation == Separation::Faster)
        } else {
            median(&ratios).is_some_and(|gain| gain > zone)
        }
    })
}

/// The levels besides the baseline's that no setting held that was looked at, and all of them. One
/// that
/// the baseline turned out to run with, or that needs the memory of one that lacked it, is not
/// missing.
fn untried(plan: &Plan, trials: &[Trial]) -> [usize; 2] {
    let (mut untried, mut all) = (0, 0);
    for axis in &plan.axes {
        for level in &axis.levels {
            let setting = knob::apply(axis, &plan.baseline, level);
            let Some(setting) = setting.filter(|setting| *setting != plan.baseline) else {
                continue;
            };
            let answers = |trial: &Trial| {
                trial.asked == setting
                    || searched(trial) && holds(trial, axis, level)
                    || trial.outcome.kind() == "out-of-memory"
                        && knob::at_least_as_large(&setting, &trial.asked)
            };
            let known = trials.iter().any(answers) || runs_as_baseline(plan, trials, axis, level);
            untried += usize::from(!known);
            all += 1;
        }
    }
    [untried, all]
}

fn searched(trial: &Trial) -> bool {
    matches!(trial.outcome, Outcome::Measured(_) | Outcome::Failed(_))
}

fn holds(trial: &Trial, axis: &Axis, level: &Level) -> bool {
    knob::named(&axis.knob).is_ok_and(|knob| knob.read(&trial.asked) == *level)
}
