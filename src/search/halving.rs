//! Sequential halving: the best few against each other and the baseline, in interleaved blocks;
//! after each round the better half stays and is visited more often.

use autotune_engine::api::Setting;

use super::Ask;
use super::ledger::Ledger;
use super::order::walk;
use crate::model::{Plan, Purpose, Trial};

/// A setting enters the finals unless it lost more than this (logarithm of the turn's time), or
/// than the noise of one comparison where that is larger.
const ENTRANCE: f64 = 0.02;
/// Scores closer than this count as equal, and the simpler setting is preferred.
const TIE: f64 = 0.001;

/// The asks of all rounds that can be known yet: the survivors of a round are known only when
/// every ask of it is met.
pub(super) fn asks(ledger: &Ledger<'_>) -> Vec<Ask> {
    rounds(ledger).asks
}

/// The setting that won the finals, if it is faster than the baseline by more than the zone of
/// indifference.
pub(super) fn winner(ledger: &Ledger<'_>) -> Option<Setting> {
    let rounds = rounds(ledger);
    let ranked = ranked(ledger, &rounds.survivors, final_trials);
    let decided = if ranked.is_empty() { entrants(ledger) } else { ranked };
    let (winner, gain) = decided.into_iter().next()?;
    (gain > ledger.plan.protocol.indifference.ln_1p()).then_some(winner)
}

/// Visits of the finals when nobody fails.
pub(super) fn expected_visits(plan: &Plan) -> usize {
    let mut survivors = plan.protocol.finalists as usize;
    let mut visits = 0;
    loop {
        visits += round_blocks(plan, survivors) as usize * (survivors + 1);
        survivors = survivors.div_ceil(2);
        if survivors <= 1 {
            return visits;
        }
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
        let kept = survivors.len().div_ceil(2);
        let last = survivors.len() == 1;
        survivors = ranked(ledger, &survivors, final_trials)
            .into_iter()
            .take(kept)
            .map(|(setting, _)| setting)
            .collect();
        first_block += blocks;
        if last || survivors.len() <= 1 {
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
            asks.push(Ask { purpose: Purpose::Finalist, block, setting });
        }
    }
    asks
}

/// The settings that enter the finals, best first.
fn entrants(ledger: &Ledger<'_>) -> Vec<(Setting, f64)> {
    let candidates: Vec<Setting> = ledger.candidates().into_iter().cloned().collect();
    let early = |trial: &Trial| matches!(trial.purpose, Purpose::Screen | Purpose::Combine);
    let mut entrants = ranked(ledger, &candidates, early);
    let lost = -ENTRANCE.max(ledger.noise());
    entrants.retain(|(_, gain)| *gain > lost);
    entrants.truncate(ledger.plan.protocol.finalists as usize);
    entrants
}

fn final_trials(trial: &Trial) -> bool {
    trial.purpose == Purpose::Finalist
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
