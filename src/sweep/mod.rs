//! The loop: search asks, measure answers, the journal keeps the answer before anything else
//! happens. It tells what it does by [`Event`]s and never prints.
//!
//! What to run is left to `search`, how to `measure`, what it means to `analysis`.

mod cases;
mod progress;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use autotune_engine::api::{Setting, Work};
use thiserror::Error;

use crate::measure::{Bench, Expectation, Visit, first_deadline, skipped, visit};
use crate::model::{Outcome, Plan, Purpose, Room, Source, Trial};
use crate::plan::does_not_fit;
use crate::search::{self, Ask, Now, Reason, Step};
pub use cases::{CASE_ROUNDS, check_cases};
pub use progress::Progress;

/// Where trials are kept. A trial counts as done when `append` has returned.
pub trait Journal {
    /// Keeps a trial so that it survives whatever happens next.
    fn append(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Results of earlier sweeps on the same machine, engine and model.
pub trait Cache {
    /// The trial of this setting and work, if there is one.
    fn get(&mut self, setting: &Setting, work: &Work) -> Option<Trial>;

    /// Keeps a measured trial for later sweeps.
    fn put(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A sweep, ready to run.
pub struct Sweep<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// How often it had been started before.
    pub session: u32,
    /// The doors of a visit.
    pub bench: Bench<'a>,
    /// Where trials are kept.
    pub journal: &'a mut dyn Journal,
    /// Earlier results, where they may be used.
    pub cache: Option<&'a mut dyn Cache>,
    /// Memory that settings may need; `None`: unknown, or to be tried all the same.
    pub room: Option<&'a Room>,
    /// The date, RFC 3339 in UTC.
    pub date: &'a dyn Fn() -> String,
    /// Whether somebody asked to stop.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// What a sweep does, as it does it.
#[derive(Debug)]
pub enum Event<'e> {
    /// A visit begins.
    Asked {
        /// The visit.
        ask: &'e Ask,
        /// The trial's number.
        id: u32,
    },
    /// A trial has been journaled.
    Finished {
        /// The trial.
        trial: &'e Trial,
        /// How far the sweep has come.
        progress: Progress,
    },
    /// A result could not be kept for later sweeps; this one goes on.
    NotCached {
        /// Why.
        error: &'e (dyn Error + Send + Sync),
    },
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// All trials, of earlier sessions too.
    pub trials: Vec<Trial>,
    /// Why it ended; `None`: interrupted, and can be resumed.
    pub reason: Option<Reason>,
    /// Trials that an earlier sweep was asked for, and those it had.
    pub cache: CacheUse,
}

/// How often the cache was asked and had an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Questions.
    pub asked: u32,
    /// Answers.
    pub hits: u32,
}

/// What stops a sweep besides its end.
#[derive(Debug, Error)]
pub enum SweepError {
    /// A trial could not be kept.
    #[error("cannot journal trial {id}")]
    Journal {
        /// Its number.
        id: u32,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The session that follows these trials: 0 for none.
#[must_use]
pub fn next_session(trials: &[Trial]) -> u32 {
    trials.iter().map(|trial| trial.session.saturating_add(1)).max().unwrap_or(0)
}

impl fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Sweep<'_> {
    /// Runs until the search is done or somebody asks to stop, continuing from `trials`.
    pub fn run(
        mut self,
        mut trials: Vec<Trial>,
        observe: &mut dyn FnMut(&Event<'_>),
    ) -> Result<Ending, SweepError> {
        let start = self.bench.clock.now();
        let spent_before = spent(self.plan, &trials);
        let mut cache = CacheUse::default();
        loop {
            // Visits count as the journal has them, so that a resumed sweep decides alike; what
            // lies between them counts in whole seconds.
            let visits = spent(self.plan, &trials);
            let between = self
                .bench
                .clock
                .now()
                .saturating_sub(start)
                .saturating_sub(visits.saturating_sub(spent_before));
            let elapsed = visits + Duration::from_secs(between.as_secs());
            let now = Now { elapsed, session: self.session };
            let reason = match search::next(self.plan, &trials, now) {
                _ if (self.interrupted)() => None,
                Step::Done(reason) => Some(reason),
                Step::Visit(ask) => {
                    let id = trials.last().map_or(1, |trial| trial.id + 1);
                    observe(&Event::Asked { ask: &ask, id });
                    let Some(trial) = self.answer(&ask, id, &trials, elapsed, &mut cache) else {
                        return Ok(Ending { trials, reason: None, cache });
                    };
                    self.journal
                        .append(&trial)
                        .map_err(|source| SweepError::Journal { id, source })?;
                    self.keep(&trial, observe);
                    trials.push(trial);
                    let progress = Progress::of(self.plan, &trials, elapsed);
                    let trial = trials.last().expect("a trial was just pushed");
                    observe(&Event::Finished { trial, progress });
                    continue;
                }
            };
            return Ok(Ending { trials, reason, cache });
        }
    }

    /// The trial that answers an ask, from the cache or from the engine; `None` for one that was
    /// cut short by somebody who asked to stop, which says nothing about the setting.
    fn answer(
        &mut self,
        ask: &Ask,
        id: u32,
        trials: &[Trial],
        elapsed: Duration,
        cache: &mut CacheUse,
    ) -> Option<Trial> {
        let work = ask.work.clone();
        if search::may_reuse(self.plan, ask)
            && let Some(earlier) = self.cache.as_mut()
        {
            cache.asked += 1;
            if let Some(found) = earlier.get(&ask.setting, &work) {
                cache.hits += 1;
                return Some(reused(found, ask, id, self.session));
            }
        }
        let budget = self.plan.protocol.budget_ms.map(Duration::from_millis);
        let left = budget.map(|budget| budget.saturating_sub(elapsed));
        let deadline = Expectation::of(self.plan, trials).map_or_else(
            || first_deadline(self.plan.model.file_bytes),
            |expected| expected.deadline(&ask.setting, &self.plan.baseline, left),
        );
        let planned = Visit {
            id,
            purpose: ask.purpose,
            block: ask.block,
            session: self.session,
            setting: ask.setting.clone(),
            work,
            started_at: (self.date)(),
        };
        if let Some(reason) = self.too_large(&ask.setting) {
            return Some(skipped(planned, reason));
        }
        if ask.fresh {
            self.bench.engine.renew();
        }
        let trial = visit(&mut self.bench, planned, deadline);
        let cut = (self.interrupted)() && matches!(trial.outcome, Outcome::Failed(_));
        (!cut).then_some(trial)
    }

    /// The sum that does not fit; `None` where it does, or where the engine foresees nothing.
    fn too_large(&mut self, setting: &Setting) -> Option<String> {
        let room = self.room?;
        let forecast = self.bench.engine.forecast(self.bench.model, setting).ok()?;
        does_not_fit(&forecast, room)
    }

    /// Keeps a measured trial for later sweeps. The baseline is left out, because it is always
    /// measured, and so is a trial with doubts.
    fn keep(&mut self, trial: &Trial, observe: &mut dyn FnMut(&Event<'_>)) {
        let fresh = trial.source == Source::Measured
            && trial.asked != self.plan.baseline
            && trial.caveats.is_empty()
            && matches!(trial.outcome, Outcome::Measured(_));
        if let Some(cache) = self.cache.as_mut().filter(|_| fresh)
            && let Err(error) = cache.put(trial)
        {
            observe(&Event::NotCached { error: &*error });
        }
    }
}

/// An earlier trial in the place of a new one, marked as what it is. It took no time.
fn reused(found: Trial, ask: &Ask, id: u32, session: u32) -> Trial {
    Trial {
        id,
        purpose: Purpose::Search,
        block: ask.block,
        session,
        source: Source::Cache,
        elapsed_ms: 0,
        ..found
    }
}

/// Time that the calibration and these trials took.
fn spent(plan: &Plan, trials: &[Trial]) -> Duration {
    let calibration = plan.protocol.calibration.map_or(0, |it| it.elapsed_ms);
    let visits = trials.iter().map(|trial| trial.elapsed_ms);
    Duration::from_millis(visits.fold(calibration, u64::saturating_add))
}

#[cfg(test)]
mod tests;
