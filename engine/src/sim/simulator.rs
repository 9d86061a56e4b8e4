//! Jobs on a simulated machine, in virtual time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::VirtualClock;
use super::noise::Noise;
use super::spec::{Crash, CrashKind, SelfTest};
use super::truth::{Switch, Truth};
use super::weather::{Kind, Weather};
use super::world::World;
use crate::api::{
    BufferForecast, Bytes, Clock, DeviceKind, DeviceReport, Engine, Failure, Forecast, Identity,
    Job, MemoryUse, ModelFacts, Place, Rest, RestKind, Run, Sample, Setting, Threading, Transition,
    VariantFault, VariantReport, VariantVerdict, Work,
};

/// Seconds for which the weather is taken to stay as it is.
const PIECE_S: f64 = 0.05;

/// An engine whose times are made up. Equal worlds give equal answers to equal questions.
#[derive(Debug)]
pub struct Simulator {
    world: World,
    noise: Noise,
    weather: Weather,
    clock: VirtualClock,
    /// The model and the setting of what is loaded.
    resident: Option<(PathBuf, Setting)>,
    peak: Bytes,
}

/// The virtual time at which an answer would come too late.
struct Deadline {
    at: Duration,
    allowed: Duration,
}

impl Simulator {
    /// A machine that was just switched on, with the seed that its file names.
    #[must_use]
    pub fn new(world: World) -> Self {
        let seed = world.seed;
        Self::seeded(world, seed)
    }

    /// The same machine on another day.
    #[must_use]
    pub fn seeded(world: World, seed: u64) -> Self {
        Self {
            noise: Noise::new(&world.noise, seed),
            weather: Weather::new(&world.noise, world.trace.clone(), seed),
            clock: VirtualClock::default(),
            resident: None,
            peak: Bytes(0),
            world,
        }
    }

    /// The clock that jobs move.
    #[must_use]
    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// The machine.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Starts, loads and makes what the job needs and is not there yet.
    fn prepare(&mut self, job: &Job, deadline: &Deadline) -> Result<Transition, Failure> {
        let resident = self.resident.take();
        let from = resident.as_ref().map(|(_, setting)| setting);
        let mut switch = self.world.switch(from, &job.setting);
        if resident.as_ref().is_some_and(|(model, _)| *model != job.model) {
            let anew = self.world.switch(None, &job.setting);
            switch = Switch { process_s: switch.process_s, ..anew };
        }
        let mut take =
            |seconds: Option<f64>| seconds.map(|seconds| self.pass(seconds, deadline)).transpose();
        let transition = Transition {
            process_ns: take(switch.process_s)?,
            load_ns: take(switch.load_s)?,
            context_ns: take(switch.context_s)?,
        };
        self.resident = Some((job.model.clone(), job.setting.clone()));
        Ok(transition)
    }

    /// The untimed run: the whole prompt, or one token where there is none.
    fn warm_up(&mut self, truth: &Truth, deadline: &Deadline) -> Result<(), Failure> {
        let (seconds, kind) = match truth.token_s.first() {
            Some(token_s) if truth.prefill_s == 0.0 => (*token_s, Kind::Together),
            _ => (truth.prefill_s, Kind::Compute),
        };
        self.work_for(seconds, kind, deadline).map(drop)
    }

    fn repeat(&mut self, truth: &Truth, deadline: &Deadline) -> Result<Sample, Failure> {
        let drift = self.noise.drift_factor(self.clock.now());
        let mut sample = Sample::default();
        if truth.prefill_s > 0.0 {
            let factor = drift * self.noise.sample_factor();
            sample.prefill_ns = self.work_for(truth.prefill_s * factor, Kind::Compute, deadline)?;
        }
        let alone = truth.effective.threads.threads == 1;
        let kind = if alone { Kind::Alone } else { Kind::Together };
        let factor = drift * self.noise.sample_factor();
        for token_s in &truth.token_s {
            let seconds = token_s * factor * self.noise.token_factor();
            let token_ns = self.work_for(seconds, kind, deadline)?;
            sample.token_ns.push(token_ns);
            sample.decode_ns += token_ns;
        }
        Ok(sample)
    }

    /// Does what takes so many seconds on an undisturbed machine, and tells how long it took.
    fn work_for(&mut self, seconds: f64, kind: Kind, deadline: &Deadline) -> Result<u64, Failure> {
        if !self.weather.changes() {
            return self.pass(seconds, deadline);
        }
        let (mut left, mut taken) = (seconds, 0);
        while left > 0.0 {
            let factor = self.weather.factor(self.clock.now(), kind);
            let piece = left.min(PIECE_S / factor);
            taken += self.pass(piece * factor, deadline)?;
            self.weather.worked(self.clock.now());
            left -= piece;
        }
        Ok(taken)
    }

