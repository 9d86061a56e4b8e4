//! A race as cells: what was judged, unless something speaks against it.

use super::{Evidence, Finish, Suite, Wanted};
use crate::judge::{self, Judgement, Rule, Stage};
use crate::model::{GateCell, GateClass, GateReason, GateSession, GateVerdict, Waiver, Weight};
use crate::stats;

/// What has to be known of two sides beside their times.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Whether both sides are the same thing.
    pub identical: bool,
    /// Whether both sides have to say the same: equal model, equal setting, and nobody allowed
    /// anything else.
    pub same_answers: bool,
    /// What speaks against a failure.
    pub evidence: &'a Evidence,
    /// Slowdowns that are accepted today.
    pub waivers: &'a [Waiver],
}

/// The cells of a race.
#[must_use]
pub fn raced(
    suite: &Suite,
    rule: &Rule,
    finish: &Finish,
    about: Circumstances<'_>,
) -> Vec<GateCell> {
    let block_s = (finish.blocks > 0)
        .then(|| finish.elapsed.as_secs_f64() / f64::from(finish.blocks + finish.dropped));
    let mut cells = Vec::new();
    let mut at = 0;
    let strict = without_waivers(suite, rule, finish);
    for (place, subject) in suite.subjects.iter().enumerate() {
        let changed = about.same_answers && finish.same_answers[place] == Some(false);
        for wanted in &subject.wanted {
            let hidden = finish.blocks > 0 && finish.shown[at] == [false; 2];
            if hidden {
                at += 1;
                continue;
            }
            let (judged, delta) = decisive(wanted, &finish.judged[at], &strict[at]);
            let mut cell = GateCell { delta, ..cell(&subject.name, wanted, judged) };
            measured(&mut cell, wanted, finish, at);
            undecided(&mut cell, judged, block_s);
            if changed {
                not_comparable(&mut cell);
            }
            gone(&mut cell, finish, at);
            if cell.verdict == GateVerdict::Fail {
                doubted(&mut cell, about);
            }
            let waiver = about.waivers.iter().find(|waiver| waiver.cell == wanted.name);
            let covered = finish.judged[at].verdict == GateVerdict::Pass;
            cell.waiver = waiver.filter(|_| covered && cell.verdict == GateVerdict::Fail).cloned();
            cells.push(cell);
            at += 1;
        }
    }
    cells
}

/// A cell with its verdict and nothing else.
pub(super) fn cell(group: &str, wanted: &Wanted, judged: &Judgement) -> GateCell {
    GateCell {
        name: wanted.name.clone(),
        group: group.to_owned(),
        metric: wanted.quantity.metric().to_owned(),
        unit: wanted.quantity.unit().to_owned(),
        better: wanted.quantity.better(),
        class: wanted.quantity.class(),
        weight: wanted.weight,
        ..judged_cell(judged, wanted.delta)
    }
}

/// A cell of nothing but a judgement: who it is has to be filled in.
pub(super) fn judged_cell(judged: &Judgement, delta: f64) -> GateCell {
    GateCell {
        name: String::new(),
        group: String::new(),
        metric: String::new(),
        unit: String::new(),
        better: crate::model::Better::Lower,
        class: crate::model::GateClass::Timing,
        weight: Weight::Blocking,
        verdict: judged.verdict,
        reason: judged.reason,
        why: None,
        next_action: None,
        base: None,
        head: None,
        slowdown: judged.slowdown,
        interval: judged.interval,
        delta,
        n: judged.n,
        p_t: judged.p_t,
        p_guard: judged.p_guard,
        p_required: judged.p_required,
        p_floor: judged.p_floor,
        minimum_detectable: judged.minimum_detectable,
        blocks_needed: judged.blocks_needed,
        minutes_needed: None,
        blocks: Vec::new(),
        dropped: 0,
        waiver: None,
    }
}

/// Says what an undecided cell lacks.
pub(super) fn undecided(cell: &mut GateCell, judged: &Judgement, block_s: Option<f64>) {
    let told = judge::tell(judged, cell.delta, block_s);
    cell.why = told.why;
    cell.next_action = told.next_action;
    cell.minutes_needed = told.minutes_needed;
}

fn measured(cell: &mut GateCell, wanted: &Wanted, finish: &Finish, at: usize) {
    let middle = |side: usize| {
        stats::median(&finish.costs[at][side]).map(|cost| wanted.quantity.shown(cost))
    };
    (cell.base, cell.head) = (middle(0), middle(1));
    cell.blocks.clone_from(&finish.differences[at]);
    cell.dropped = finish.dropped;
}

