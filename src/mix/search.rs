//! The best mix on or beside a ladder.
//!
//! Which mixes are looked at depends on the problem alone; limits only strike some out. So less
//! strict limits never make the best one worse.

use super::ladder::Ladder;
use super::{Problem, Total};

/// What a mix may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
}

impl Limits {
    pub(super) fn hold(&self, total: &Total) -> bool {
        total.bytes <= self.bytes && total.seconds <= self.seconds
    }
}

/// The best so far.
#[derive(Debug, Clone)]
pub(super) struct Best {
    pub(super) types: Vec<usize>,
    pub(super) total: Total,
}

/// Looks for mixes under limits.
pub(super) struct Search<'a> {
    parts: Vec<Vec<Option<Total>>>,
    ceilings: &'a [Vec<f64>],
    limits: Limits,
    weights: f64,
    pub(super) best: Option<Best>,
}

impl<'a> Search<'a> {
    pub(super) fn new(problem: &Problem, ceilings: &'a [Vec<f64>], limits: Limits) -> Self {
        let part = |tensor| (0..problem.types.len()).map(|it| problem.part(tensor, it)).collect();
        let parts = (0..problem.tensors.len()).map(part).collect();
        Self { parts, ceilings, limits, weights: problem.weights() as f64, best: None }
    }

    /// Looks at the mixes of a ladder and at all that differ from one of them in so many tensors:
    /// a step that the next rung leaves room for, or a rung too high with one tensor taken back.
    pub(super) fn climb(&mut self, ladder: &Ladder, changes: u32) {
        let mut types = ladder.start.clone();
        let mut total = Total::default();
        for (tensor, kind) in types.iter().enumerate() {
            total = plus(&total, &self.part(tensor, *kind));
        }
        self.step_on(&types, &total, changes);
        for moves in &ladder.rungs {
            for step in moves {
                let old = self.part(step.tensor, types[step.tensor]);
                total = plus(&minus(&total, &old), &self.part(step.tensor, step.kind));
                types[step.tensor] = step.kind;
            }
            self.step_on(&types, &total, changes);
        }
    }

    /// Looks at a rung and around it. A rung is taken also where it is predicted no better than
    /// the best so far: its error is lower, in a group without measured effect.
    fn step_on(&mut self, types: &[usize], total: &Total, changes: u32) {
        let allowed = self.average(total) < self.two_lowest(types).0.1;
        if allowed && self.limits.hold(total) && total.divergence <= self.to_beat() {
            self.best = Some(Best { types: types.to_vec(), total: *total });
        }
        if changes > 0 {
            self.look(types, total, 0, changes);
        }
    }

    fn part(&self, tensor: usize, kind: usize) -> Total {
        self.parts[tensor][kind].expect("ladders have possible types only")
    }

    /// Looks at a mix and at what differs from it in tensors from `first` on.
    fn look(&mut self, types: &[usize], total: &Total, first: usize, changes: u32) {
        let (lowest, next) = self.two_lowest(types);
        if self.average(total) < lowest.1 {
            self.offer(total, || types.to_vec());
        }
        for tensor in first..types.len() {
            let without = minus(total, &self.part(tensor, types[tensor]));
            let others = if lowest.0 == tensor { next } else { lowest.1 };
            let hopeless =
                without.bytes > self.limits.bytes || without.divergence >= self.to_beat();
            if hopeless && changes == 1 {
                continue;
            }
            for kind in 0..self.parts[tensor].len() {
                let part = self.parts[tensor][kind].filter(|_| kind != types[tensor]);
                let Some(total) = part.map(|part| plus(&without, &part)) else { continue };
                let exchanged = || {
                    let mut types = types.to_vec();
                    types[tensor] = kind;
                    types
                };
                if changes > 1 {
                    self.look(&exchanged(), &total, tensor + 1, changes - 1);
                } else if self.average(&total) < others.min(self.ceilings[tensor][kind]) {
                    self.offer(&total, exchanged);
                }
            }
        }
    }

    /// The tensor whose guard allows the lowest average, that average, and the next one.
    fn two_lowest(&self, types: &[usize]) -> ((usize, f64), f64) {
        let (mut lowest, mut next) = ((usize::MAX, f64::INFINITY), f64::INFINITY);
        for (tensor, kind) in types.iter().enumerate() {
            let ceiling = self.ceilings[tensor][*kind];
            if ceiling < lowest.1 {
                (lowest, next) = ((tensor, ceiling), lowest.1);
            } else {
                next = next.min(ceiling);
            }
        }
        (lowest, next)
    }

    /// Bits per weight.
    fn average(&self, total: &Total) -> f64 {
        total.bytes as f64 * 8.0 / self.weights
    }

    fn to_beat(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |best| best.total.divergence)
    }

    fn offer(&mut self, total: &Total, types: impl FnOnce() -> Vec<usize>) {
        if self.limits.hold(total) && total.divergence < self.to_beat() {
            self.best = Some(Best { types: types(), total: *total });
        }
    }
}

fn plus(a: &Total, b: &Total) -> Total {
    let (seconds, divergence) = (a.seconds + b.seconds, a.divergence + b.divergence);
    Total { bytes: a.bytes + b.bytes, seconds, divergence }
}

fn minus(a: &Total, b: &Total) -> Total {
    let (seconds, divergence) = (a.seconds - b.seconds, a.divergence - b.divergence);
    Total { bytes: a.bytes - b.bytes, seconds, divergence }
}
