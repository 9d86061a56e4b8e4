//! Sequential halving: the best few against each other and the baseline, in interleaved blocks;
//! after each round the better half stays and is visited more often.

use autotune_engine::api::Setting;

use super::Ask;
use super::ledger::Ledger;
use super::order::walk;
use super::propose;
use crate::model::{Plan, Purpose, Trial};

/// A setting enters the finals unless it lost more than this (logarithm of the turn's time), or
/// than the noise of one comparison where that is larger.
const ENTRANCE: f64 = 0.02;
/// Scores closer than this count as equal, and the simpler setting is preferred.
const TIE: f64 = 0.002;
/// Settings that are left to the certificate.
const LEFT: usize = 3;

/// The next visit of the rounds: the survivors of a round are known only when every ask of it is
/// met.
pub(super) fn ask(ledger: &Ledger<'_>) -> Option<Ask> {
    rounds(ledger).asks.into_iter().find(|ask| ledger.wants(ask))
}

/// The setting that won the finals, if it is faster than the baseline by more than the zone of
/// indifference.
pub(super) fn winner(ledger: &Ledger<'_>) -> Option<Setting> {
    let ranked = ranked(ledger, &survivors(ledger), final_trials);
    let decided = if ranked.is_empty() { entrants(ledger) } else { ranked };
    let (winner, gain) = decided.into_iter().next()?;
    (gain > ledger.plan.protocol.indifference.ln_1p()).then_some(winner)
}

/// The settings that are left after the rounds so far; the best few where the budget cut these.
pub(super) fn survivors(ledger: &Ledger<'_>) -> Vec<Setting> {
    let survivors = rounds(ledger).survivors;
    let over = ledger.trials.iter().any(|trial| trial.purpose > Purpose::Finalist);
    if !over || survivors.len() <= LEFT {
        return survivors;
    }
    let ranked = ranked(ledger, &survivors, of_rounds);
    let best = ranked.into_iter().map(|(setting, _)| setting);
    let mut best: Vec<Setting> = best.take(LEFT).collect();
    let missing = survivors.into_iter().filter(|it| ledger.may_run(it));
    for setting in missing {
        if best.len() < LEFT && !best.contains(&setting) {
            best.push(setting);
        }
    }
    best
}

/// Visits of the finals when nobody fails.
pub(super) fn expected_visits(plan: &Plan) -> usize {
    let mut survivors = plan.protocol.finalists as usize;
    let mut visits = 0;
    loop {
        visits += round_blocks(plan, survivors) as usize * (survivors + 1);
        if survivors <= LEFT {
            return visits;
        }
        survivors = survivors.div_ceil(2).max(LEFT);
    }
}

struct Rounds {
    asks: Vec<Ask>,
    survivors: Vec<Setting>,
}

fn rounds(ledger: &Ledger<'_>) -> Rounds {
    let mut survivors: Vec<Setting> =
        entrants(ledger).into_iter().map(|(setting, _)| setting).collect();
    let (mut asks, mut first_block) = (Vec::new(), 0);
    let mut loaded = ledger.plan.baseline.clone();
    while !survivors.is_empty() {
        let blocks = round_blocks(ledger.plan, survivors.len());
        let round = round(ledger.plan, &survivors, first_block..first_block + blocks, &mut loaded);
        let open = round.iter().any(|ask| ledger.wants(ask));
        asks.extend(round);
        if open {
            break;
        }
        let last = survivors.len() <= LEFT;
        let kept = if last { survivors.len() } else { survivors.len().div_ceil(2).max(LEFT) };
        // The race that follows must not change who takes part in it.
        survivors = ranked(ledger, &survivors, of_rounds)
            .into_iter()
            .take(kept)
            .map(|(setting, _)| setting)
            .collect();
        first_block += blocks;
        if last {
            break;
        }
    }
    Rounds { asks, survivors }
}

/// More blocks for fewer settings, so that every round costs about the same.
fn round_blocks(plan: &Plan, survivors: usize) -> u32 {
    let blocks = plan.protocol.finalist_blocks;
    if survivors * 2 <= plan.protocol.finalists as usize { blocks * 2 } else { blocks }
}

fn round(
    plan: &Plan,
    survivors: &[Setting],
    blocks: std::ops::Range<u32>,
    loaded: &mut Setting,
) -> Vec<Ask> {
    let mut asks = Vec::new();
    for block in blocks {
        let members = survivors.iter().chain([&plan.baseline]).cloned().collect();
        for setting in walk(plan, Purpose::Finalist, block, loaded, members) {
            loaded.clone_from(&setting);
            asks.push(Ask::of(plan, Purpose::Finalist, block, setting));
        }
    }
    asks
}

/// The settings that enter the finals with their gain in a turn's time, best first: as it stood
/// when the finals began, so that what fails in them makes nobody move up.
fn entrants(ledger: &Ledger<'_>) -> Vec<(Setting, f64)> {
    let begun = ledger.trials.iter().position(|trial| trial.purpose >= Purpose::Finalist);
    let early = begun.map(|begun| Ledger::new(ledger.plan, &ledger.trials[..begun]));
    let ledger = early.as_ref().unwrap_or(ledger);
    let lost = -ENTRANCE.max(ledger.noise());
    let mut entrants: Vec<(Setting, f64)> = propose::standing(ledger)
        .into_iter()
        .map(|(setting, cost)| (setting, -cost.ln()))
        .filter(|(setting, gain)| *gain > lost && ledger.may_run(setting))
        .collect();
    entrants.truncate(ledger.plan.protocol.finalists as usize);
    entrants
}

fn of_rounds(trial: &Trial) -> bool {
    trial.purpose == Purpose::Finalist
}

fn final_trials(trial: &Trial) -> bool {
    matches!(trial.purpose, Purpose::Finalist | Purpose::Certify)
}

/// Settings that may still run with their gain in a turn's time over the baseline, best first.
fn ranked(
    ledger: &Ledger<'_>,
    settings: &[Setting],
    counts: fn(&Trial) -> bool,
) -> Vec<(Setting, f64)> {
    let mut ranked: Vec<(Setting, f64)> = settings
        .iter()
        .filter(|setting| ledger.may_run(setting))
        .filter_map(|setting| {
            let gain = ledger.gain(setting, counts)?;
            Some((setting.clone(), ledger.turn_gain(&gain, ledger.part(setting))?))
        })
        .collect();
    ranked.sort_by(|(a, gain), (b, other)| {
        let steps = |gain: f64| (gain / TIE).round();
        let simpler = ledger.simplicity(a).cmp(&ledger.simplicity(b));
        steps(*other).total_cmp(&steps(*gain)).then(simpler).then(a.cmp(b))
    });
    ranked
}

/// The setting that is ahead, with its cost in units of the baseline's: by the finals where they
/// have begun, else by the search.
pub(super) fn leader(ledger: &Ledger<'_>) -> Option<(Setting, f64)> {
    let begun = ledger.trials.iter().any(final_trials);
    let best = if begun {
        ranked(ledger, &survivors(ledger), final_trials).into_iter().next()
    } else {
        entrants(ledger).into_iter().next()
    };
    best.map(|(setting, gain)| (setting, (-gain).exp()))
}
