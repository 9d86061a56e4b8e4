//! Where the time of a model goes and what bounds it: a pure function from what was observed to the
//! model's part of a profile.
//!
//! Observing is left to the engine, peaks to `detect`, words for people to `render`.

mod compare;
mod components;
mod latency;
mod metrics;
mod perf_stat;
mod phases;
mod roofline;
mod sampling;
#[cfg(test)]
mod tests;
mod verdict;

use autotune_engine::api::{GraphTimes, Observed, Setting, Stretch, Work};

use crate::model::{CardUse, Ceilings, ModelCard, ModelProfile};

pub use compare::{ComparedFigure, Comparison, Shown, compare};
pub use metrics::metrics;
pub use perf_stat::{PerfStatError, perf_stat};

/// All that is known when a model's profile is judged.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The model.
    pub card: &'a ModelCard,
    /// Whether most of its weights are smaller than 16 bits, so that kernels multiply integers.
    pub quantized: bool,
    /// The work that was observed.
    pub work: &'a Work,
    /// The work as it is.
    pub program: &'a Observed,
    /// The graphs of the work, taken to pieces; `None` where that failed.
    pub graphs: Option<&'a Observed>,
    /// Samples per second and thread that were asked for.
    pub sample_hz: u32,
    /// Peaks of the machine; `None` where none were measured.
    pub ceilings: Option<&'a Ceilings>,
    /// Processors that may be used, threads of one core counted once; `None` where nobody tells.
    pub cores: Option<u32>,
    /// Bytes of the last level of caches, all of them.
    pub cache_bytes: Option<u64>,
    /// Bytes per second of the way to the graphics card.
    pub link_bytes_per_s: Option<f64>,
    /// Graphics cards meanwhile.
    pub cards: &'a [CardUse],
}

impl Evidence<'_> {
    /// The setting as it ran.
    fn setting(&self) -> &Setting {
        &self.program.run.effective
    }

    /// The graph of a stretch, taken to pieces.
    fn graph(&self, stretch: Stretch) -> Option<&GraphTimes> {
        self.graphs?.graphs.iter().find(|graph| graph.stretch == stretch)
    }
}

/// The model's part of a profile.
#[must_use]
pub fn profile(evidence: &Evidence<'_>) -> ModelProfile {
    let phases = phases::phases(evidence);
    let components = components::tables(evidence);
    let rooflines = roofline::rooflines(evidence, &phases);
    let run = &evidence.program.run;
    let functions = sampling::functions(&evidence.program.functions);
    ModelProfile {
        model: evidence.card.path.display().to_string(),
        description: run.model.description.clone(),
        weight_bytes: run.model.size_bytes,
        synthetic: evidence.card.synthetic,
        setting: run.effective.clone(),
        work: Work {
            repetitions: u32::try_from(run.samples.len()).unwrap_or(u32::MAX),
            ..evidence.work.clone()
        },
        bottlenecks: verdict::bottlenecks(evidence, &phases, &components, &rooflines, &functions),
        latency: latency::latency(evidence),
        phases,
        components,
        rooflines,
        sampling: sampling::sampling(evidence, &functions),
        functions,
        cache_misses: sampling::functions(&evidence.program.cache_misses),
        memory: run.memory.clone(),
        cards: evidence.cards.to_vec(),
        unseen: evidence.program.unseen.clone(),
    }
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
