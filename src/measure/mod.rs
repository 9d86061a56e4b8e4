//! One visit: an ask goes to the engine with a deadline and comes back as a trial, checked, timed
//! from outside, and with the doubts that the machine's state during it raises.
//!
//! What to visit is left to `search`, keeping the trial to `sweep`.

mod deadline;
mod doubt;
mod sensors;
mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use autotune_engine::api::{
    BufferUse, Clock, Engine, Failure, Forecast, Job, Place, Resident, Run, Setting, Work,
};

use crate::model::{Calibration, DeviceMemory, Outcome, Purpose, Source, Trial};
pub use deadline::{Expectation, first_deadline};
pub use doubt::of_readings;
pub use sensors::{NoSensors, Reading, Sensors};

/// The doors that a visit goes through.
pub struct Bench<'a> {
    /// What runs the model.
    pub engine: &'a mut dyn Engine,
    /// What times the visit from outside.
    pub clock: &'a dyn Clock,
    /// What watches the machine meanwhile.
    pub sensors: &'a mut dyn Sensors,
    /// The GGUF file.
    pub model: &'a Path,
}

impl fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What a visit is for, and its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The journal's next number.
    pub id: u32,
    /// Why.
    pub purpose: Purpose,
    /// Round of interleaving.
    pub block: u32,
    /// How often the sweep had been started before.
    pub session: u32,
    /// The setting.
    pub setting: Setting,
    /// The work.
    pub work: Work,
    /// When it begins, RFC 3339 in UTC.
    pub started_at: String,
}

/// Runs one visit. Whatever happens to the engine is in the trial.
pub fn visit(bench: &mut Bench<'_>, visit: Visit, deadline: Duration) -> Trial {
    let foreseen = foreseen(bench, &visit.setting, &visit.work);
    bench.sensors.watch_cards();
    let (result, elapsed, mut caveats) = watched(bench, &visit.setting, &visit.work, deadline);
    let cards = bench.sensors.cards();
    caveats.extend(doubt::of_cards(&cards));
    let (effective, outcome, caveats) = match result {
        Ok(run) => {
            let (resident, forecast) = foreseen.unzip();
            let devices = forecast.map(|it| on_devices(&it, &run)).unwrap_or_default();
            caveats.extend(doubt::of_spills(&devices, &cards));
            let doubts = doubt::of_run(&visit.setting, &run).into_iter().chain(caveats).collect();
            let outcome = Outcome::measured(&run).beside(resident).with_devices(devices, cards);
            (Some(run.effective.clone()), outcome, doubts)
        }
        Err(failure) => (None, Outcome::Failed(failure), caveats),
    };
    trial(visit, elapsed, effective, outcome, caveats)
}

/// The trial of a visit that is not made, for a reason known beforehand.
#[must_use]
pub fn skipped(visit: Visit, reason: String) -> Trial {
    trial(visit, Duration::ZERO, None, Outcome::not_run(reason), Vec::new())
}

fn trial(
    visit: Visit,
    elapsed: Duration,
    effective: Option<Setting>,
    outcome: Outcome,
    caveats: Vec<String>,
) -> Trial {
    Trial {
        schema: Trial::SCHEMA.to_owned(),
        id: visit.id,
        purpose: visit.purpose,
        block: visit.block,
        session: visit.session,
        source: Source::Measured,
        started_at: visit.started_at,
        elapsed_ms: millis(elapsed),
        asked: visit.setting,
        effective,
        work: visit.work,
        outcome,
        caveats,
    }
}

/// The resident set that this work will leave: all that is allocated for the setting, and of the
/// scratch space what a context of only the work's length would have.
fn foreseen(bench: &mut Bench<'_>, setting: &Setting, work: &Work) -> Option<(Resident, Forecast)> {
    /// llama.cpp computes attention over multiples of this many tokens.
    const PADDING: u32 = 256;
    let whole = bench.engine.forecast(bench.model, setting).ok()?;
    let mut short = setting.clone();
    let context = &mut short.context;
    let tokens = work.depth.saturating_add(work.prompt_tokens).saturating_add(work.generate_tokens);
    // A share of the cache is a sequence's own, and padded as such.
    let tokens = tokens.next_multiple_of(PADDING).saturating_mul(context.sequences.max(1));
    context.context = tokens.min(context.context).max(1);
    let prompts = work.prompt_tokens.max(work.depth).saturating_mul(work.sequences());
    context.ubatch = context.ubatch.min(prompts.max(1));
    let short = bench.engine.forecast(bench.model, &short).ok()?;
    Some((whole.resident_after(&short), whole))
}

/// Each device that something was to lie on, with what the run's buffers on it came to.
fn on_devices(forecast: &Forecast, run: &Run) -> Vec<DeviceMemory> {
    let names: BTreeSet<&str> = forecast.devices().collect();
    let memory = |name: &str| {
        let own = |buffer: &&BufferUse| {
            let foreseen = forecast.buffers.iter().find(|other| other.name == buffer.name);
            foreseen.is_some_and(|other| matches!(&other.place, Place::Device(it) if it == name))
        };
        let sizes =
            |buffer: &BufferUse| buffer.model_bytes + buffer.context_bytes + buffer.compute_bytes;
        DeviceMemory {
            device: name.to_owned(),
            foreseen_bytes: forecast.device(name).total(),
            allocated_bytes: run.memory.buffers.iter().filter(own).map(sizes).sum(),
        }
    };
    names.into_iter().map(memory).collect()
}

/// Visits the baseline once, before there is a plan, to learn how fast this model is here.
pub fn calibrate(
    bench: &mut Bench<'_>,
    baseline: &Setting,
    work: &Work,
    deadline: Duration,
) -> Result<Calibration, Failure> {
    let (result, elapsed, _) = watched(bench, baseline, work, deadline);
    let run = result?;
    let rate = |tokens: u64, nanoseconds: u64| {
        let samples = tokens as f64 * run.samples.len() as f64;
        (tokens > 0 && nanoseconds > 0).then(|| samples / (nanoseconds as f64 / 1e9))
    };
    let transition = [run.transition.process_ns, run.transition.load_ns, run.transition.context_ns];
    Ok(Calibration {
        prefill_tok_per_s: rate(
            work.all_prompt_tokens(),
            run.samples.iter().map(|sample| sample.prefill_ns).sum(),
        ),
        decode_tok_per_s: rate(
            work.all_generated_tokens(),
            run.samples.iter().map(|sample| sample.decode_ns).sum(),
        ),
        transition_ms: transition.into_iter().flatten().sum::<u64>() / 1_000_000,
        elapsed_ms: millis(elapsed),
    })
}

/// Runs a job between two readings of the sensors and checks that the work was done.
fn watched(
    bench: &mut Bench<'_>,
    setting: &Setting,
    work: &Work,
    deadline: Duration,
) -> (Result<Run, Failure>, Duration, Vec<String>) {
    let job = Job { model: bench.model.to_owned(), setting: setting.clone(), work: work.clone() };
    let before = bench.sensors.read();
    let start = bench.clock.now();
    let result = bench.engine.run(&job, deadline).and_then(|run| verify::run(work, run));
    let elapsed = bench.clock.now().saturating_sub(start);
    let after = bench.sensors.read();
    (result, elapsed, doubt::of_readings(setting, before, after))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
