//! One side alone: a session that is kept, or held against kept ones.

use std::time::Duration;

use autotune_engine::api::{Clock, Failure};

use super::{Arm, Arms, Finish, Progress, RaceError, Suite};
use crate::stats;

/// A session of one side, ready to run.
pub struct Solo<'a> {
    /// What is measured.
    pub arm: &'a mut dyn Arm,
    /// Of which quantities.
    pub suite: &'a Suite,
    /// Fresh processes of each model.
    pub processes: u32,
    /// No process is begun that is not expected to end within this time.
    pub budget: Duration,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Whether the user wants to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

impl Solo<'_> {
    /// Runs it. The costs are those of the head; there is no base.
    pub fn run(self, tell: &mut dyn FnMut(&Progress<'_>)) -> Result<Finish, RaceError> {
        let cells = self.suite.cells().count();
        let mut finish = Finish {
            costs: vec![Default::default(); cells],
            repetitions: vec![Vec::new(); cells],
            differences: vec![Vec::new(); cells],
            shown: vec![[false; 2]; cells],
            answers: vec![Vec::new(); self.suite.subjects.len()],
            same_answers: vec![None; self.suite.subjects.len()],
            ..Finish::default()
        };
        let begun = self.clock.now();
        for process in 1..=self.processes {
            let started = self.clock.now();
            if finish.longest + started.saturating_sub(begun) > self.budget {
                break;
            }
            let mut first = 0;
            for (place, subject) in self.suite.subjects.iter().enumerate() {
                if subject.wanted.is_empty() {
                    continue;
                }
                if (self.stopped)() {
                    finish.interrupted = true;
                    return Ok(finish);
                }
                tell(&Progress::Visiting { block: process, visit: 1, arm: Arms::Head });
                let all = vec![true; subject.wanted.len()];
                let visit = match self.arm.visit(place, &all) {
                    Ok(visit) => visit,
                    Err(_) if (self.stopped)() => {
                        finish.interrupted = true;
                        return Ok(finish);
                    }
                    Err(failure @ Failure::Crashed { .. }) if process == 1 => {
                        tell(&Progress::Again { arm: Arms::Head, failure: &failure });
                        self.arm.visit(place, &all).map_err(|failure| failed(subject, failure))?
                    }
                    Err(failure) => return Err(failed(subject, failure)),
                };
                if finish.answers[place].is_empty() {
                    finish.answers[place] = visit.answers;
                }
                for (cell, costs) in visit.costs.into_iter().enumerate() {
                    finish.costs[first + cell][1].extend(stats::median(&costs));
                    finish.shown[first + cell][1] |= !costs.is_empty();
                    finish.repetitions[first + cell].push(costs);
                }
                first += subject.wanted.len();
            }
            let took = self.clock.now().saturating_sub(started);
            finish.longest = finish.longest.max(took);
            finish.blocks += 1;
            let next_look = (process < self.processes).then_some(self.processes);
            tell(&Progress::Block { blocks: process, next_look, open: cells, took });
        }
        finish.elapsed = self.clock.now().saturating_sub(begun);
        Ok(finish)
    }
}

fn failed(subject: &super::Subject, failure: Failure) -> RaceError {
    RaceError { side: "head", subject: subject.name.clone(), failure }
}
