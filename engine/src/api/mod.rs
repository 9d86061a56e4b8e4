//! The nouns of an engine: what is asked ([`Setting`], [`Job`]), what comes back ([`Run`],
//! [`Failure`]), and the one trait that joins them ([`Engine`]).
//!
//! Plain data, no I/O beside reading a [`Clock`]. Meaning of times, choice of settings and repetition are left to callers.

mod clock;
mod device;
mod forecast;
mod identity;
mod job;
mod language;
mod layout;
mod profile;
mod rates;
mod setting;
mod units;

pub use clock::{Clock, SystemClock};
pub use device::{DeviceKind, DeviceReport};
pub use forecast::{BufferForecast, Forecast, Place, Resident, Rest, RestKind, Sum};
pub use identity::{Identity, Threading, VariantFault, VariantReport, VariantVerdict};
pub use job::{
    Answer, BufferUse, Failure, GraphUse, Job, MemoryUse, ModelFacts, Run, Sample, Transition, Work,
};
pub use language::{
    ChunkScore, Continuation, ContinueJob, ImportanceFile, ImportanceJob, ImportanceUse, Language,
    QuantizeJob, Quantized, Reference, RoundingJob, ScoreJob, Scores, Speaker, TensorRounding,
    Token, Tokenized,
};
pub use layout::{
    Devices, MOST_DEVICES, MOST_NODES, MOST_OVERRIDES, MemoryPolicy, TensorOverride, TensorSplit,
};
pub use profile::{
    Count, Event, FunctionUse, GraphTimes, KernelUse, Observed, Part, PhaseUse, Piece, ProfileJob,
    Stretch, TextTimes, UnknownEvent, Watch,
};
pub use rates::DeviceRates;
pub use setting::{
    ContextSetting, CpuMask, FlashAttention, GpuLayers, HugePages, KvType, LoadMode, LoadSetting,
    Numa, ParseSettingError, Placement, Priority, ProcessSetting, Setting, SplitMode,
    ThreadSetting, Toggle,
};
pub use units::{Bytes, TokenRate, Tokens};

use std::path::Path;
use std::time::Duration;

/// Something that runs a GGUF model under a setting and says how long it took.
///
/// llama.cpp in a child process and the simulator both implement it; callers cannot tell them
/// apart but by [`Identity::synthetic`].
pub trait Engine {
    /// Who answers: versions, thread pool, whether the times are made up.
    fn identity(&mut self) -> Result<Identity, Failure>;

    /// Every build variant of the CPU code that ships with the engine, best first, each after a
    /// self-test that multiplies small matrices of the given ggml weight types (`"Q4_K"`,
    /// `"F16"`, …) in a process of its own.
    ///
    /// The self-test exists because the score of a variant cannot be trusted: some
    /// die of SIGILL on processors that announce all they need.
    fn variants(&mut self, weight_types: &[String]) -> Result<Vec<VariantReport>, Failure>;

    /// What the backends that load on this machine can compute on. Asking starts the drivers of
    /// graphics cards, which takes a moment.
    fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        Err(Failure::refused("this engine does not list its devices"))
    }

    /// The same with the devices of those RPC servers, each of which is asked and let go again.
    fn devices_with(&mut self, servers: &[String]) -> Result<Vec<DeviceReport>, Failure> {
        if servers.is_empty() {
            return self.devices();
        }
        Err(Failure::refused("this engine has no RPC servers"))
    }

    /// Does the job, reusing what is loaded as far as the setting allows. Ends after `deadline`
    /// at the latest with [`Failure::TimedOut`].
    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure>;

    /// Does the job under observation. What cannot be observed is said in the answer.
    fn profile(&mut self, job: &ProfileJob, deadline: Duration) -> Result<Observed, Failure> {
        let _ = (job, deadline);
        Err(Failure::refused("this engine has nothing to observe"))
    }

    /// Ends what is kept loaded, so that the next job starts a new process. An engine without
    /// processes has nothing to do.
    fn renew(&mut self) {}

    /// What the model needs of each memory under the setting; nothing is allocated for it, and
    /// nothing runs.
    fn forecast(&mut self, model: &Path, setting: &Setting) -> Result<Forecast, Failure> {
        let _ = (model, setting);
        Err(Failure::refused("this engine foresees no memory"))
    }

    /// The forecasts of several settings at once, one entry each, for who wants to know what is
    /// reserved: [`BufferForecast::touched_bytes`] may be all of it. An error of the whole is
    /// one of the engine or the model, not of a setting.
    fn reservations(
        &mut self,
        model: &Path,
        settings: &[Setting],
    ) -> Result<Vec<Result<Forecast, Failure>>, Failure> {
        Ok(settings.iter().map(|setting| self.forecast(model, setting)).collect())
    }
}
