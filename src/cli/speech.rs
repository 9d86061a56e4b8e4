//! What the verbs about quality and quantization share: the worker, the machine's defaults, texts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use autotune_engine::api::{Bytes, Engine, Failure, Identity, SystemClock, Tokenized};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};

use super::{Exit, Stop, interrupt, model};
use crate::appraise::{
    AppraiseError, BUILTIN_CALIBRATION, BUILTIN_EVALUATION, Basis, Fit, TextError, read_text,
};
use crate::quantize::QuantizeError;
use crate::{detect, model::Machine, plan};

/// The word for the text within.
pub(super) const BUILTIN: &str = "builtin";

/// An engine that speaks, and what stands around it.
pub(super) struct Speaking {
    pub(super) engine: WorkerEngine,
    pub(super) identity: Identity,
    pub(super) machine: Machine,
    pub(super) clock: SystemClock,
    pub(super) interrupted: Arc<AtomicBool>,
}

/// Starts nothing yet but what tells versions.
pub(super) fn open() -> Result<Speaking, Stop> {
    let program = std::env::current_exe().map_err(|error| {
        Stop::from_error(Exit::Failure, &error).hint("the worker is this program again")
    })?;
    let mut engine = WorkerEngine::new(&program, WorkerOptions::default());
    let interrupted = interrupt::flag([engine.canceller()])?;
    let identity =
        engine.identity().map_err(|failure| Stop::from_error(Exit::Failure, &failure))?;
    let machine = detect::machine(&detect::live());
    Ok(Speaking { engine, identity, machine, clock: SystemClock::start(), interrupted })
}

impl Speaking {
    /// What stopped a verb: the user, where a job failed because it was cancelled.
    pub(super) fn interrupted_or(&self, stop: Stop) -> Stop {
        if self.interrupted.load(std::sync::atomic::Ordering::Relaxed) {
            return Stop::interrupted("interrupted; what was finished stays");
        }
        stop
    }

    /// The CPU variant that computes for all of these, unless another was asked for.
    pub(super) fn variant<'a>(
        &mut self,
        asked: Option<&str>,
        models: impl IntoIterator<Item = &'a Path>,
    ) -> Result<String, Stop> {
        if let Some(asked) = asked {
            return Ok(asked.to_owned());
        }
        let models: Vec<&Path> = models.into_iter().collect();
        let found = self.engine.best_variant_for(&models);
        found.map_err(|failure| Stop::from_error(Exit::NothingMeasured, &failure))
    }

    /// Free memory of the machine and of its cards together; `None` where nobody knows.
    pub(super) fn all_memory(&self) -> Option<Bytes> {
        let room = plan::room(&self.machine);
        let cards: u64 = room.devices.iter().map(|device| device.free_bytes.0).sum();
        room.memory_bytes.map(|memory| Bytes(memory.0.saturating_add(cards)))
    }

    /// The memory there is for models, and a folder on a disk for what it does not hold. Where there
    /// are cards, models are taken to lie on them.
    pub(super) fn fit(&self, basis: Basis) -> Result<Fit, Stop> {
        let folder = model::cache_folder()?.join("scores");
        std::fs::create_dir_all(&folder)
            .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
        let room = plan::room(&self.machine);
        let cards: u64 = room.devices.iter().map(|device| device.free_bytes.0).sum();
        let memory = room.memory_bytes.map(|bytes| bytes.0);
        let free_bytes = if cards > 0 { memory.map(|free| free.min(cards)) } else { memory };
        Ok(Fit { basis, free_bytes, folder })
    }

    /// As many threads as there are physical cores, unless others were asked for.
    pub(super) fn threads(&self, asked: Option<u32>) -> u32 {
        let usable = self.machine.limits.usable_threads.unwrap_or(u32::MAX);
        asked.unwrap_or_else(|| self.machine.fast_cores().unwrap_or(1).min(usable)).max(1)
    }
}

/// Which of the two texts within is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Evaluation,
    Calibration,
}

