//! Two sides in turn: blocks of four fresh processes, ABBA and BAAB by turns, until every cell is
//! decided or time is up.
//!
//! A steady drift within a block cancels: both sides have the same mean place in it. The block is
//! the unit; what one process repeats is not, for repetitions share that process's luck with
//! memory and placement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autotune_engine::api::{Clock, Failure};

use super::load::{self, Load};
use super::{Arm, Canary, Suite, Visit, Wanted};
use crate::judge::{self, Judgement, Raced, Rule, Stage};
use crate::measure::Sensors;
use crate::model::GateClass;
use crate::stats;

/// Of all blocks that were measured, the share that may be thrown away; more, and nothing would
/// be left of a machine that is never quiet.
const DROPPED_SHARE: f64 = 0.25;

/// One of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arms {
    /// What is judged against.
    Base,
    /// What is judged.
    Head,
}

/// A comparison, ready to run.
pub struct Race<'a> {
    /// Base and head.
    pub arms: [&'a mut dyn Arm; 2],
    /// What is measured.
    pub suite: &'a Suite,
    /// What may go wrong, and how many blocks there are at most.
    pub rule: Rule,
    /// No block is begun that is not expected to end within this time.
    pub budget: Duration,
    /// The time.
    pub clock: &'a dyn Clock,
    /// How busy others keep the machine.
    pub sensors: &'a mut dyn Sensors,
    /// A fixed piece of work beside each visit.
    pub canary: &'a mut dyn Canary,
    /// Whether the user wants to stop.
    pub stopped: &'a dyn Fn() -> bool,
    /// Cells that take part, in the suite's order; empty for all.
    pub only: Vec<bool>,
    /// Measures on until the last block, whatever was decided.
    pub exhaustive: bool,
}

/// What a race does, as it does it.
#[derive(Debug)]
pub enum Progress<'p> {
    /// A visit begins.
    Visiting {
        /// Block, from 1.
        block: u32,
        /// Visit in the block, from 1.
        visit: u32,
        /// Which side.
        arm: Arms,
    },
    /// A block has ended.
    Block {
        /// Blocks that count so far.
        blocks: u32,
        /// Blocks at the next look.
        next_look: Option<u32>,
        /// Cells that are still open.
        open: usize,
        /// Time it took.
        took: Duration,
    },
    /// A block was thrown away.
    Dropped {
        /// Why.
        reason: &'p str,
    },
    /// A visit failed and is made once more.
    Again {
        /// Which side.
        arm: Arms,
        /// Why.
        failure: &'p Failure,
    },
}

/// What a race measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finish {
    /// One per cell.
    pub judged: Vec<Judgement>,
    /// Of each cell, the logarithm of time of head over base per block.
    pub differences: Vec<Vec<f64>>,
    /// Of each cell, the cost of every process of base and head.
    pub costs: Vec<[Vec<f64>; 2]>,
    /// Of each cell, the costs of every process's repetitions, base and head together.
    pub repetitions: Vec<Vec<Vec<f64>>>,
    /// Of each cell, whether base and head have shown it in any process.
    pub shown: Vec<[bool; 2]>,
    /// Processes that failed and were made once more, each with its reason.
    pub retries: Vec<String>,
    /// Doubts of the engines, each sentence once.
    pub doubts: BTreeSet<String>,
    /// Of each subject, whether both sides said the same; `None` where nobody tells.
    pub same_answers: Vec<Option<bool>>,
    /// Of each subject, what a lone side said; empty in a race, which compares.
    pub answers: Vec<Vec<u32>>,
    /// Seconds of the canary beside base and head, one pair per block.
    pub canary: Vec<[f64; 2]>,
    /// Blocks that count.
    pub blocks: u32,
    /// Blocks that were thrown away.
    pub dropped: u32,
    /// Why, each sentence once.
    pub disturbances: Vec<String>,
    /// Whether others disturbed the head more than the base.
    pub leans: bool,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// The longest block.
    pub longest: Duration,
    /// All of it.
    pub elapsed: Duration,
}

/// A side whose process could not do its work, twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {side} `{subject}` cannot be measured")]
pub struct RaceError {
    /// `base` or `head`.
    pub side: &'static str,
    /// Of which model.
    pub subject: String,
    /// Why.
    #[source]
    pub failure: Failure,
}

/// Where a process belongs: which subject, which side, and what is still open of it.
struct Slot<'a> {
    place: usize,
    side: usize,
    open: &'a [bool],
}

/// Visits of a block.
struct Block {
    visits: Vec<[Vec<Visit>; 2]>,
    loads: [Vec<Load>; 2],
    songs: [Vec<f64>; 2],
}

