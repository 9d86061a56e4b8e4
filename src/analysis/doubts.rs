//! How far the numbers can be trusted: noise, drift, and everything else worth a sentence.

use super::pace::{Paced, Part, log_speeds, pairs};
use super::verdict::frozen;
use crate::model::{Findings, Plan, Purpose, Source, Trial, Verdict};
use crate::stats::{lag_one_autocorrelation, median, rank_trend, robust_spread};

/// Visits of the baseline to itself from which on they alone say how loud the machine is.
const FITNESS_VISITS: usize = 6;
/// Baseline visits from which on a drift is looked for.
const DRIFT_VISITS: usize = 8;
/// Probability of as much drift by chance below which it is told.
const DRIFT_P_VALUE: f64 = 0.01;
/// Spread of one paired comparison above which small gains cannot be proven.
const LOUD: f64 = 0.1;
/// Correlation of neighbouring pairs above which their interval is too narrow, if chance alone
/// (standard error `1 / sqrt(n)`) does not explain it.
const DEPENDENT: f64 = 0.3;
/// How the doubts begin that neighbours are the cause of.
const NEIGHBOURS: [&str; 2] = [Trial::OTHERS_BUSY, Trial::STOLEN];
/// Doubts of single trials that are repeated for the whole.
const TRIAL_CAVEATS: usize = 5;

/// The relative standard deviation of one comparison of the baseline with itself: that of the
/// differences between one visit and the next of the same session, of those made for it where
/// there are enough, by the plain and by the robust
/// estimate, whichever is larger. `None` below 3 visits.
pub(super) fn noise(plan: &Plan, paced: &[Paced<'_>]) -> Option<f64> {
    let fitness = |one: &&Paced<'_>| one.trial.purpose == Purpose::Fitness;
    let own: Vec<Paced<'_>> = paced.iter().filter(fitness).copied().collect();
    let visits = Some(baseline(plan, &own)).filter(|visits| visits.len() >= FITNESS_VISITS);
    let visits = visits.unwrap_or_else(|| baseline(plan, paced));
    if visits.len() < 3 {
        return None;
    }
    let same_session = |pair: &&[Visit]| pair[0].session == pair[1].session;
    let differences: Vec<f64> = visits
        .windows(2)
        .filter(same_session)
        .map(|pair| pair[1].log_turn_s - pair[0].log_turn_s)
        .collect();
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|step| (step - mean).powi(2)).sum();
    let deviation = (differences.len() > 1).then(|| (squares / (n - 1.0)).sqrt())?;
    Some(deviation.max(robust_spread(&differences)?))
}

/// The share of the measured trials beside which others used the processors.
pub(super) fn disturbed(trials: &[Trial]) -> f64 {
    let measured = || trials.iter().filter(|trial| !trial.outcome.samples().is_empty());
    let beside = |trial: &&Trial| {
        let others = |it: &String| NEIGHBOURS.iter().any(|words| it.starts_with(words));
        trial.caveats.iter().any(others)
    };
    measured().filter(beside).count() as f64 / (measured().count() as f64).max(1.0)
}

