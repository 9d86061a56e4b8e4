//! Two sides measured in turn: a group-sequential test per cell, all cells under one error.
//!
//! A cell fails where Student's t and a sign-flip test both find its slowdown above the limit, at
//! the level that Holm's procedure leaves it among the blocking cells; it passes where the upper
//! bound of its slowdown is below the limit. Levels are shared between looks, so that looking
//! early costs nothing in honesty (Holm 1979; the shares are a union bound, valid for any
//! dependence between looks).

use crate::model::{GateReason, GateVerdict, Weight};

use super::holm::step_down;
use super::tested::{Levels, Tested};
use super::{Judgement, Rule, Stage};

/// A cell as its blocks come in.
#[derive(Debug, Clone, Copy)]
pub struct Raced<'a> {
    /// The slowdown that is allowed, as a share.
    pub delta: f64,
    /// Whether it shares the error of the build.
    pub weight: Weight,
    /// What a session adds to one side and not to the other: a standard deviation, as a share.
    pub session_noise: f64,
    /// One per block: logarithm of the time of the head over the base's. A cell that was decided
    /// needs no more of them.
    pub differences: &'a [f64],
}

/// Judges cells from the blocks so far. A pure function: the looks are gone through again from the
/// first, so that what was decided at one of them stays.
#[must_use]
pub fn judge_blocks(rule: &Rule, cells: &[Raced<'_>], stage: Stage) -> Vec<Judgement> {
    let mut race = Race { rule, cells, judged: vec![None; cells.len()] };
    let most = cells.iter().map(|cell| cell.differences.len()).max().unwrap_or(0);
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let looks = rule.looks(most, stage);
    for look in &looks {
        race.look(look.blocks, look.share);
    }
    let ended = race.judged.into_iter().zip(cells);
    ended
        .map(|(judged, cell)| {
            let n = u32::try_from(cell.differences.len()).unwrap_or(u32::MAX);
            judged.unwrap_or_else(|| Judgement::nothing(GateReason::TooFewBlocks, n))
        })
        .collect()
}

struct Race<'a> {
    rule: &'a Rule,
    cells: &'a [Raced<'a>],
    /// The latest of each; one that is decided stays.
    judged: Vec<Option<Judgement>>,
}

impl Race<'_> {
    fn look(&mut self, blocks: u32, share: f64) {
        let open: Vec<(usize, Tested)> = self.tested(blocks);
        let alpha = self.rule.alpha * share;
        let pass = self.rule.beta * share;
        let failed = |judged: &Option<Judgement>| {
            judged.as_ref().is_some_and(|it| it.verdict == GateVerdict::Fail)
        };
        let blocking = |place: usize| self.cells[place].weight == Weight::Blocking;
        let all = (0..self.cells.len()).filter(|place| blocking(*place)).count();
        let gone = (0..self.cells.len())
            .filter(|place| blocking(*place) && failed(&self.judged[*place]))
            .count();
        let p_values: Vec<(Weight, f64)> =
            open.iter().map(|(place, it)| (self.cells[*place].weight, it.p(true))).collect();
        let levels = step_down(&p_values, alpha, all, gone);
        for ((place, tested), (level, fails)) in open.into_iter().zip(levels) {
            let levels = Levels { fail: level, pass };
            let verdict = match (fails, tested.passes(pass)) {
                (true, _) => GateVerdict::Fail,
                (false, true) => GateVerdict::Pass,
                (false, false) => GateVerdict::Inconclusive,
            };
            self.judged[place] = Some(tested.judgement(verdict, levels, self.rule));
        }
    }

    /// The cells that are still open and have so many blocks.
    fn tested(&self, blocks: u32) -> Vec<(usize, Tested)> {
        let cells = self.cells.iter().zip(&self.judged).enumerate();
        cells
            .filter(|(_, (_, judged))| !judged.as_ref().is_some_and(Judgement::is_decided))
            .filter_map(|(place, (cell, _))| {
                let first = cell.differences.get(..blocks as usize)?;
                let seed = self.rule.seed;
                Some((place, Tested::blocks(first, cell.delta, cell.session_noise, seed)?))
            })
            .collect()
    }
}
