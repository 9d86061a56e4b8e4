//! What is in one series, before anybody asks how sure that has to be.

use crate::model::Better;
use crate::stats::{
    CHANGE_POINTS_FROM, Drift, Instability, LevelChange, change_floor, change_points, drift_from,
    drift_from_best, hampel_outliers, instability, smallest_step,
};

use super::{HistoryRules, HistorySeries, LEAST};

/// A series and what is in it.
pub(super) struct Searched {
    /// Places of single outliers.
    pub(super) outliers: Vec<usize>,
    pub(super) state: State,
}

/// What a search came to.
pub(super) enum State {
    /// Too few sessions.
    Thin,
    /// The series says nothing about changes.
    Unstable(Instability),
    Searched(Found),
}

/// Changes and drift, in logarithms of slowdown: more is worse.
pub(super) struct Found {
    pub(super) changes: Vec<LevelChange>,
    /// First sessions of recent slowdowns that nobody has accepted or undone.
    pub(super) suspects: Vec<usize>,
    /// How far the level is above the best one; `None` without room for two levels.
    pub(super) drift: Option<f64>,
    /// The clearest drift beyond twice what is allowed.
    pub(super) drifted: Option<Drift>,
    /// The smallest slowdown, as a share, that the recent sessions would show; `None` for none.
    pub(super) minimum_detectable: Option<f64>,
}

impl Found {
    /// The clearest of the recent slowdowns.
    pub(super) fn suspect(&self) -> Option<&LevelChange> {
        self.changes
            .iter()
            .filter(|change| self.suspects.contains(&change.index))
            .min_by(|a, b| a.p_value.total_cmp(&b.p_value))
    }
}

/// Searches a series; `level` is the strictest one that its tests may have to clear.
pub(super) fn search(series: &HistorySeries, rules: &HistoryRules, level: f64) -> Searched {
    let logs: Vec<f64> = series.values.iter().map(|value| log(series.better, *value)).collect();
    let outliers = hampel_outliers(&logs).unwrap_or_default();
    let least = series.delta.max(LEAST).ln_1p();
    let Some(changes) = change_points(&logs, least) else {
        return Searched { outliers, state: State::Thin };
    };
    if let Some(why) = instability(&logs, &changes, least) {
        return Searched { outliers, state: State::Unstable(why) };
    }
    let suspects = suspects(series, rules, &changes);
    // What came at once is judged as a step: the drift is what was there before.
    let before = suspects.first().copied().unwrap_or(logs.len());
    let found = Found {
        suspects,
        drift: drift_from_best(since_accepted(series, &logs), rules.drift_window)
            .map(|drift| drift.difference),
        drifted: drifted(series, rules, &logs[..before]),
        minimum_detectable: minimum_detectable(rules, &logs, level)
            .map(|step| step.max(least).exp_m1()),
        changes,
    };
    Searched { outliers, state: State::Searched(found) }
}

/// The logarithm of a slowdown: times and bytes as they are, speeds turned round.
fn log(better: Better, value: f64) -> f64 {
    match better {
        Better::Lower => value.ln(),
        Better::Higher => -value.ln(),
    }
}

/// What such a logarithm stands for, in the series' unit.
pub(super) fn value(better: Better, log: f64) -> f64 {
    match better {
        Better::Lower => log.exp(),
        Better::Higher => (-log).exp(),
    }
}

fn suspects(series: &HistorySeries, rules: &HistoryRules, changes: &[LevelChange]) -> Vec<usize> {
    let Some(now) = changes.last().map(|last| last.after) else { return Vec::new() };
    let allowed = series.delta.ln_1p();
    changes
        .iter()
        .filter(|change| change.after > change.before && now - change.before > allowed)
        .filter(|change| change.index + rules.recent >= series.values.len())
        .filter(|change| !series.accepted.iter().any(|place| is_accepted(change, *place)))
        .map(|change| change.index)
        .collect()
}

/// Whoever accepts a level may have missed its first session by as much as the search may have.
fn is_accepted(change: &LevelChange, place: usize) -> bool {
    (change.range.0..=change.range.1.max(change.index)).contains(&place)
}

fn since_accepted<'a>(series: &HistorySeries, logs: &'a [f64]) -> &'a [f64] {
    let start = series.accepted.iter().copied().max().unwrap_or(0);
    &logs[start.min(logs.len())..]
}

/// The clearest drift, since the last accepted level, by more than twice what is allowed: from the
/// best level, or from the pinned session's.
fn drifted(series: &HistorySeries, rules: &HistoryRules, logs: &[f64]) -> Option<Drift> {
    let since = since_accepted(series, logs);
    let start = logs.len() - since.len();
    let best = drift_from_best(since, rules.drift_window);
    // The level of a release: the sessions that end with it, or the first ones there are.
    let pinned = rules
        .pinned
        .as_ref()
        .and_then(|label| series.labels.iter().position(|own| own == label))
        .and_then(|place| place.checked_sub(start))
        .map(|place| (place + 1).saturating_sub(rules.drift_window))
        .and_then(|from| drift_from(since, rules.drift_window, from));
    let against: Vec<Drift> = [best, pinned].into_iter().flatten().collect();
    let twice = 2.0 * series.delta.ln_1p();
    against
        .iter()
        .filter(|drift| drift.difference > twice)
        .min_by(|a, b| a.p_value.total_cmp(&b.p_value))
        .map(|drift| Drift {
            from: drift.from + start,
            p_value: (drift.p_value * against.len() as f64).min(1.0),
            ..*drift
        })
}

/// The smallest step after which all recent sessions are slower; half of a short series is.
fn minimum_detectable(rules: &HistoryRules, logs: &[f64], level: f64) -> Option<f64> {
    smallest_step(logs, rules.recent.min(logs.len() / 2), level)
}

/// The smallest probability that a change can have with its points.
pub(super) fn floor(change: &LevelChange) -> f64 {
    change_floor(change.points_before, change.points_after)
}

/// Sessions that nobody will wait for.
const MOST: usize = 1000;

/// Points after a change without which it cannot have such a probability, where it has fewer;
/// `None` where it has enough, or where no number would be.
pub(super) fn points_needed(change: &LevelChange, level: f64) -> Option<usize> {
    (change.points_after..MOST)
        .find(|after| change_floor(change.points_before, *after) <= level)
        .filter(|needed| *needed > change.points_after)
}

/// Sessions of a series without which no step in its middle could have such a probability, where
/// it has fewer.
pub(super) fn sessions_needed(sessions: usize, level: f64) -> Option<usize> {
    (sessions.max(CHANGE_POINTS_FROM)..MOST)
        .find(|all| change_floor(all - all / 2, all / 2) <= level)
        .filter(|needed| *needed > sessions)
}