    /// Lets time pass, at least a nanosecond, and tells how much.
    fn pass(&mut self, seconds: f64, deadline: &Deadline) -> Result<u64, Failure> {
        let step = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let step = step.max(Duration::from_nanos(1));
        let left = deadline.at.saturating_sub(self.clock.now());
        if step > left {
            return Err(self.hang(deadline));
        }
        self.clock.advance(step);
        Ok(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits until the deadline in vain.
    fn hang(&mut self, deadline: &Deadline) -> Failure {
        self.clock.advance(deadline.at.saturating_sub(self.clock.now()));
        let deadline_ms = u64::try_from(deadline.allowed.as_millis()).unwrap_or(u64::MAX);
        Failure::TimedOut { deadline_ms, log: Vec::new() }
    }

    /// What the driver of a card keeps for a process.
    fn driver_memory(&self) -> Vec<Rest> {
        let of = |gpu: &super::GpuSpec| Rest {
            what: RestKind::DeviceContext,
            place: Place::Device(gpu.name.clone()),
            bytes: Some(Bytes(gpu.context_bytes)),
        };
        self.world.gpu.iter().map(of).collect()
    }

    fn work(&mut self, job: &Job, deadline: &Deadline) -> Result<Run, Failure> {
        let transition = self.prepare(job, deadline)?;
        let truth = match self.world.truth(&job.setting, &job.work) {
            Err(Failure::TimedOut { .. }) => return Err(self.hang(deadline)),
            other => other?,
        };
        let Work { delay_ms, warmup, repetitions, .. } = job.work;
        if delay_ms > 0 {
            self.pass(Duration::from_millis(delay_ms).as_secs_f64(), deadline)?;
        }
        // The cache is filled once and kept for every repetition.
        if truth.fill_s > 0.0 {
            self.work_for(truth.fill_s, Kind::Compute, deadline)?;
        }
        if warmup {
            self.warm_up(&truth, deadline)?;
        }
        let mut samples = Vec::new();
        for _ in 0..repetitions {
            samples.push(self.repeat(&truth, deadline)?);
        }
        let buffers = self.world.memory(&truth.effective);
        let main = &buffers[0];
        let parts = [main.model_bytes, main.context_bytes, main.compute_bytes];
        self.peak = self.peak.max(parts.into_iter().sum());
        let model = &self.world.model;
        Ok(Run {
            effective: truth.effective,
            samples,
            memory: MemoryUse { peak_resident_bytes: Some(self.peak), resident: None, buffers },
            model: ModelFacts {
                description: model.description.clone(),
                size_bytes: Bytes(model.size_bytes),
                parameters: model.parameters,
                layers: model.layers,
            },
            transition,
            caveats: Vec::new(),
            answers: Vec::new(),
            graph: None,
        })
    }
}

impl Engine for Simulator {
    fn identity(&mut self) -> Result<Identity, Failure> {
        Ok(Identity {
            name: "sim".to_owned(),
            version: self.world.name.clone(),
            ggml_version: "none".to_owned(),
            binding_version: env!("CARGO_PKG_VERSION").to_owned(),
            threading: Threading::Ggml,
            synthetic: true,
        })
    }

    fn variants(&mut self, _weight_types: &[String]) -> Result<Vec<VariantReport>, Failure> {
        let report = |variant: &super::VariantSpec| VariantReport {
            name: variant.name.clone(),
            score: if variant.self_test == SelfTest::Unsupported { 0 } else { variant.score },
            verdict: match variant.self_test {
                SelfTest::Usable => VariantVerdict::Usable,
                SelfTest::Unsupported => VariantVerdict::Unsupported,
                SelfTest::Failed => VariantVerdict::Failed {
                    fault: VariantFault::Crashed,
                    reason: format!("the self-test died of signal {}", variant.signal),
                },
            },
        };
        let mut reports: Vec<VariantReport> = self.world.variants.iter().map(report).collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.score));
        Ok(reports)
    }

    fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        let memory = Bytes(self.world.machine.memory_bytes);
        let processor = DeviceReport {
            name: "CPU".to_owned(),
            description: self.world.name.clone(),
            kind: DeviceKind::Cpu,
            backend: "sim".to_owned(),
            memory_bytes: Some(memory),
            free_bytes: Some(memory),
            pci_address: None,
        };
        let card = self.world.gpu.as_ref().map(|gpu| DeviceReport {
            name: gpu.name.clone(),
            description: gpu.description.clone(),
            kind: DeviceKind::Gpu,
            backend: gpu.backend.clone(),
            memory_bytes: Some(Bytes(gpu.memory_bytes)),
            free_bytes: Some(Bytes(gpu.memory_bytes)),
            pci_address: None,
        });
        Ok(std::iter::once(processor).chain(card).collect())
    }

    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        let at = self.clock.now().saturating_add(deadline);
        let answer = self.work(job, &Deadline { at, allowed: deadline });
        match &answer {
            Ok(_) | Err(Failure::Refused { .. } | Failure::Invalid { .. }) => {}
            // The worker is gone, and with it its peak.
            Err(_) => {
                self.resident = None;
                self.peak = Bytes(0);
            }
        }
        answer
    }

    fn forecast(&mut self, _model: &Path, setting: &Setting) -> Result<Forecast, Failure> {
        let effective = self.world.resolve(setting)?;
        let device = |name: &str| match name {
            "CPU" => Place::Memory,
            card => Place::Device(card.to_owned()),
        };
        let buffers = self.world.memory(&effective).into_iter().map(|used| BufferForecast {
            place: device(&used.name),
            model_place: device(&used.name),
            name: used.name,
            model_bytes: used.model_bytes,
            context_bytes: used.context_bytes,
            compute_bytes: used.compute_bytes,
            touched_bytes: used.compute_bytes,
        });
        Ok(Forecast {
            buffers: buffers.collect(),
            effective: effective.context,
            rest: self.driver_memory(),
        })
    }
}

