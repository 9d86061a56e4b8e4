//! A machine made of what was measured on a real one, behind the same trait as llama.cpp.
//!
//! [`Replay`] answers a job with samples that were recorded under exactly its setting, drawn by a
//! seed, and lets the recorded times pass on a virtual clock. What failed fails again; what was
//! not recorded is refused. So a search can be tried a hundred times on a grid that was measured
//! once. Results are marked [`synthetic`](crate::api::Identity::synthetic).

mod record;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::api::{
    DeviceReport, Engine, Failure, Identity, Job, Run, Sample, Setting, Transition, VariantReport,
    Work,
};
use crate::sim::VirtualClock;

pub use record::{Measured, Record, Recording};

/// An engine that repeats what was recorded. Equal recordings and seeds give equal answers to
/// equal questions.
#[derive(Debug)]
pub struct Replay {
    recording: Recording,
    /// Places in the recording, by canonical setting.
    places: HashMap<Setting, Vec<usize>>,
    chance: Xoshiro256PlusPlus,
    clock: VirtualClock,
    /// What would be loaded.
    resident: Option<(PathBuf, Setting)>,
}

impl Replay {
    /// A machine that was just switched on.
    #[must_use]
    pub fn seeded(mut recording: Recording, seed: u64) -> Self {
        let mut places: HashMap<Setting, Vec<usize>> = HashMap::new();
        for (place, record) in recording.records.iter_mut().enumerate() {
            record.asked = (recording.canonical)(record.asked.clone());
            places.entry(record.asked.clone()).or_default().push(place);
        }
        let chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { recording, places, chance, clock: VirtualClock::default(), resident: None }
    }

