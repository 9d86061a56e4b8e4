//! What can be varied: one file per knob, and the list of them.
//!
//! A knob knows its name, what a change of it costs, which part of a turn it acts on, which levels
//! make sense on a given ground, where it sits in a [`Setting`], and how llama.cpp's tools spell
//! it. Help, plan tables, reports and exports are made from [`ALL`]. Which combinations are tried
//! is left to `search`.

mod batch;
mod context;
mod cpu_experts;
mod devices;
mod flash_attention;
mod gpu_layers;
mod graph_reuse;
mod huge_pages;
mod isa_variant;
mod kv_offload;
mod kv_unified;
mod load_mode;
mod main_gpu;
mod malloc_arenas;
mod memory_policy;
mod nice;
mod no_host;
mod numa;
mod op_offload;
mod overrides;
mod placement;
mod poll;
mod priority;
mod repack;
mod sequences;
mod space;
mod split_mode;
mod strict;
mod swa_full;
mod tensor_split;
mod terrain;
mod thread_levels;
mod threads;
mod threads_batch;
mod tiled_products;
mod type_k;
mod type_v;
mod ubatch;

use autotune_engine::api::{Setting, Threading, VariantReport};
use thiserror::Error;

use crate::model::{Level, ModelCard, Rejected, Scope};

pub use context::ContextKnob;
pub use isa_variant::IsaVariantKnob;
pub use placement::PlacementKnob;
pub use space::{Space, apply, at_least_as_large, canonical, changed, plain, put, space};
pub use terrain::Terrain;
pub use threads::ThreadsKnob;

/// Every knob, in the order of help, commands and reports.
pub const ALL: &[&dyn Knob] = &[
    &threads::ThreadsKnob,
    &threads_batch::ThreadsBatchKnob,
    &context::ContextKnob,
    &batch::BatchKnob,
    &ubatch::UbatchKnob,
    &flash_attention::FlashAttentionKnob,
    &gpu_layers::GpuLayersKnob,
    &type_k::TypeKKnob,
    &type_v::TypeVKnob,
    &placement::PlacementKnob,
    &strict::StrictKnob,
    &poll::PollKnob,
    &priority::PriorityKnob,
    &numa::NumaKnob,
    &load_mode::LoadModeKnob,
    &repack::RepackKnob,
    &kv_offload::KvOffloadKnob,
    &op_offload::OpOffloadKnob,
    &sequences::SequencesKnob,
    &kv_unified::KvUnifiedKnob,
    &swa_full::SwaFullKnob,
    &cpu_experts::CpuExpertsKnob,
    &overrides::OverridesKnob,
    &split_mode::SplitModeKnob,
    &tensor_split::TensorSplitKnob,
    &main_gpu::MainGpuKnob,
    &devices::DevicesKnob,
    &no_host::NoHostKnob,
    &isa_variant::IsaVariantKnob,
    &memory_policy::MemoryPolicyKnob,
    &huge_pages::HugePagesKnob,
    &malloc_arenas::MallocArenasKnob,
    &tiled_products::TiledProductsKnob,
    &graph_reuse::GraphReuseKnob,
    &nice::NiceKnob,
];

/// The knobs that a sweep turns unless it is told which: those that pay off most often, few
/// enough for a quarter of an hour.
#[must_use]
pub fn usual() -> Vec<&'static dyn Knob> {
    ALL.iter().copied().filter(|knob| knob.usual()).collect()
}

/// Something that can be varied about a run.
pub trait Knob: Sync + std::fmt::Debug {
    /// Its name in flags and documents.
    fn name(&self) -> &'static str;

    /// What it is, one line.
    fn summary(&self) -> &'static str;

    /// What it does to speed and why, a short paragraph.
    fn explanation(&self) -> &'static str;

    /// What a change of it costs.
    fn scope(&self) -> Scope;

    /// Which part of a turn it can change.
    fn acts_on(&self) -> ActsOn;

    /// Whether a sweep turns it unless it is told which knobs to turn.
    fn usual(&self) -> bool {
        false
    }

    /// Whether answers of the model may change with it by more than rounding. Such a knob is
    /// turned only when it is named.
    fn changes_output(&self) -> bool {
        false
    }

    /// The levels worth trying on this ground, in order, the baseline's among them; fewer than
    /// two where the knob does nothing here, and then a rejection without a level says why.
    fn offer(&self, ground: &Ground<'_>) -> Offer;

    /// Its level in a setting.
    fn read(&self, setting: &Setting) -> Level;

    /// Puts a level into a setting.
    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel>;

    /// The arguments that give one of these programs this level; empty where it has none for it.
    /// For Ollama a parameter of a Modelfile and its value, or a variable in one word.
    fn spell(&self, tool: Tool, level: &Level) -> Vec<String>;
}

/// Which part of a turn a knob can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActsOn {
    /// Only the processing of prompts.
    Prefill,
    /// Only generation.
    Decode,
    /// Both.
    Both,
}

