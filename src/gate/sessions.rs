//! Sessions as they are kept, and a new one against those of the same machine and suite.

use std::collections::BTreeMap;

use super::report::{cell, undecided};
use super::{Finish, Suite, Wanted};
use crate::judge::{self, Judgement, Rule, Stored};
use crate::model::{
    Better, GateCell, GateClass, GateReason, GateVerdict, StoredCell, StoredSession, Weight,
};
use crate::stats;

/// Sessions that a new one is held against at most: older ones are of another time, and on
/// byte-identical code the share of differences that look real grows from 7 % after a night to
/// 31 % after twenty.
pub const WINDOW: usize = 20;

/// The cells of a session, from a race of one side with itself: all its processes count.
#[must_use]
pub fn session_of(suite: &Suite, finish: &Finish) -> Vec<StoredCell> {
    let cells = suite.cells().zip(&finish.costs);
    cells
        .filter(|(_, costs)| costs.iter().any(|side| !side.is_empty()))
        .map(|((subject, wanted), costs)| StoredCell {
            name: wanted.name.clone(),
            group: subject.name.clone(),
            metric: wanted.quantity.metric().to_owned(),
            unit: wanted.quantity.unit().to_owned(),
            better: wanted.quantity.better(),
            class: wanted.quantity.class(),
            values: costs.iter().flatten().map(|cost| wanted.quantity.shown(*cost)).collect(),
        })
        .collect()
}

/// Of each subject that said something, a digest of it.
#[must_use]
pub fn answers_of(suite: &Suite, finish: &Finish) -> BTreeMap<String, String> {
    let subjects = suite.subjects.iter().zip(&finish.answers);
    let told = subjects.filter(|(_, answers)| !answers.is_empty());
    told.map(|(subject, answers)| {
        let bytes: Vec<u8> = answers.iter().flat_map(|token| token.to_le_bytes()).collect();
        (subject.name.clone(), blake3::hash(&bytes).to_hex()[..16].to_owned())
    })
    .collect()
}

/// The median of a stored cell.
fn level(cell: &StoredCell) -> Option<f64> {
    stats::median(&cell.values).filter(|value| *value > 0.0)
}

/// The logarithm of its cost: more is worse.
fn log_cost(cell: &StoredCell) -> Option<f64> {
    let sign = if cell.better == Better::Higher { -1.0 } else { 1.0 };
    level(cell).map(|value| sign * value.ln())
}

/// The last sessions that a new one may be held against: after the last epoch, same suite.
pub(super) fn window<'a>(
    history: &'a [StoredSession],
    suite_digest: &str,
) -> Vec<&'a StoredSession> {
    let same: Vec<&StoredSession> =
        history.iter().filter(|session| session.suite_digest == suite_digest).collect();
    let from = same.iter().rposition(|session| session.epoch.is_some()).unwrap_or(0);
    let kept = &same[from..];
    kept[kept.len().saturating_sub(WINDOW)..].to_vec()
}

/// The cells of a new session against stored ones.
#[must_use]
pub fn checked(
    suite: &Suite,
    rule: &Rule,
    history: &[StoredSession],
    session: &StoredSession,
    allow_output_change: bool,
) -> Vec<GateCell> {
    let now = session.cells.as_slice();
    let kept = window(history, &session.suite_digest);
    let found: Vec<(&super::Subject, &Wanted)> = suite.cells().collect();
    let series: Vec<Vec<f64>> = found
        .iter()
        .map(|(_, wanted)| {
            let of = |session: &&StoredSession| {
                session.cells.iter().find(|cell| cell.name == wanted.name).and_then(log_cost)
            };
            kept.iter().filter_map(of).collect()
        })
        .collect();
    let new = |wanted: &Wanted| now.iter().find(|cell| cell.name == wanted.name);
    let judged = judge_timed(rule, &found, &series, now);
    let mut cells = Vec::new();
    for (at, (subject, wanted)) in found.iter().enumerate() {
        let judgement = match (&judged[at], new(wanted)) {
            (_, Some(it)) if wanted.quantity.class() == GateClass::Memory => {
                bytes(it, &kept, wanted)
            }
            (Some(judgement), _) => judgement.clone(),
            (None, _) => Judgement::nothing(GateReason::NoBaseline, 0),
        };
        let mut cell = cell(&subject.name, wanted, &judgement);
        cell.head = new(wanted).and_then(level);
        cell.base = baseline(&series[at], wanted);
        undecided(&mut cell, &judgement, None);
        if !allow_output_change && says_otherwise(&kept, session, &subject.name) {
            super::report::not_comparable(&mut cell);
        }
        match (series[at].is_empty(), new(wanted)) {
            (true, Some(_)) => {
                cell.verdict = GateVerdict::New;
                cell.reason = Some(GateReason::NoBaseline);
                cell.why = Some("no stored session has it".to_owned());
                cell.next_action = None;
            }
            (false, None) => {
                cell.verdict = GateVerdict::Missing;
                cell.reason = None;
                cell.why = Some("stored sessions have it, and this one does not".to_owned());
            }
            _ => {}
        }
        cells.push(cell);
    }
    cells.extend(vanished(suite, &kept));
    cells
}