pub(super) fn not_comparable(cell: &mut GateCell) {
    cell.verdict = GateVerdict::NotComparable;
    cell.reason = Some(GateReason::OutputChanged);
    cell.why = Some(
        "output changed: the same tokens of the same model under the same setting are answered \
         differently"
            .to_owned(),
    );
    cell.next_action = Some(
        "find out why the answers differ; where they are meant to, say --allow-output-change"
            .to_owned(),
    );
}

/// A cell that one side does not show.
fn gone(cell: &mut GateCell, finish: &Finish, at: usize) {
    let (verdict, why) = match finish.shown[at] {
        [true, false] => (GateVerdict::Missing, "the head does not show it"),
        [false, true] => (GateVerdict::New, "the base does not show it"),
        _ => return,
    };
    cell.verdict = verdict;
    cell.reason = None;
    cell.why = Some(why.to_owned());
    cell.next_action = None;
}

/// A failure that is not the code's, or need not be.
fn doubted(cell: &mut GateCell, about: Circumstances<'_>) {
    let (reason, why, next) = if about.identical {
        (
            GateReason::Identical,
            "both sides are the same thing, so this is a false alarm of the gate".to_owned(),
            "let it learn this machine's noise: autotune gate calibrate",
        )
    } else if let Some(against) =
        about.evidence.against.as_ref().filter(|_| cell.class == GateClass::Timing)
    {
        (GateReason::Environment, against.clone(), "run it again on a quieter machine")
    } else {
        return;
    };
    cell.verdict = GateVerdict::Inconclusive;
    cell.reason = Some(reason);
    cell.why = Some(why);
    cell.next_action = Some(next.to_owned());
}

/// What counts of a cell with a waiver, and against which limit: it was measured until its
/// ceiling was decided. Where that holds, the stricter limit tells whether the waiver is needed.
fn decisive<'j>(
    wanted: &Wanted,
    at_ceiling: &'j Judgement,
    strict: &'j Judgement,
) -> (&'j Judgement, f64) {
    let holds = at_ceiling.verdict == GateVerdict::Pass;
    match wanted.ceiling {
        None => (at_ceiling, wanted.delta),
        Some(_) if holds && strict.is_decided() => (strict, wanted.delta),
        Some(ceiling) => (at_ceiling, ceiling),
    }
}

/// The judgements as if nothing were waived.
fn without_waivers(suite: &Suite, rule: &Rule, finish: &Finish) -> Vec<Judgement> {
    let plain = |wanted: &Wanted| Wanted { ceiling: None, ..wanted.clone() };
    let subjects = suite.subjects.iter().map(|subject| super::Subject {
        name: subject.name.clone(),
        wanted: subject.wanted.iter().map(plain).collect(),
    });
    super::race::judged(&Suite { subjects: subjects.collect() }, rule, finish, Stage::Over)
}

/// Cells that neither side shows, one sentence each.
#[must_use]
pub fn hidden(suite: &Suite, finish: &Finish) -> Vec<String> {
    let cells = suite.cells().zip(&finish.shown);
    let hidden = cells.filter(|(_, shown)| finish.blocks > 0 && **shown == [false; 2]);
    hidden
        .map(|((_, wanted), _)| format!("no side shows `{}`: it is left out", wanted.name))
        .collect()
}

/// Failures that a second session was asked about: one that it does not confirm is none.
pub fn confirmed(cells: &mut [GateCell], again: &[GateCell]) {
    for cell in cells.iter_mut().filter(|cell| cell.fails()) {
        let second = again.iter().find(|other| other.name == cell.name);
        if second.is_some_and(GateCell::fails) {
            continue;
        }
        let seen = second.and_then(|cell| cell.slowdown);
        let seen = seen.map_or_else(|| "nothing".to_owned(), |it| format!("{:+.1} %", 100.0 * it));
        cell.verdict = GateVerdict::Inconclusive;
        cell.reason = Some(GateReason::Unconfirmed);
        cell.why = Some(format!("a second session did not confirm it: it saw {seen}"));
        cell.next_action = Some("run it again, or calibrate this machine's noise".to_owned());
    }
}

/// One session of a report.
#[must_use]
pub fn session(purpose: &str, finish: &Finish, cells: &[GateCell]) -> GateSession {
    let failed = cells.iter().filter(|cell| cell.fails()).map(|cell| cell.name.clone()).collect();
    let blocking = cells.iter().filter(|cell| cell.weight == Weight::Blocking);
    let judged = finish.judged.iter().map(|it| it.verdict).min();
    GateSession {
        purpose: purpose.to_owned(),
        blocks: finish.blocks,
        dropped: finish.dropped,
        disturbances: finish.disturbances.clone(),
        verdict: blocking
            .map(|cell| cell.verdict)
            .min()
            .or(judged)
            .unwrap_or(GateVerdict::NotComparable),
        failed,
        elapsed_ms: u64::try_from(finish.elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