    /// The clock that jobs move.
    #[must_use]
    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// A number below a bound that is not 0. The bias of the remainder is far below what a
    /// recording can show.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.chance.next_u64() % bound).unwrap_or_default()
    }

    /// The visits under a setting that can answer for this work.
    fn fitting(&self, setting: &Setting, work: &Work) -> Result<Vec<usize>, Failure> {
        let Some(places) = self.places.get(setting) else {
            return Err(Failure::refused("this setting was not recorded"));
        };
        let of = |place: &usize| &self.recording.records[*place];
        let same: Vec<usize> =
            places.iter().copied().filter(|place| !of(place).differs(work)).collect();
        if !same.is_empty() {
            return Ok(same);
        }
        let covering: Vec<usize> =
            places.iter().copied().filter(|place| of(place).covers(work)).collect();
        if covering.is_empty() {
            return Err(Failure::refused("this part of the work was not recorded"));
        }
        Ok(covering)
    }

    /// What has to be made anew, as long as it took when it was recorded.
    fn transition(&self, job: &Job, setting: &Setting) -> Transition {
        let resident = self.resident.as_ref();
        let same = |part: &dyn Fn(&Setting) -> bool| resident.is_some_and(|(_, old)| part(old));
        let model = resident.is_some_and(|(model, _)| *model == job.model);
        let process = !same(&|old| old.process == setting.process);
        let load = process || !model || !same(&|old| old.load == setting.load);
        let context = load || !same(&|old| old.context == setting.context);
        let all = |_: &Setting| true;
        Transition {
            process_ns: process.then(|| self.typical(&all, |it| it.process_ns)),
            load_ns: load.then(|| {
                let alike = |own: &Setting| own.load == setting.load;
                self.typical(&alike, |it| it.load_ns)
            }),
            context_ns: context.then(|| {
                let alike = |own: &Setting| own.context == setting.context;
                self.typical(&alike, |it| it.context_ns)
            }),
        }
    }

    /// The median of a part of the recorded transitions to settings that are alike, or else to any.
    fn typical(
        &self,
        alike: &dyn Fn(&Setting) -> bool,
        part: fn(&Transition) -> Option<u64>,
    ) -> u64 {
        let median = |wanted: &dyn Fn(&Setting) -> bool| {
            let records = self.recording.records.iter().filter(|record| wanted(&record.asked));
            let measured = records.filter_map(|record| record.outcome.as_ref().ok());
            let mut times: Vec<u64> =
                measured.filter_map(|measured| part(&measured.transition)).collect();
            times.sort_unstable();
            times.get(times.len() / 2).copied()
        };
        median(alike).or_else(|| median(&|_| true)).unwrap_or_default()
    }

    /// One visit under a setting that was recorded.
    fn answer(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        let setting = (self.recording.canonical)(job.setting.clone());
        let work = &job.work;
        let needed = [work.depth, work.prompt_tokens, work.generate_tokens];
        let needed: u64 = needed.into_iter().map(u64::from).sum();
        if needed > u64::from(setting.context.context) {
            let context = setting.context.context;
            return Err(Failure::refused(format!(
                "a context of {context} tokens cannot hold {needed}"
            )));
        }
        if work.prompt_tokens == 0 && work.generate_tokens == 0 {
            return Err(Failure::refused("there is nothing to do"));
        }
        let places = self.fitting(&setting, work)?;
        let drawn = places[self.below(places.len())];
        if let Err(failure) = &self.recording.records[drawn].outcome {
            let failure = failure.clone();
            self.clock.advance(self.recording.records[drawn].elapsed.min(deadline));
            return Err(failure);
        }
        let transition = self.transition(job, &setting);
        let samples = self.samples(&places, work);
        let record = &self.recording.records[drawn];
        let parts = [transition.process_ns, transition.load_ns, transition.context_ns];
        let loading = Duration::from_nanos(parts.into_iter().flatten().sum());
        let timed: Duration = samples.iter().map(Sample::total).sum();
        let pause = Duration::from_millis(work.delay_ms);
        let passed = loading + pause + timed + record.untimed_of(work);
        if passed > deadline {
            self.clock.advance(deadline);
            let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
            return Err(Failure::TimedOut { deadline_ms, log: Vec::new() });
        }
        self.clock.advance(passed);
        self.resident = Some((job.model.clone(), setting));
        let measured = record.outcome.as_ref().map_err(Clone::clone)?;
        let Work { prompt_tokens, generate_tokens, depth, .. } = record.work;
        let scaled = format!(
            "scaled from a record of {prompt_tokens} and {generate_tokens} tokens at depth {depth}"
        );
        Ok(Run {
            effective: Setting {
                threads: job.setting.threads.clone(),
                ..measured.effective.clone()
            },
            samples,
            memory: measured.memory.clone(),
            model: self.recording.model.clone(),
            transition,
            caveats: record.differs(work).then_some(scaled).into_iter().collect(),
            answers: Vec::new(),
            graph: None,
        })
    }

    /// A sample for each repetition, each from any of these visits.
    fn samples(&mut self, places: &[usize], work: &Work) -> Vec<Sample> {
        let ran = |place: &usize| {
            let outcome = &self.recording.records[*place].outcome;
            outcome.as_ref().is_ok_and(|measured| !measured.samples.is_empty())
        };
        let places: Vec<usize> = places.iter().copied().filter(ran).collect();
        let mut samples = Vec::new();
        while !places.is_empty() && samples.len() < work.repetitions as usize {
            let (first, second) = (self.below(places.len()), self.chance.next_u64());
            let record = &self.recording.records[places[first]];
            let Ok(measured) = &record.outcome else { continue };
            let count = u64::try_from(measured.samples.len()).unwrap_or(u64::MAX);
            let index = usize::try_from(second % count).unwrap_or_default();
            samples.push(record.scaled(&measured.samples[index], work));
        }
        samples
    }
}

impl Engine for Replay {
    fn identity(&mut self) -> Result<Identity, Failure> {
        let who = &self.recording.identity;
        Ok(Identity {
            name: "replay".to_owned(),
            version: format!("{} {}", who.name, who.version),
            synthetic: true,
            ..who.clone()
        })
    }

    fn variants(&mut self, _weight_types: &[String]) -> Result<Vec<VariantReport>, Failure> {
        Ok(self.recording.variants.clone())
    }

    fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        Ok(self.recording.devices.clone())
    }

    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        let answer = self.answer(job, deadline);
        match &answer {
            Ok(_) | Err(Failure::Refused { .. } | Failure::Invalid { .. }) => {}
            // The worker is gone.
            Err(_) => self.resident = None,
        }
        answer
    }
}

#[cfg(test)]
mod tests;
