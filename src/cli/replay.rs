//! A run directory as an engine: the journal's measured trials become plain records. Public, so
//! that a comparison of searches runs on it as the verbs do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{Bytes, ModelFacts};
use autotune_engine::replay::{Measured, Record, Recording, Replay};

use super::{Exit, Stop};
use crate::knob;
use crate::model::{Axis, Machine, ModelCard, Outcome, Provenance, Source, Trial, Workload};
use crate::store::StoredRun;

/// The file of a run directory that a replay may be named by.
const JOURNAL: &str = "trials.jsonl";

/// The machine and the model that were recorded.
pub(super) struct Recorded {
    pub(super) machine: Machine,
    pub(super) model: ModelCard,
    pub(super) space: Space,
}

/// What was recorded: outside of it nothing can be asked.
pub(super) struct Space {
    pub(super) axes: Vec<Axis>,
    pub(super) workload: Workload,
}

impl Recorded {
    /// The model under the name that was typed; its own where none was.
    pub(super) fn model(&self, typed: &str) -> ModelCard {
        let path = if typed.is_empty() { self.model.path.clone() } else { PathBuf::from(typed) };
        ModelCard { path, ..self.model.clone() }
    }
}

/// The engine of a run directory, or of the journal in it.
pub(super) fn open(path: &Path) -> Result<(Replay, Recorded), Stop> {
    let journal = path.is_file() && path.file_name().is_some_and(|name| name == JOURNAL);
    let folder = if journal { path.parent().unwrap_or(path) } else { path };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let run = StoredRun::read(folder).map_err(|error| {
        let stop = Stop::from_error(Exit::Usage, &error);
        stop.hint("replay:DIR names a run directory, or its trials.jsonl beside machine.json and plan.json")
    })?;
    let seed = run.plan.seed;
    let Some(engine) = engine(&run, seed) else {
        return Err(Stop::usage(format!("nothing was measured in {}", folder.display())));
    };
    let (machine, plan) = (as_simulated(run.machine), run.plan);
    let space = Space { axes: plan.axes, workload: plan.workload };
    Ok((engine, Recorded { machine, model: plan.model, space }))
}

/// The machine of a replay: nothing on it is measured now.
#[must_use]
pub fn as_simulated(machine: Machine) -> Machine {
    Machine { provenance: Provenance::Simulated, ..machine }
}

/// What a run recorded, drawn by a seed; `None` where nothing ran.
#[must_use]
pub fn engine(run: &StoredRun, seed: u64) -> Option<Replay> {
    let records: Vec<Record> = run.trials.iter().filter_map(record).collect();
    let (plan, card) = (&run.plan, &run.plan.model);
    let recording = Recording {
        identity: plan.engine.clone(),
        variants: plan.variants.clone(),
        devices: run.machine.devices.clone().unwrap_or_default(),
        model: ModelFacts {
            description: card.name.clone().unwrap_or_else(|| card.architecture.clone()),
            size_bytes: Bytes(card.file_bytes.0),
            parameters: card.parameters,
            layers: card.layers,
        },
        records,
        canonical: knob::canonical,
    };
    let ran = recording.records.iter().any(|record| record.outcome.is_ok());
    ran.then(|| Replay::seeded(recording, seed))
}

/// A trial that was run then and there, or failed.
fn record(trial: &Trial) -> Option<Record> {
    if trial.source != Source::Measured {
        return None;
    }
    let outcome = match &trial.outcome {
        Outcome::NotRun(_) => return None,
        Outcome::Failed(failure) => Err(failure.clone()),
        Outcome::Measured(measured) => Ok(Measured {
            effective: trial.effective.clone()?,
            samples: measured.samples.clone(),
            memory: measured.memory.clone(),
            transition: measured.transition.clone(),
        }),
    };
    Some(Record {
        asked: trial.asked.clone(),
        work: trial.work.clone(),
        elapsed: Duration::from_millis(trial.elapsed_ms),
        outcome,
    })
}
