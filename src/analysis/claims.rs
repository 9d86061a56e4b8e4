//! What may be claimed about the recommended setting besides its gain: among the finalists, against
//! the machine's peaks, over the space; and what the machine resolves.

use autotune_engine::api::Setting;

use super::doubts;
use super::pace::{Paced, Part, pairs};
use crate::model::{
    AmongFinalists, AuditClaim, Candidate, CeilingClaim, Claims, Fitness, Grade, Plan, Purpose,
    SoakFinding, Source, Trial,
};
use crate::stats::{LOOKS, certificate, paired_change};

/// Blocks with which the resolution is stated, and the factor from the spread of a pair to the
/// least effect that 28 pairs show in four of five cases (two-sided 5 %).
const RESOLVED_WITH: u32 = 28;
const RESOLUTION: f64 = 0.55;

/// The claims that were earned.
pub(super) fn claims(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    best: &Candidate,
) -> Claims {
    Claims {
        among_finalists: among_finalists(plan, paced),
        ceiling: ceiling(plan, best),
        space: audit(plan, trials, paced, &best.setting),
    }
}

/// The certificate of the last race.
fn among_finalists(plan: &Plan, paced: &[Paced<'_>]) -> Option<AmongFinalists> {
    let of_race = |one: &&Paced<'_>| {
        one.trial.purpose == Purpose::Certify && one.trial.source == Source::Measured
    };
    let race: Vec<&Paced<'_>> = paced.iter().filter(of_race).collect();
    let mut runners: Vec<&Setting> = Vec::new();
    for one in &race {
        if one.trial.asked != plan.baseline && !runners.contains(&&one.trial.asked) {
            runners.push(&one.trial.asked);
        }
    }
    let mut blocks: Vec<(u32, u32)> =
        race.iter().map(|one| (one.trial.session, one.trial.block)).collect();
    blocks.dedup();
    blocks.sort_unstable();
    blocks.dedup();
    let complete: Vec<Vec<f64>> = blocks
        .iter()
        .filter_map(|block| {
            let turn = |runner: &&Setting| {
                let own = |one: &&&Paced<'_>| {
                    (one.trial.session, one.trial.block) == *block && one.trial.asked == **runner
                };
                Some(race.iter().find(own)?.cost?.ln())
            };
            runners.iter().map(turn).collect()
        })
        .collect();
    if complete.len() < LOOKS[0] as usize {
        return None;
    }
    let found = certificate(&complete, plan.protocol.confidence)?;
    Some(AmongFinalists {
        setting: runners.get(found.leader).copied()?.clone(),
        within: found.within,
        confidence: plan.protocol.confidence,
        finalists: u32::try_from(runners.len()).unwrap_or(u32::MAX),
        blocks: found.blocks,
        evidence: race.iter().map(|one| one.trial.id).collect(),
    })
}

/// How near generation is to what the memory can deliver.
fn ceiling(plan: &Plan, best: &Candidate) -> Option<CeilingClaim> {
    let roof = plan.prior.as_ref()?.decode_roof_tok_per_s.filter(|roof| *roof > 0.0)?;
    let rate = best.decode_tok_per_s?;
    let share = rate.value / roof;
    // A measured speed above the roof shows that the roof is none for this model.
    (share <= 1.0).then_some(CeilingClaim {
        roof_tok_per_s: roof,
        share,
        evidence: best.evidence.clone(),
    })
}

/// What the settings by chance say about those that were not looked at.
fn audit(plan: &Plan, trials: &[Trial], paced: &[Paced<'_>], best: &Setting) -> Option<AuditClaim> {
    let own: Vec<&Trial> = trials
        .iter()
        .filter(|trial| trial.purpose == Purpose::Audit && trial.asked != *best)
        .collect();
    let mut settings: Vec<&Setting> = own.iter().map(|trial| &trial.asked).collect();
    settings.sort_unstable();
    settings.dedup();
    let protocol = &plan.protocol;
    let zone = protocol.certify_within.max(protocol.indifference);
    let (mut compared, mut better, mut open) = (0, 0, 0);
    for setting in settings {
        let pairs = pairs(paced, Purpose::Audit, best, setting);
        let ratios: Vec<f64> = pairs.iter().filter_map(|pair| pair.log_speed(Part::Turn)).collect();
        let Some(change) = paired_change(&ratios, protocol.confidence, zone) else { continue };
        compared += 1;
        let ahead = change.speed_ratio.value > 1.0 + zone;
        better += u32::from(ahead && ratios.len() > 1);
        open += u32::from(ahead && ratios.len() == 1);
    }
    (compared > 0).then(|| AuditClaim {
        looked: compared,
        better,
        // None of m random ones better: at this confidence no more than this share of all is.
        // One that looked better and was not visited again leaves that open.
        share: (better == 0 && open == 0)
            .then(|| 1.0 - (1.0 - protocol.confidence).powf(1.0 / f64::from(compared))),
        by_more_than: zone,
        confidence: protocol.confidence,
        evidence: own.iter().map(|trial| trial.id).collect(),
    })
}

/// What this machine resolves, from the baseline against itself.
pub(super) fn fitness(plan: &Plan, paced: &[Paced<'_>]) -> Option<Fitness> {
    let spread = doubts::noise(plan, paced)?;
    let evidence = paced
        .iter()
        .filter(|one| one.trial.purpose == Purpose::Fitness)
        .map(|one| one.trial.id)
        .collect();
    Some(Fitness {
        spread,
        grade: Grade::of(spread),
        resolves: RESOLUTION * spread,
        pairs: RESOLVED_WITH,
        evidence,
    })
}

/// What became of the winner's speed over minutes.
pub(super) fn soak(plan: &Plan, trials: &[Trial], paced: &[Paced<'_>]) -> Option<SoakFinding> {
    // A session that goes on with a soak begins with the baseline.
    let lasted = |trial: &Trial| trial.purpose == Purpose::Soak && trial.asked != plan.baseline;
    let own: Vec<&Paced<'_>> = paced.iter().filter(|one| lasted(one.trial)).collect();
    let turns: Vec<f64> = own.iter().filter_map(|one| Some(one.cost?.ln())).collect();
    let third = turns.len() / 3;
    if third == 0 {
        return None;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let elapsed_ms: u64 =
        trials.iter().filter(|trial| lasted(trial)).map(|trial| trial.elapsed_ms).sum();
    Some(SoakFinding {
        seconds: elapsed_ms as f64 / 1e3,
        slower_at_end: (mean(&turns[turns.len() - third..]) - mean(&turns[..third])).exp_m1(),
        evidence: own.iter().map(|one| one.trial.id).collect(),
    })
}