/// A program that runs llama.cpp under settings from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The HTTP server.
    LlamaServer,
    /// The chat in a terminal.
    LlamaCli,
    /// The benchmark, which has one thread count for both parts of a turn.
    LlamaBench,
    /// Ollama, which runs llama.cpp under parameters of its own.
    Ollama,
}

/// What the levels of a knob depend on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Physical cores that llama.cpp would count (performance cores on a hybrid processor).
    pub physical_cores: u32,
    /// Threads of the machine that are online.
    pub online_threads: u32,
    /// Threads this process may use at once, under its CPU set and quota.
    pub usable_threads: u32,
    /// CPU variants of the engine after their self-test, best first.
    pub variants: &'a [VariantReport],
    /// Prompt tokens of one visit.
    pub prompt_slice: u32,
    /// What llama-server would run here.
    pub baseline: &'a Setting,
    /// The model.
    pub model: &'a ModelCard,
    /// The thread pool of the engine.
    pub threading: Threading,
    /// How the machine is made.
    pub terrain: &'a Terrain,
    /// Whether tokens per second of all sequences count, not the time of one turn.
    pub throughput: bool,
}

/// The levels of a knob and those left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Levels in order.
    pub levels: Vec<Level>,
    /// What was left out, and why.
    pub rejected: Vec<Rejected>,
}

impl Offer {
    /// The baseline's level alone, and why.
    fn nothing(knob: &dyn Knob, ground: &Ground<'_>, reason: impl Into<String>) -> Self {
        let mut offer = Self { levels: vec![knob.read(ground.baseline)], ..Self::default() };
        offer.reject(knob, None, reason);
        offer
    }

    /// These levels, each once, and the baseline's.
    fn of(knob: &dyn Knob, ground: &Ground<'_>, levels: impl IntoIterator<Item = Level>) -> Self {
        let mut offer = Self::default();
        for level in levels {
            if !offer.levels.contains(&level) {
                offer.levels.push(level);
            }
        }
        offer.with_own(knob, ground)
    }

    /// The baseline's level is always tried: it is what the others are compared with.
    fn with_own(mut self, knob: &dyn Knob, ground: &Ground<'_>) -> Self {
        let own = knob.read(ground.baseline);
        self.rejected.retain(|rejected| rejected.level.as_ref() != Some(&own));
        if !self.levels.contains(&own) {
            self.levels.insert(0, own);
        }
        self
    }

    /// With fewer than two levels there is nothing to choose, for this reason.
    fn alone(mut self, knob: &dyn Knob, reason: &str) -> Self {
        if self.levels.len() < 2 {
            self.reject(knob, None, reason);
        }
        self
    }

    /// Adds one level that is left out, or the whole knob.
    fn reject(&mut self, knob: &dyn Knob, level: Option<Level>, reason: impl Into<String>) {
        self.rejected.push(Rejected { knob: knob.name().to_owned(), level, reason: reason.into() });
    }
}

/// A name that no knob has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no knob `{name}`; knobs are {}", names().join(", "))]
pub struct UnknownKnob {
    /// What was written.
    pub name: String,
}

/// A level that a knob cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{level}` is not a level of `{knob}`, which takes {wanted}")]
pub struct WrongLevel {
    /// The knob.
    pub knob: &'static str,
    /// What was written.
    pub level: String,
    /// What would have been understood.
    pub wanted: &'static str,
}

/// The names of all knobs, in order.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|knob| knob.name()).collect()
}

/// The knob of that name; `-` and `_` are the same.
pub fn named(name: &str) -> Result<&'static dyn Knob, UnknownKnob> {
    let plain = name.trim().replace('-', "_");
    ALL.iter()
        .copied()
        .find(|knob| knob.name() == plain)
        .ok_or_else(|| UnknownKnob { name: name.to_owned() })
}

/// A count of at least one, for knobs that take one.
fn count(knob: &'static str, level: &Level) -> Result<u32, WrongLevel> {
    match level {
        Level::Count(count) if *count > 0 => Ok(*count),
        other => {
            Err(WrongLevel { knob, level: other.to_string(), wanted: "a count of at least 1" })
        }
    }
}

/// A count that may be 0.
fn number(knob: &'static str, level: &Level) -> Result<u32, WrongLevel> {
    match level {
        Level::Count(count) => Ok(*count),
        Level::Word(word) => {
            Err(WrongLevel { knob, level: word.clone(), wanted: "a number from 0 up" })
        }
    }
}