/// Whether the last session that told what a model said told something else.
fn says_otherwise(kept: &[&StoredSession], session: &StoredSession, group: &str) -> bool {
    let before = kept.iter().rev().find_map(|kept| kept.answers.get(group));
    before.zip(session.answers.get(group)).is_some_and(|(before, now)| before != now)
}

/// The middle of stored sessions in the unit that is shown.
fn baseline(series: &[f64], wanted: &Wanted) -> Option<f64> {
    let middle = stats::median(series)?.exp();
    Some(wanted.quantity.shown(middle))
}

fn judge_timed(
    rule: &Rule,
    found: &[(&super::Subject, &Wanted)],
    series: &[Vec<f64>],
    now: &[StoredCell],
) -> Vec<Option<Judgement>> {
    let mut places = Vec::new();
    let mut stored = Vec::new();
    for (at, (_, wanted)) in found.iter().enumerate() {
        let cell = now.iter().find(|cell| cell.name == wanted.name).and_then(log_cost);
        let timed = wanted.quantity.class() == GateClass::Timing;
        if let Some(now) = cell.filter(|_| timed && !series[at].is_empty()) {
            places.push(at);
            stored.push(Stored {
                delta: wanted.delta,
                weight: wanted.weight,
                least_spread: wanted.session_noise.max(judge::LEAST_SPREAD),
                history: &series[at],
                now,
            });
        }
    }
    let mut judged = vec![None; found.len()];
    for (at, judgement) in places.into_iter().zip(judge::judge_baseline(rule, &stored)) {
        judged[at] = Some(judgement);
    }
    judged
}

/// Bytes against the largest stored ones.
fn bytes(now: &StoredCell, kept: &[&StoredSession], wanted: &Wanted) -> Judgement {
    let most = |cell: &StoredCell| cell.values.iter().copied().reduce(f64::max);
    let stored = kept.iter().flat_map(|session| &session.cells);
    let stored = stored.filter(|cell| cell.name == wanted.name);
    let n = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    if kept.len() < judge::FEWEST_SESSIONS {
        return Judgement::nothing(GateReason::ThinBaseline, n);
    }
    match most(now).zip(stored.filter_map(most).reduce(f64::max)) {
        Some((now, before)) if before > 0.0 => {
            Judgement::exact(now / before - 1.0, wanted.delta, n)
        }
        _ => Judgement::nothing(GateReason::NoBaseline, n),
    }
}

/// Cells of the last stored session that the suite no longer has.
fn vanished(suite: &Suite, kept: &[&StoredSession]) -> Vec<GateCell> {
    let known = |name: &str| suite.cells().any(|(_, wanted)| wanted.name == name);
    let last = kept.last().map(|session| session.cells.as_slice()).unwrap_or_default();
    last.iter()
        .filter(|cell| !known(&cell.name))
        .map(|old| GateCell {
            name: old.name.clone(),
            group: old.group.clone(),
            metric: old.metric.clone(),
            unit: old.unit.clone(),
            better: old.better,
            class: old.class,
            weight: Weight::Blocking,
            verdict: GateVerdict::Missing,
            reason: None,
            base: level(old),
            why: Some("the last stored session has it, and the suite does not".to_owned()),
            ..super::report::judged_cell(&Judgement::nothing(GateReason::NoBaseline, 0), 0.0)
        })
        .collect()
}

/// A cell over all sessions of its suite, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct OverTime {
    /// The cell of the last session that has it.
    pub cell: StoredCell,
    /// One value per session.
    pub values: Vec<f64>,
    /// What each session is called.
    pub labels: Vec<String>,
}

/// Every cell that any session of the newest suite has, over time.
#[must_use]
pub fn over_time(history: &[StoredSession]) -> Vec<OverTime> {
    let Some(suite) = history.last().map(|session| session.suite_digest.as_str()) else {
        return Vec::new();
    };
    let same: Vec<&StoredSession> =
        history.iter().filter(|session| session.suite_digest == suite).collect();
    let from = same.iter().rposition(|session| session.epoch.is_some()).unwrap_or(0);
    let mut all: Vec<OverTime> = Vec::new();
    for session in &same[from..] {
        for cell in &session.cells {
            let Some(value) = level(cell) else { continue };
            let known = all.iter().position(|it| it.cell.name == cell.name);
            let place = known.unwrap_or_else(|| {
                all.push(OverTime { cell: cell.clone(), values: Vec::new(), labels: Vec::new() });
                all.len() - 1
            });
            let told = &mut all[place];
            told.values.push(value);
            told.labels.push(session.label().to_owned());
        }
    }
    all
}