/// The text of a file, or the one within.
pub(super) fn text(typed: &str, purpose: Purpose) -> Result<String, Stop> {
    match (typed, purpose) {
        (BUILTIN, Purpose::Evaluation) => Ok(BUILTIN_EVALUATION.trim_end().to_owned()),
        (BUILTIN, Purpose::Calibration) => Ok(BUILTIN_CALIBRATION.trim_end().to_owned()),
        (path, _) => read_text(Path::new(path)).map_err(|error| text_stop(&error)),
    }
}

/// What a text's mistake means for the exit code.
pub(super) fn text_stop(error: &TextError) -> Stop {
    let stop = Stop::from_error(Exit::Usage, error);
    match error {
        TextError::TooShort { .. } => {
            stop.hint("take a longer text, shorter chunks (--chunk-tokens), or --text builtin")
        }
        TextError::OtherTokenizer { .. } => {
            stop.hint("only models with one vocabulary can be compared token by token")
        }
        TextError::Model { cause, .. } => Stop { exit: exit(cause), ..stop },
        _ => stop,
    }
}

/// Tokens that a tokenized text has for a context of so many.
pub(super) fn warn_of_context(text: &Tokenized, chunk: u32) -> Option<String> {
    let trained = text.trained_context;
    (trained > 0 && chunk > trained).then(|| {
        format!("chunks of {chunk} tokens are longer than the model was trained with ({trained})")
    })
}

/// What an engine's failure means for the exit code.
pub(super) fn exit(failure: &Failure) -> Exit {
    match failure {
        Failure::Refused { .. } => Exit::Usage,
        _ => Exit::NothingMeasured,
    }
}

/// What ends an appraisal, with what helps.
pub(super) fn appraise_stop(error: &AppraiseError) -> Stop {
    match error {
        AppraiseError::Interrupted => Stop::interrupted(error.to_string()),
        AppraiseError::Engine { cause, .. } => {
            let stop = Stop::from_error(exit(cause), error);
            match cause {
                Failure::OutOfMemory { .. } => {
                    stop.hint("--basis stored keeps one model in memory at a time")
                }
                Failure::Invalid { .. } => {
                    stop.hint("the file's weights are damaged, or its numbers overflow")
                }
                _ => stop,
            }
        }
        AppraiseError::Scores { .. } => Stop::from_error(Exit::NothingMeasured, error),
    }
}

/// What keeps a quantization from being made, with what helps.
pub(super) fn quantize_stop(error: &QuantizeError) -> Stop {
    let stop = |exit| Stop::from_error(exit, error);
    match error {
        QuantizeError::UnknownType(_) => {
            let known: Vec<&str> = crate::synth::FILE_TYPES.iter().map(|kind| kind.name).collect();
            stop(Exit::Usage).hint(format!("known types: {}", known.join(", ")))
        }
        QuantizeError::Quantized { .. } => stop(Exit::Usage)
            .hint("start from the F16, BF16 or F32 file; --requantize takes this one, at a loss"),
        QuantizeError::NeedsImportance { .. } => stop(Exit::Usage)
            .hint("--imatrix FILE, or --imatrix make --text FILE to make one first"),
        QuantizeError::Exists(_) => stop(Exit::Usage).hint("--force replaces it"),
        QuantizeError::NoSpace { .. } => stop(Exit::Failure).hint("free some, or take another -o"),
        QuantizeError::Write { .. }
        | QuantizeError::Unreadable { .. }
        | QuantizeError::Unplanned { .. } => stop(Exit::Failure),
        QuantizeError::OtherImportance { .. }
        | QuantizeError::Read(_)
        | QuantizeError::Target(_)
        | QuantizeError::Mix(_) => stop(Exit::Usage),
        QuantizeError::Engine { cause, .. } => stop(match cause {
            Failure::Refused { .. } => Exit::Failure,
            other => exit(other),
        }),
        QuantizeError::Appraise(cause) => appraise_stop(cause),
        QuantizeError::Interrupted => Stop::interrupted(error.to_string()),
    }
}