impl Crash {
    /// The answer that the caller gets.
    pub(super) fn failure(&self) -> Failure {
        let log = vec!["simulated by a crash rule".to_owned()];
        match self.kind {
            CrashKind::Crashed => Failure::Crashed {
                signal: Some(self.signal),
                exit_code: None,
                reason: format!("signal {}", self.signal),
                log,
            },
            // The simulator waits until the real deadline; a truth has none.
            CrashKind::TimedOut => Failure::TimedOut { deadline_ms: 0, log },
            CrashKind::OutOfMemory => {
                Failure::OutOfMemory { reason: "an allocation failed".to_owned(), log }
            }
            CrashKind::Refused => {
                Failure::Refused { reason: "the combination is not supported".to_owned(), log }
            }
            CrashKind::Invalid => Failure::Invalid { reason: "a logit is NaN".to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ContextSetting, LoadSetting, ProcessSetting, ThreadSetting};
    use std::path::Path;

    fn world(text: &str) -> World {
        World::parse(text, Path::new("world.toml")).unwrap()
    }

    fn quiet() -> Simulator {
        Simulator::new(world(include_str!("../../../tests/worlds/quiet-8c.toml")))
    }

    fn crashing() -> Simulator {
        Simulator::new(world(include_str!("../../../tests/worlds/crashing-variant.toml")))
    }

    fn job(threads: u32) -> Job {
        Job {
            model: PathBuf::from("m.gguf"),
            setting: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting::default(),
                context: ContextSetting::default(),
                threads: ThreadSetting::of(threads),
            },
            work: Work {
                prompt_tokens: 64,
                generate_tokens: 8,
                depth: 0,
                repetitions: 3,
                warmup: true,
                delay_ms: 0,
                seed: 0,
                parallel: 1,
            },
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn equal_worlds_answer_equally_and_other_seeds_otherwise() {
        let job = job(4);
        let run = quiet().run(&job, MINUTE).unwrap();
        assert_eq!(run, quiet().run(&job, MINUTE).unwrap());
        let world = quiet().world().clone();
        let other = Simulator::seeded(world, 99).run(&job, MINUTE).unwrap();
        assert_ne!(run.samples, other.samples);
        assert!(quiet().identity().unwrap().synthetic);
    }

    #[test]
    fn samples_are_whole_and_scatter_around_the_truth() {
        let mut simulator = quiet();
        let job = job(4);
        let truth = simulator.world().truth(&job.setting, &job.work).unwrap();
        let run = simulator.run(&job, MINUTE).unwrap();
        assert_eq!(run.samples.len(), 3);
        for sample in &run.samples {
            assert_eq!(sample.token_ns.len(), 8);
            assert_eq!(sample.token_ns.iter().sum::<u64>(), sample.decode_ns);
            let total = sample.total().as_secs_f64();
            assert!((total / truth.total_s() - 1.0).abs() < 0.05, "{total}");
            assert_ne!(sample.total().as_secs_f64().to_bits(), truth.total_s().to_bits());
        }
        assert_eq!(run.effective.process.isa_variant.as_deref(), Some("icelake"));
    }

    #[test]
    fn only_what_changed_is_made_anew_and_time_passes_for_it() {
        let mut simulator = quiet();
        let first = simulator.run(&job(4), MINUTE).unwrap().transition;
        assert_eq!(first.load_ns, Some(1_500_000_000));
        assert!(first.process_ns.is_some() && first.context_ns.is_some());
        let again = simulator.run(&job(8), MINUTE).unwrap().transition;
        assert_eq!(again, Transition::default());
        let mut other = job(8);
        other.setting.context.ubatch = 128;
        let third = simulator.run(&other, MINUTE).unwrap().transition;
        assert_eq!(third, Transition { context_ns: Some(50_000_000), ..Transition::default() });
        other.setting.process.isa_variant = Some("haswell".into());
        let before = simulator.clock().now();
        let fourth = simulator.run(&other, MINUTE).unwrap();
        assert!(fourth.transition.process_ns.is_some() && fourth.transition.load_ns.is_some());
        let passed = simulator.clock().now().saturating_sub(before);
        let timed: Duration = fourth.samples.iter().map(Sample::total).sum();
        assert!(passed > timed + Duration::from_millis(1750), "{passed:?}");
    }

    #[test]
    fn a_deadline_ends_a_job_at_its_very_moment_and_the_worker_with_it() {
        let mut simulator = quiet();
        let deadline = Duration::from_millis(1800);
        let failure = simulator.run(&job(1), deadline).unwrap_err();
        assert!(matches!(failure, Failure::TimedOut { deadline_ms: 1800, .. }), "{failure}");
        assert_eq!(simulator.clock().now(), deadline);
        assert!(simulator.run(&job(1), MINUTE).unwrap().transition.load_ns.is_some());
    }

    #[test]
    fn weather_is_repeated_by_the_seed_and_shows_in_samples() {
        let text = include_str!("../../../tests/worlds/quiet-8c.toml").replace(
            "[[variants]]\nname = \"icelake\"",
            "[noise.bursts]\nevery_s = 4.0\nlength_s = 4.0\nshare = 0.5\n\n\
             [[variants]]\nname = \"icelake\"",
        );
        let mut job = job(4);
        (job.work.prompt_tokens, job.work.repetitions) = (512, 40);
        let run = || Simulator::new(world(&text)).run(&job, 10 * MINUTE).unwrap();
        assert_eq!(run(), run());
        let truth = world(&text).truth(&job.setting, &job.work).unwrap();
        let slow = |sample: &&Sample| sample.total().as_secs_f64() > 1.5 * truth.total_s();
        let samples = run().samples;
        assert!((5..35).contains(&samples.iter().filter(slow).count()));
    }

    #[test]
    fn a_hang_takes_until_the_deadline() {
        let mut simulator = crashing();
        let mut hanging = job(4);
        hanging.setting.process.isa_variant = Some("skylakex".into());
        let failure = simulator.run(&hanging, MINUTE).unwrap_err();
        assert!(matches!(failure, Failure::TimedOut { deadline_ms: 60_000, .. }), "{failure}");
        assert_eq!(simulator.clock().now(), MINUTE);
    }

    #[test]
    fn after_a_crash_the_next_job_starts_a_new_worker() {
        let mut simulator = crashing();
        simulator.run(&job(4), MINUTE).unwrap();
        let mut deadly = job(4);
        deadly.setting.context.ubatch = 2048;
        let failure = simulator.run(&deadly, MINUTE).unwrap_err();
        assert!(matches!(failure, Failure::Crashed { signal: Some(11), .. }), "{failure}");
        assert!(simulator.run(&job(4), MINUTE).unwrap().transition.process_ns.is_some());
    }

    #[test]
    fn variants_come_best_score_first_with_their_verdict() {
        let reports = crashing().variants(&[]).unwrap();
        let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        assert_eq!(names, ["sapphirerapids", "icelake", "skylakex", "haswell", "zen4"]);
        let usable: Vec<bool> = reports.iter().map(VariantReport::usable).collect();
        assert_eq!(usable, [false, true, true, true, false]);
    }
}