/// A level that is a word.
fn word(value: impl std::fmt::Display) -> Level {
    Level::Word(value.to_string())
}

/// A level that is one of an enum's words.
fn parsed<T: std::str::FromStr>(
    knob: &'static str,
    level: &Level,
    wanted: &'static str,
) -> Result<T, WrongLevel> {
    let text = level.to_string();
    text.parse().map_err(|_| WrongLevel { knob, level: text, wanted })
}

/// A flag and its value.
fn flag(name: &str, level: &Level) -> Vec<String> {
    vec![name.to_owned(), level.to_string()]
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use autotune_engine::api::{
        Bytes, ContextSetting, LoadSetting, ProcessSetting, ThreadSetting, VariantFault,
        VariantVerdict,
    };

    use super::*;

    /// A machine with 4 cores of 2 threads and three variants, the best of which dies.
    pub(crate) fn setting() -> Setting {
        Setting {
            process: ProcessSetting { isa_variant: Some("icelake".into()), ..Default::default() },
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(4),
        }
    }

    pub(crate) fn variants() -> Vec<VariantReport> {
        let report =
            |name: &str, score, verdict| VariantReport { name: name.into(), score, verdict };
        vec![
            report(
                "sapphirerapids",
                700,
                VariantVerdict::Failed {
                    fault: VariantFault::Crashed,
                    reason: "SIGILL in the self-test".into(),
                },
            ),
            report("icelake", 500, VariantVerdict::Usable),
            report("haswell", 60, VariantVerdict::Usable),
            report("zen4", 0, VariantVerdict::Unsupported),
        ]
    }

    pub(crate) fn ground<'a>(baseline: &'a Setting, variants: &'a [VariantReport]) -> Ground<'a> {
        Ground {
            physical_cores: 4,
            online_threads: 8,
            usable_threads: 8,
            variants,
            prompt_slice: 512,
            baseline,
            model: &CARD,
            threading: Threading::Ggml,
            terrain: &TERRAIN,
            throughput: false,
        }
    }

    static CARD: LazyLock<ModelCard> = LazyLock::new(card);
    static TERRAIN: LazyLock<Terrain> = LazyLock::new(Terrain::default);

    /// A dense model of 16 layers whose weights are of no type that is known.
    pub(crate) fn card() -> ModelCard {
        ModelCard {
            path: "m.gguf".into(),
            name: None,
            architecture: "llama".into(),
            file_bytes: Bytes(800 << 20),
            digest: String::new(),
            synthetic: true,
            parameters: 1_000_000_000,
            layers: 16,
            embedding: 2048,
            heads: 32,
            kv_heads: 8,
            key_length: 64,
            value_length: 64,
            feed_forward: 8192,
            experts: 0,
            experts_used: 0,
            vocabulary: 128_256,
            trained_context: 131_072,
            sliding_window: None,
            types: Vec::new(),
            bytes_per_token: Bytes(800 << 20),
        }
    }

    #[test]
    fn an_unknown_knob_is_answered_with_the_list() {
        let error = named("thread").err().unwrap().to_string();
        assert!(error.contains("`thread`") && error.contains("threads_batch"), "{error}");
        assert_eq!(named("flash-attention").unwrap().name(), "flash_attention");
    }

    #[test]
    fn every_knob_reads_what_it_wrote_and_offers_its_baseline() {
        let (baseline, variants) = (setting(), variants());
        let ground = ground(&baseline, &variants);
        for knob in ALL {
            let offer = knob.offer(&ground);
            let reason = offer.rejected.iter().any(|rejected| rejected.level.is_none());
            assert_eq!(offer.levels.len() < 2, reason, "{}", knob.name());
            assert!(!knob.usual() || !knob.changes_output(), "{}", knob.name());
            assert!(offer.levels.contains(&knob.read(&baseline)), "{}", knob.name());
            for level in &offer.levels {
                let mut changed = baseline.clone();
                knob.write(&mut changed, level).unwrap();
                assert_eq!(&knob.read(&changed), level, "{}", knob.name());
            }
            let strange = Level::Word("no such level\n".into());
            assert!(
                knob.write(&mut setting(), &strange).is_err() || knob.name() == "isa_variant",
                "{}",
                knob.name()
            );
        }
    }

    #[test]
    fn every_knob_is_documented() {
        for knob in ALL {
            assert!(knob.summary().len() > 10 && !knob.summary().contains('\n'));
            assert!(knob.explanation().len() > knob.summary().len());
        }
    }
}