/// Doubts about the whole, each one sentence.
pub(super) fn caveats(
    plan: &Plan,
    trials: &[Trial],
    paced: &[Paced<'_>],
    verdict: &Verdict,
) -> Vec<String> {
    let mut caveats = Vec::new();
    if plan.engine.synthetic {
        caveats.push("the times come from a simulated machine, not from hardware".to_owned());
    }
    if plan.model.synthetic {
        let text = "the model has random weights: speed and memory are real, its text is not";
        caveats.push(text.to_owned());
    }
    if let Some(noise) = noise(plan, paced).filter(|noise| *noise > LOUD) {
        caveats.push(format!(
            "the machine is loud: one comparison of the default with itself scatters by {:.0} %, \
             so small gains cannot be proven here",
            noise * 100.0
        ));
    }
    let disturbed = disturbed(trials);
    if disturbed >= Findings::CROWDED {
        caveats.push(format!(
            "beside {:.0} % of the trials others used the processors: what is fastest beside them \
             need not be without them",
            disturbed * 100.0
        ));
    }
    caveats.extend(drift(plan, paced));
    if let Verdict::Confirmed { turn, .. } = verdict {
        let [wanted, _] = plan.protocol.confirm_pairs;
        if turn.speed_ratio.n < wanted {
            caveats.push(format!(
                "the confirmation has {} pairs instead of {wanted} or more: its time was up",
                turn.speed_ratio.n
            ));
        }
        caveats.extend(dependence(plan, trials, paced));
    }
    let sessions = trials.iter().map(|trial| trial.session).max().unwrap_or(0);
    if sessions > 0 {
        caveats.push(format!(
            "the sweep was interrupted and continued {sessions} times; visits are compared within \
             one session only"
        ));
    }
    caveats.extend(of_trials(trials));
    caveats
}

struct Visit {
    session: u32,
    log_turn_s: f64,
}

/// The measured visits to the baseline in the order of time.
fn baseline(plan: &Plan, paced: &[Paced<'_>]) -> Vec<Visit> {
    paced
        .iter()
        .filter(|one| one.trial.asked == plan.baseline && one.trial.source == Source::Measured)
        .filter_map(|one| Some((one.trial.session, one.cost?.ln())))
        .map(|(session, log_turn_s)| Visit { session, log_turn_s })
        .collect()
}

/// Whether the baseline wandered off while the sweep went on; what happened between two sessions
/// is not the sweep's.
fn drift(plan: &Plan, paced: &[Paced<'_>]) -> Option<String> {
    let visits = baseline(plan, paced);
    let mut sessions = visits.chunk_by(|one, next| one.session == next.session);
    sessions.find_map(drift_of_session)
}

fn drift_of_session(visits: &[Visit]) -> Option<String> {
    let levels: Vec<f64> = visits.iter().map(|visit| visit.log_turn_s).collect();
    if levels.len() < DRIFT_VISITS {
        return None;
    }
    let trend = rank_trend(&levels).filter(|trend| trend.p_value < DRIFT_P_VALUE)?;
    let third = levels.len() / 3;
    let change = median(&levels[levels.len() - third..])? - median(&levels[..third])?;
    let word = if change > 0.0 { "slower" } else { "faster" };
    Some(format!(
        "the default setting itself became {word} during the sweep, by {:.1} % from its first to \
         its last third (rank correlation with time {:.2}); settings are compared with visits \
         close in time, absolute speeds are not corrected",
        (change.abs().exp() - 1.0) * 100.0,
        trend.correlation
    ))
}

/// Whether the pairs of the confirmation depend on each other or on their order.
fn dependence(plan: &Plan, trials: &[Trial], paced: &[Paced<'_>]) -> Vec<String> {
    let Some(winner) = frozen(plan, trials) else { return Vec::new() };
    let pairs = pairs(paced, Purpose::Confirm, &plan.baseline, winner);
    let mut doubts = Vec::new();
    let leading = pairs.iter().filter(|pair| pair.first.trial.id < pair.second.trial.id).count();
    if pairs.len() > 1 && (leading == 0 || leading == pairs.len()) {
        doubts.push(
            "all pairs of the confirmation were run in the same order, so an effect of the order \
             cannot be told from one of the setting"
                .to_owned(),
        );
    }
    let (ratios, _) = log_speeds(&pairs, Part::Turn);
    let limit = DEPENDENT.max(2.0 / (ratios.len() as f64).sqrt());
    let correlation = lag_one_autocorrelation(&ratios);
    if let Some(correlation) = correlation.filter(|correlation| *correlation > limit) {
        doubts.push(format!(
            "neighbouring pairs of the confirmation resemble each other (correlation \
             {correlation:.2}), so its interval may be too narrow"
        ));
    }
    doubts
}

/// The doubts that single trials carry, the commonest first.
fn of_trials(trials: &[Trial]) -> Vec<String> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for caveat in trials.iter().flat_map(|trial| &trial.caveats) {
        match counted.iter_mut().find(|(known, _)| known == caveat) {
            Some((_, count)) => *count += 1,
            None => counted.push((caveat, 1)),
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words = |count| if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") };
    let told = counted.iter().take(TRIAL_CAVEATS);
    let mut caveats: Vec<String> =
        told.map(|(caveat, count)| format!("in {}: {caveat}", words(*count))).collect();
    if counted.len() > TRIAL_CAVEATS {
        let more = counted.len() - TRIAL_CAVEATS;
        caveats.push(format!("{more} further kinds of doubt are listed with their trials"));
    }
    caveats
}
