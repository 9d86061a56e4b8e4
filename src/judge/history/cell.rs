//! The verdict of one cell, from what was found and what its tests came to.

use crate::model::{ChangePoint, GateReason, GateSeries, GateVerdict};
use crate::stats::LevelChange;

use super::family::Tested;
use super::search::{self, Found, Searched, State};
use super::{HistoryJudgement, HistoryRules, HistorySeries, words};

/// One cell with all that its verdict needs.
pub(super) struct Cell<'a> {
    pub(super) series: &'a HistorySeries,
    pub(super) rules: &'a HistoryRules,
    /// The strictest level that its tests may have had to clear.
    pub(super) strictest: f64,
    pub(super) tested: Tested,
}

impl Cell<'_> {
    /// The verdict; `listed` says which of its changes are.
    pub(super) fn judge(&self, searched: &Searched, listed: &[bool]) -> HistoryJudgement {
        let mut judgement = self.nothing(searched);
        match &searched.state {
            State::Thin => {
                let told = words::thin(self.series.values.len());
                undecided(&mut judgement, GateReason::ThinBaseline, told);
            }
            State::Unstable(why) => {
                let told = words::unstable(why);
                judgement.series.unstable = Some(told.0.clone());
                undecided(&mut judgement, GateReason::Unstable, told);
            }
            State::Searched(found) => self.decide(found, listed, &mut judgement),
        }
        judgement
    }

    fn decide(&self, found: &Found, listed: &[bool], judgement: &mut HistoryJudgement) {
        let level = self.tested.step_level;
        let fails = |change: &LevelChange| {
            let suspected = found.suspects.contains(&change.index);
            self.tested.step_fails && suspected && change.p_value <= level
        };
        let shown = found.changes.iter().zip(listed);
        judgement.series.change_points = shown
            .filter(|(change, listed)| **listed || fails(change))
            .map(|(change, _)| self.point(change, fails(change)))
            .collect();
        judgement.series.drift = found.drift.map(|drift| drift.max(0.0).exp_m1());
        judgement.minimum_detectable = found.minimum_detectable;
        let drifted = found.drifted.filter(|_| self.tested.drift_fails);
        match (found.suspect(), drifted) {
            (Some(suspect), _) if self.tested.step_fails => {
                suspected(judgement, suspect, level);
                fail(judgement, words::step(self.series, suspect, level));
            }
            (_, Some(drifted)) => {
                judgement.slowdown = Some(drifted.difference.exp_m1());
                judgement.p_value = Some(drifted.p_value);
                judgement.p_required = Some(self.tested.drift_level);
                fail(judgement, words::drift(self.series, &drifted, self.tested.drift_level));
            }
            (Some(suspect), None) => {
                suspected(judgement, suspect, level);
                self.doubt(suspect, level, judgement);
            }
            (None, None) => self.pass_if_not_blind(found, judgement),
        }
    }

    /// A recent slowdown that is not clear enough to fail.
    fn doubt(&self, suspect: &LevelChange, level: f64, judgement: &mut HistoryJudgement) {
        let (reason, told) = match search::points_needed(suspect, level) {
            Some(needed) => {
                (GateReason::Blind, words::cannot_fail(self.series, suspect, level, needed))
            }
            None => (GateReason::Noise, words::doubtful(self.series, suspect, level)),
        };
        undecided(judgement, reason, told);
    }

    /// Nothing that is slower passes only where it would have been seen.
    fn pass_if_not_blind(&self, found: &Found, judgement: &mut HistoryJudgement) {
        let (least, most) = (found.minimum_detectable, self.rules.blind_above);
        if least.is_none_or(|least| least > most) {
            let needed = search::sessions_needed(self.series.values.len(), self.strictest);
            undecided(judgement, GateReason::Blind, words::blind(least, most, needed));
        }
    }

    /// A pass about which there is nothing to say.
    fn nothing(&self, searched: &Searched) -> HistoryJudgement {
        let series = self.series;
        HistoryJudgement {
            series: GateSeries {
                cell: series.cell.clone(),
                unit: series.unit.clone(),
                better: series.better,
                values: series.values.clone(),
                labels: series.labels.clone(),
                change_points: Vec::new(),
                outliers: searched.outliers.iter().map(|index| number(*index)).collect(),
                unstable: None,
                drift: None,
            },
            verdict: GateVerdict::Pass,
            reason: None,
            why: None,
            next_action: None,
            slowdown: None,
            p_value: None,
            p_required: None,
            p_floor: None,
            minimum_detectable: None,
        }
    }

    fn point(&self, change: &LevelChange, fails: bool) -> ChangePoint {
        let before = search::value(self.series.better, change.before);
        let after = search::value(self.series.better, change.after);
        ChangePoint {
            index: number(change.index),
            cell: self.series.cell.clone(),
            label: self.series.labels[change.index].clone(),
            before,
            after,
            change: after / before - 1.0,
            worse: change.after > change.before,
            fails,
            range: (number(change.range.0), number(change.range.1)),
            p_value: change.p_value,
        }
    }
}

fn suspected(judgement: &mut HistoryJudgement, suspect: &LevelChange, level: f64) {
    judgement.slowdown = Some((suspect.after - suspect.before).exp_m1());
    judgement.p_value = Some(suspect.p_value);
    judgement.p_required = Some(level);
    judgement.p_floor = Some(search::floor(suspect));
}

fn fail(judgement: &mut HistoryJudgement, (why, next_action): (String, String)) {
    judgement.verdict = GateVerdict::Fail;
    (judgement.why, judgement.next_action) = (Some(why), Some(next_action));
}

fn undecided(
    judgement: &mut HistoryJudgement,
    reason: GateReason,
    (why, next_action): (String, String),
) {
    judgement.verdict = GateVerdict::Inconclusive;
    judgement.reason = Some(reason);
    (judgement.why, judgement.next_action) = (Some(why), Some(next_action));
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