impl Race<'_> {
    /// Runs it.
    pub fn run(mut self, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Finish, RaceError> {
        let cells = self.suite.cells().count();
        let begun = self.clock.now();
        let mut finish = Finish {
            differences: vec![Vec::new(); cells],
            costs: vec![Default::default(); cells],
            repetitions: vec![Vec::new(); cells],
            shown: vec![[false; 2]; cells],
            same_answers: vec![None; self.suite.subjects.len()],
            ..Finish::default()
        };
        let mut said: BTreeMap<(usize, bool), Vec<u32>> = BTreeMap::new();
        let mut loads: Vec<Load> = Vec::new();
        loop {
            finish.judged = judged(self.suite, &self.rule, &finish, Stage::Running);
            let open = self.open(&finish);
            let now = self.clock.now().saturating_sub(begun);
            let done = finish.blocks >= self.rule.most_blocks
                || !open.iter().any(|open| *open)
                || now + finish.longest > self.budget;
            if done {
                break;
            }
            let started = self.clock.now();
            let Some(block) = self.block(&mut finish, &open, tell)? else {
                finish.interrupted = true;
                break;
            };
            let took = self.clock.now().saturating_sub(started);
            finish.longest = finish.longest.max(took);
            let uneven = load::unevenness(&block.loads[0], &block.loads[1]);
            if let Some(reason) = load::spoils(uneven)
                && f64::from(finish.dropped + 1)
                    <= (DROPPED_SHARE * f64::from(finish.blocks + finish.dropped + 1)).max(1.0)
            {
                tell(&Progress::Dropped { reason: &reason });
                finish.dropped += 1;
                if !finish.disturbances.contains(&reason) {
                    finish.disturbances.push(reason);
                }
                continue;
            }
            loads.push(uneven);
            self.keep(&mut finish, &block, &mut said);
            finish.judged = judged(self.suite, &self.rule, &finish, Stage::Running);
            tell(&Progress::Block {
                blocks: finish.blocks,
                next_look: self.rule.next_look(finish.blocks),
                open: self.open(&finish).into_iter().filter(|open| *open).count(),
                took,
            });
        }
        finish.judged = judged(self.suite, &self.rule, &finish, Stage::Over);
        finish.leans = load::favours_base(&loads);
        finish.elapsed = self.clock.now().saturating_sub(begun);
        Ok(finish)
    }

    /// Cells that still need blocks. One that a side does not show gets none by waiting.
    fn open(&self, finish: &Finish) -> Vec<bool> {
        let hidden = |at: usize| finish.blocks > 0 && finish.shown[at] != [true; 2];
        let takes_part = |at: usize| self.only.get(at).copied().unwrap_or(true) && !hidden(at);
        finish
            .judged
            .iter()
            .enumerate()
            .map(|(at, judged)| takes_part(at) && (self.exhaustive || !judged.is_decided()))
            .collect()
    }

    /// Measures one block; `None` where the user stops it.
    fn block(
        &mut self,
        finish: &mut Finish,
        open: &[bool],
        tell: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Option<Block>, RaceError> {
        let blocks = finish.blocks;
        let subjects = self.suite.subjects.len();
        let mut block = Block {
            visits: (0..subjects).map(|_| Default::default()).collect(),
            loads: Default::default(),
            songs: Default::default(),
        };
        let base_first = u64::from(blocks).wrapping_add(self.rule.seed).is_multiple_of(2);
        let order = if base_first { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
        let mut first = 0;
        for (place, subject) in self.suite.subjects.iter().enumerate() {
            let cells = subject.wanted.len();
            let open = &open[first..first + cells];
            first += cells;
            if !open.iter().any(|open| *open) {
                continue;
            }
            for (visit, side) in order.into_iter().enumerate() {
                if (self.stopped)() {
                    return Ok(None);
                }
                let arm = [Arms::Base, Arms::Head][side];
                let visit = u32::try_from(visit + 1).unwrap_or(u32::MAX);
                tell(&Progress::Visiting { block: blocks + 1, visit, arm });
                let at = Slot { place, side, open };
                let Some(visited) = self.visit(at, &mut block, &mut finish.retries, tell)? else {
                    return Ok(None);
                };
                finish.doubts.extend(visited.doubts.iter().cloned());
                block.visits[place][side].push(visited);
            }
        }
        Ok(Some(block))
    }

    /// One fresh process. A crash is put up with once per side and race: a side that crashes now
    /// and then is a finding, and no accident.
    fn visit(
        &mut self,
        Slot { place, side, open }: Slot<'_>,
        block: &mut Block,
        retries: &mut Vec<String>,
        tell: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Option<Visit>, RaceError> {
        let named = ["base", "head"][side];
        loop {
            block.songs[side].extend(self.canary.sing());
            let before = self.sensors.read();
            let result = self.arms[side].visit(place, open);
            let after = self.sensors.read();
            let tried = retries.iter().any(|retry| retry.starts_with(named));
            match result {
                Ok(visit) => {
                    block.loads[side].push(Load::between(before, after));
                    return Ok(Some(visit));
                }
                Err(_) if (self.stopped)() => return Ok(None),
                Err(failure @ Failure::Crashed { .. }) if !tried => {
                    let arm = [Arms::Base, Arms::Head][side];
                    tell(&Progress::Again { arm, failure: &failure });
                    retries.push(format!("{named} failed once and was run again: {failure}"));
                }
                Err(failure) => {
                    let subject = self.suite.subjects[place].name.clone();
                    return Err(RaceError { side: named, subject, failure });
                }
            }
        }
    }

    /// Puts what a block showed to the rest.
    fn keep(
        &self,
        finish: &mut Finish,
        block: &Block,
        said: &mut BTreeMap<(usize, bool), Vec<u32>>,
    ) {
        finish.blocks += 1;
        let mut at = 0;
        for (place, subject) in self.suite.subjects.iter().enumerate() {
            let sides = &block.visits[place];
            for cell in 0..subject.wanted.len() {
                let costs = |side: usize| -> Vec<f64> {
                    let visits = sides[side].iter();
                    visits.filter_map(|visit| stats::median(&visit.costs[cell])).collect()
                };
                let (base, head) = (costs(0), costs(1));
                finish.shown[at][0] |= !base.is_empty();
                finish.shown[at][1] |= !head.is_empty();
                let whole = base.len() == 2 && head.len() == 2;
                if whole && base.iter().chain(&head).all(|cost| *cost > 0.0 && cost.is_finite()) {
                    let log = |costs: &[f64]| f64::midpoint(costs[0].ln(), costs[1].ln());
                    finish.differences[at].push(log(&head) - log(&base));
                    let all = sides.iter().flatten().map(|visit| visit.costs[cell].clone());
                    finish.repetitions[at].extend(all);
                    finish.costs[at][0].extend(base);
                    finish.costs[at][1].extend(head);
                }
                at += 1;
            }
            compare(finish, place, sides, said);
        }
        let mean = |songs: &[f64]| songs.iter().sum::<f64>() / songs.len() as f64;
        if block.songs.iter().all(|songs| !songs.is_empty()) {
            finish.canary.push([mean(&block.songs[0]), mean(&block.songs[1])]);
        }
    }
}

/// Remembers what each side said first, and whether they agree. Only equal sets of tests are
/// compared: a cell that is decided is no longer run.
fn compare(
    finish: &mut Finish,
    place: usize,
    sides: &[Vec<Visit>; 2],
    said: &mut BTreeMap<(usize, bool), Vec<u32>>,
) {
    for (side, visits) in sides.iter().enumerate() {
        for visit in visits.iter().filter(|visit| !visit.answers.is_empty()) {
            said.entry((place, side == 1)).or_insert_with(|| visit.answers.clone());
        }
    }
    if let (Some(base), Some(head)) = (said.get(&(place, false)), said.get(&(place, true))) {
        finish.same_answers[place] = Some(base == head);
    }
}

/// The largest of each side, once there are as many blocks as the first look has.
fn bytes(finish: &Finish, at: usize, delta: f64) -> Judgement {
    let [base, head] = &finish.costs[at];
    let n = u32::try_from(finish.differences[at].len()).unwrap_or(u32::MAX);
    let most = |costs: &[f64]| costs.iter().copied().reduce(f64::max);
    match most(base).zip(most(head)) {
        Some((base, head)) if n >= judge::FEWEST_BLOCKS => {
            Judgement::exact(head / base - 1.0, delta, n)
        }
        _ => Judgement::nothing(crate::model::GateReason::TooFewBlocks, n),
    }
}

/// What all cells come to so far.
pub(super) fn judged(suite: &Suite, rule: &Rule, finish: &Finish, stage: Stage) -> Vec<Judgement> {
    let cells: Vec<&Wanted> = suite.cells().map(|(_, wanted)| wanted).collect();
    let limit = |wanted: &Wanted| wanted.ceiling.unwrap_or(wanted.delta);
    // Bytes hardly vary: the largest of each side decides, and takes no share of the error.
    let mut all: Vec<Judgement> =
        cells.iter().enumerate().map(|(at, wanted)| bytes(finish, at, limit(wanted))).collect();
    let timed: Vec<usize> =
        (0..cells.len()).filter(|at| cells[*at].quantity.class() == GateClass::Timing).collect();
    let blocks: Vec<Raced<'_>> = timed
        .iter()
        .map(|at| Raced {
            delta: limit(cells[*at]),
            weight: cells[*at].weight,
            session_noise: cells[*at].session_noise,
            differences: &finish.differences[*at],
        })
        .collect();
    for (at, judgement) in timed.into_iter().zip(judge::judge_blocks(rule, &blocks, stage)) {
        all[at] = judgement;
    }
    all
}
