//! Cells of two files that other tools wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{judged_cell, undecided};
use crate::import::{Imported, ImportedCell, Independence};
use crate::judge::{self, Judgement, Rule, Sampled};
use crate::model::{Better, GateCell, GateClass, GateReason, GateVerdict, Weight};
use crate::stats;

/// What a run adds to all repetitions in it, where samples are repetitions: between two starts of
/// a program times differ by about this much though nothing has changed. Chosen by simulation and
/// from public data on identical code; asked for otherwise with `--run-noise`.
pub const RUN_NOISE: f64 = 0.01;

/// How foreign cells are judged.
#[derive(Clone, Copy)]
pub struct Foreign<'a> {
    /// What may go wrong.
    pub rule: &'a Rule,
    /// The limit of a cell by its metric, as a share.
    pub delta: &'a dyn Fn(&ImportedCell) -> f64,
    /// Whether a cell can fail the build.
    pub weight: &'a dyn Fn(&ImportedCell) -> Weight,
    /// What a run adds to all its samples; `None` for 1 % where samples are
    /// repetitions, and nothing where each is a run.
    pub run_noise: Option<f64>,
}

/// Judges two files, cell by cell.
#[must_use]
pub fn imported(base: &Imported, head: &Imported, how: Foreign<'_>) -> Vec<GateCell> {
    let of_base: BTreeMap<&str, &ImportedCell> =
        base.cells.iter().map(|cell| (cell.name.as_str(), cell)).collect();
    let mut cells = Vec::new();
    let mut judged: Vec<(usize, Sampled)> = Vec::new();
    for cell in &head.cells {
        let mut found = named(cell, (how.delta)(cell), (how.weight)(cell));
        found.head = stats::median(&cell.samples);
        match of_base.get(cell.name.as_str()) {
            None if base.zero.contains(&cell.name) => {
                let verdict = from_zero(cell.better);
                settled(&mut found, verdict, "it was zero on the base, of which there is no ratio");
                found.base = Some(0.0);
            }
            None => settled(&mut found, GateVerdict::New, "the base does not have it"),
            Some(other) => {
                found.base = stats::median(&other.samples);
                let broken = [base, head].iter().any(|side| side.failed.contains(&cell.name));
                if let Some(why) = differ(other, cell) {
                    settled(&mut found, GateVerdict::NotComparable, &why);
                    found.reason = Some(GateReason::UnitsDiffer);
                } else if broken {
                    let why = "runs of it ended with an error, so that their times say nothing";
                    settled(&mut found, GateVerdict::NotComparable, why);
                    found.reason = Some(GateReason::BadSamples);
                } else {
                    judged.push((cells.len(), sampled(other, cell, &found, how)));
                }
            }
        }
        cells.push(found);
    }
    decide(&mut cells, &judged, how.rule);
    let known: BTreeSet<&str> = head.cells.iter().map(|cell| cell.name.as_str()).collect();
    for cell in base.cells.iter().filter(|cell| !known.contains(cell.name.as_str())) {
        let mut gone = named(cell, (how.delta)(cell), (how.weight)(cell));
        gone.base = stats::median(&cell.samples);
        if head.zero.contains(&cell.name) {
            let verdict = to_zero(cell.better);
            settled(&mut gone, verdict, "it is zero on the head, of which there is no ratio");
            gone.head = Some(0.0);
        } else {
            settled(&mut gone, GateVerdict::Missing, "the head does not have it");
            let next = "measure it again, or say --allow-missing where it is meant to go";
            gone.next_action = Some(next.to_owned());
        }
        cells.push(gone);
    }
    cells
}

fn settled(cell: &mut GateCell, verdict: GateVerdict, why: &str) {
    cell.verdict = verdict;
    cell.reason = None;
    cell.why = Some(why.to_owned());
    cell.next_action = None;
}

/// Something where there was nothing.
fn from_zero(better: Better) -> GateVerdict {
    if better == Better::Lower { GateVerdict::Fail } else { GateVerdict::Pass }
}

/// Nothing where there was something.
fn to_zero(better: Better) -> GateVerdict {
    if better == Better::Lower { GateVerdict::Pass } else { GateVerdict::Fail }
}

/// A cell of which nothing is known but who it is.
fn named(cell: &ImportedCell, delta: f64, weight: Weight) -> GateCell {
    GateCell {
        name: cell.name.clone(),
        group: cell.group.clone(),
        metric: cell.metric.clone(),
        unit: cell.unit.clone(),
        better: cell.better,
        class: cell.class,
        weight,
        ..judged_cell(&Judgement::nothing(GateReason::BadSamples, 0), delta)
    }
}

/// Why two cells of one name are not the same quantity.
fn differ(base: &ImportedCell, head: &ImportedCell) -> Option<String> {
    if base.unit != head.unit {
        return Some(format!("the base is in `{}`, the head in `{}`", base.unit, head.unit));
    }
    (base.better != head.better)
        .then(|| "more is better on one side and worse on the other".to_owned())
}

fn sampled(base: &ImportedCell, head: &ImportedCell, cell: &GateCell, how: Foreign<'_>) -> Sampled {
    // Costs, so that more is worse: of a speed, its inverse.
    let costs = |it: &ImportedCell| {
        let sign = if it.better == Better::Higher { -1.0 } else { 1.0 };
        it.samples.iter().map(|value| sign * value.ln()).collect()
    };
    let runs = [base, head].iter().all(|it| it.independent == Independence::Runs);
    let bytes = cell.class == GateClass::Memory;
    let usual = if runs || bytes { 0.0 } else { RUN_NOISE };
    Sampled {
        delta: cell.delta,
        weight: cell.weight,
        run_noise: how.run_noise.unwrap_or(usual),
        base: costs(base),
        head: costs(head),
    }
}

fn decide(cells: &mut [GateCell], judged: &[(usize, Sampled)], rule: &Rule) {
    let samples: Vec<Sampled> = judged.iter().map(|(_, sampled)| sampled.clone()).collect();
    for ((at, sampled), judgement) in judged.iter().zip(judge::judge_samples(rule, &samples)) {
        let exact = cells[*at].class == GateClass::Memory;
        let judgement = if exact { bytes(sampled) } else { judgement };
        let old = &cells[*at];
        let mut cell = GateCell {
            name: old.name.clone(),
            group: old.group.clone(),
            metric: old.metric.clone(),
            unit: old.unit.clone(),
            better: old.better,
            class: old.class,
            weight: old.weight,
            base: old.base,
            head: old.head,
            ..judged_cell(&judgement, old.delta)
        };
        undecided(&mut cell, &judgement, None);
        cells[*at] = cell;
    }
}

/// Bytes hardly vary: the largest of each side decides.
fn bytes(sampled: &Sampled) -> Judgement {
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let slowdown = (most(&sampled.head) - most(&sampled.base)).exp_m1();
    let n = u32::try_from(sampled.base.len().min(sampled.head.len())).unwrap_or(u32::MAX);
    Judgement::exact(slowdown, sampled.delta, n)
}
