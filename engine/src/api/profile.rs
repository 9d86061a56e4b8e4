//! What can be seen of a job besides its times: events counted by processor and kernel, the functions
//! that ran, and the parts of the model that the time went to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Job, Run};

/// A job, and what to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileJob {
    /// The work. Its repetitions are run under observation.
    pub job: Job,
    /// What to look at.
    pub watch: Watch,
}

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Times, counters and functions: the work as it is, every other repetition sampled.
    Program {
        /// Samples per second and thread; 0: none are taken.
        sample_hz: u32,
        /// After so many milliseconds no further four repetitions begin.
        enough_ms: u64,
    },
    /// The parts of the computation graph, in a context of its own whose computation is taken to
    /// pieces.
    Graph {
        /// Whether every operation is timed for itself, which costs more and shows more.
        detail: bool,
    },
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The work as any other job reports it; its samples are in the order of the repetitions.
    pub run: Run,
    /// One entry per phase that took place.
    pub phases: Vec<PhaseUse>,
    /// Functions that samples fell into.
    pub functions: Vec<FunctionUse>,
    /// Functions whose loads the last cache did not have; empty where nothing counts that.
    #[serde(default)]
    pub cache_misses: Vec<FunctionUse>,
    /// What a sample stands for; `None` where none were taken.
    pub sampled_event: Option<String>,
    /// Samples that the kernel threw away because nobody fetched them in time.
    pub lost_samples: u64,
    /// Computation graphs, taken to pieces.
    pub graphs: Vec<GraphTimes>,
    /// Turning text into tokens and back, and choosing tokens.
    pub text: Option<TextTimes>,
    /// What could not be seen, and why: one sentence each.
    pub unseen: Vec<String>,
}

impl Observed {
    /// A run of which nothing else was seen.
    #[must_use]
    pub fn nothing_of(run: Run) -> Self {
        Self {
            run,
            phases: Vec::new(),
            functions: Vec::new(),
            cache_misses: Vec::new(),
            sampled_event: None,
            lost_samples: 0,
            graphs: Vec::new(),
            text: None,
            unseen: Vec::new(),
        }
    }
}

/// A part of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stretch {
    /// Reading the model and making a context.
    Load,
    /// Processing prompts.
    Prefill,
    /// Generating tokens.
    Decode,
}

impl Stretch {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
        }
    }
}

/// What the process did in one stretch of one repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseUse {
    /// Which.
    pub stretch: Stretch,
    /// Of which repetition, from 0; that of the load is 0.
    pub repetition: u32,
    /// Whether samples were taken meanwhile.
    pub sampled: bool,
    /// Tokens of all sequences; 0 in the load.
    pub tokens: u64,
    /// Nanoseconds on the wall.
    pub elapsed_ns: u64,
    /// Nanoseconds of processor time of all threads.
    pub cpu_ns: u64,
    /// What the kernel keeps of the process anyway.
    pub kernel: KernelUse,
    /// Counted events.
    pub counts: Vec<Count>,
}

/// What the kernel keeps of every process. `None` where this system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelUse {
    /// Pages that were mapped without reading a disk.
    pub minor_faults: Option<u64>,
    /// Pages that a disk was read for.
    pub major_faults: Option<u64>,
    /// Times that threads gave the processor up, of the threads that still are.
    pub voluntary_switches: Option<u64>,
    /// Times that threads lost the processor to others, of the threads that still are.
    pub involuntary_switches: Option<u64>,
    /// Bytes fetched from storage.
    pub read_bytes: Option<u64>,
}

impl KernelUse {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let difference = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self {
            minor_faults: difference(self.minor_faults, earlier.minor_faults),
            major_faults: difference(self.major_faults, earlier.major_faults),
            voluntary_switches: difference(self.voluntary_switches, earlier.voluntary_switches),
            involuntary_switches: difference(
                self.involuntary_switches,
                earlier.involuntary_switches,
            ),
            read_bytes: difference(self.read_bytes, earlier.read_bytes),
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A countable event, by the name that `perf` has for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Event {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name that `perf` has for it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

events! {
    /// Core cycles.
    Cycles = "cycles",
    /// Retired instructions.
    Instructions = "instructions",
    /// Retired branches.
    Branches = "branches",
    /// Branches that were predicted wrongly.
    BranchMisses = "branch-misses",
    /// Loads that looked into the first data cache.
    L1dLoads = "L1-dcache-loads",
    /// Loads that the first data cache did not have.
    L1dLoadMisses = "L1-dcache-load-misses",
    /// Loads that looked into the last cache.
    LlcLoads = "LLC-loads",
    /// Loads that the last cache did not have.
    LlcLoadMisses = "LLC-load-misses",
    /// Loads that asked for an address translation.
    DtlbLoads = "dTLB-loads",
    /// Loads whose translation had to be looked up.
    DtlbLoadMisses = "dTLB-load-misses",
    /// Lookups of the last cache of any kind.
    CacheReferences = "cache-references",
    /// Those that it did not have.
    CacheMisses = "cache-misses",
    /// Cycles without an instruction to begin.
    StalledFrontend = "stalled-cycles-frontend",
    /// Cycles without an instruction that could end.
    StalledBackend = "stalled-cycles-backend",
    /// Nanoseconds on processors.
    TaskClock = "task-clock",
    /// Switches from one thread to another.
    ContextSwitches = "context-switches",
    /// Threads that went on on another processor.
    Migrations = "cpu-migrations",
    /// Pages that were not mapped.
    PageFaults = "page-faults",
    /// Of those the ones that a disk was read for.
    MajorFaults = "major-faults",
    /// Bytes that memory controllers read, for the whole machine.
    MemoryReads = "memory-read-bytes",
    /// Bytes that memory controllers wrote, for the whole machine.
    MemoryWrites = "memory-write-bytes",
    /// Energy of the processor packages, for the whole machine, in microjoules.
    PackageEnergy = "energy-pkg-microjoules",
    /// Energy of the memory, for the whole machine, in microjoules.
    MemoryEnergy = "energy-ram-microjoules",
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A name that is none of those events.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not one of the events that are understood")]
pub struct UnknownEvent(String);

impl FromStr for Event {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|event| event.word() == text);
        found.ok_or_else(|| UnknownEvent(text.to_owned()))
    }
}

/// How often an event came to pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Which.
    pub event: Event,
    /// The unit that counted, where there are several (`cpu_core`, `cpu_atom`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What the counter showed.
    pub value: u64,
    /// Nanoseconds that it was to count.
    pub enabled_ns: u64,
    /// Nanoseconds that it did: less where more events were asked for than the unit has counters.
    pub running_ns: u64,
}

impl Count {
    /// The count for the whole time, as if it had gone on at the same rate; `None` where nothing
    /// was counted at all. Saturates far above any real count.
    #[must_use]
    pub fn scaled(&self) -> Option<u64> {
        if self.running_ns == 0 {
            return (self.enabled_ns == 0 && self.value > 0).then_some(self.value);
        }
        if self.running_ns >= self.enabled_ns {
            return Some(self.value);
        }
        let whole = u128::from(self.value) * u128::from(self.enabled_ns);
        Some(u64::try_from(whole / u128::from(self.running_ns)).unwrap_or(u64::MAX))
    }

    /// Share of the time that was counted, 0 to 1; `None` where it was to count nothing.
    #[must_use]
    pub fn counted_share(&self) -> Option<f64> {
        (self.enabled_ns > 0)
            .then(|| (self.running_ns as f64 / self.enabled_ns as f64).clamp(0.0, 1.0))
    }

    /// What was counted since `earlier`; `None` for another event, and where the counter went
    /// backwards.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if (self.event, &self.unit) != (earlier.event, &earlier.unit) {
            return None;
        }
        Some(Self {
            event: self.event,
            unit: self.unit.clone(),
            value: self.value.checked_sub(earlier.value)?,
            enabled_ns: self.enabled_ns.checked_sub(earlier.enabled_ns)?,
            running_ns: self.running_ns.checked_sub(earlier.running_ns)?,
        })
    }
}

/// Samples in one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionUse {
    /// In which stretch of the work.
    pub stretch: Stretch,
    /// The function, or the address where it has no name.
    pub function: String,
    /// The file it is in, without its folder; `[kernel]` for the kernel.
    pub module: String,
    /// Samples.
    pub samples: u64,
}

/// A computation graph, taken to pieces: one pass of a physical batch, or one token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphTimes {
    /// Prefill or decode.
    pub stretch: Stretch,
    /// Tokens that one pass computes.
    pub tokens: u32,
    /// Passes that were taken to pieces.
    pub passes: u32,
    /// Nanoseconds of each pass that was only looked at.
    pub quiet_ns: Vec<u64>,
    /// Nanoseconds of each pass that was taken to pieces.
    pub timed_ns: Vec<u64>,
    /// The pieces, in the order of the computation.
    pub pieces: Vec<Piece>,
}

/// Neighbouring nodes of a graph that do the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// What they do.
    pub part: Part,
    /// Of which layer; `None` outside of layers.
    pub layer: Option<u32>,
    /// ggml's operations, each once.
    pub operations: Vec<String>,
    /// Nodes that compute something.
    pub nodes: u32,
    /// Where they are computed; `None` for the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Bytes of weights that they read at least.
    pub weight_bytes: u64,
    /// Bytes of weights that were copied from main memory to the device for it.
    #[serde(default)]
    pub copied_bytes: u64,
    /// Bytes of the KV cache that they read and write.
    pub cache_bytes: u64,
    /// Multiplications and additions.
    pub arithmetic: u64,
    /// Nanoseconds over all passes.
    pub elapsed_ns: u64,
}

/// A part of a language model, as reports name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Tokens to vectors.
    Embedding,
    /// Norm, queries, keys and values with their rotation.
    AttentionQkv,
    /// The cache, scores, softmax and their sum.
    AttentionScores,
    /// The projection behind the scores.
    AttentionOutput,
    /// Layers with a recurrent state instead of attention.
    Recurrent,
    /// Norm, gate and up projections with their activation.
    FeedForwardUp,
    /// The projection back.
    FeedForwardDown,
    /// Choosing experts and weighing what they say.
    ExpertRouting,
    /// The experts themselves.
    Experts,
    /// The last norm and the projection onto the vocabulary.
    OutputHead,
    /// What none of these names cover.
    Other,
}

impl Part {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::AttentionQkv => "attention: Q, K, V",
            Self::AttentionScores => "attention: scores",
            Self::AttentionOutput => "attention: output",
            Self::Recurrent => "recurrent state",
            Self::FeedForwardUp => "feed-forward: gate, up",
            Self::FeedForwardDown => "feed-forward: down",
            Self::ExpertRouting => "experts: routing",
            Self::Experts => "experts",
            Self::OutputHead => "output head",
            Self::Other => "other",
        }
    }
}

/// Work around the computation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTimes {
    /// Tokens of the text that was turned into tokens.
    pub tokens: u64,
    /// Nanoseconds of each try to do so.
    pub tokenize_ns: Vec<u64>,
    /// Nanoseconds of each token turned back into text.
    pub detokenize_ns: Vec<u64>,
    /// Nanoseconds of each choice of a token among the whole vocabulary, by llama.cpp's usual
    /// chain of samplers.
    pub sample_ns: Vec<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(value: u64, enabled_ns: u64, running_ns: u64) -> Count {
        Count { event: Event::Cycles, unit: None, value, enabled_ns, running_ns }
    }

    #[test]
    fn a_multiplexed_counter_is_scaled_to_the_whole_time() {
        assert_eq!(count(500, 1000, 250).scaled(), Some(2000));
        assert_eq!(count(500, 1000, 1000).scaled(), Some(500));
        assert_eq!(count(500, 1000, 250).counted_share(), Some(0.25));
    }

    #[test]
    fn what_never_ran_has_no_count_instead_of_zero() {
        assert_eq!(count(0, 1000, 0).scaled(), None);
        assert_eq!(count(0, 0, 0).scaled(), None);
        assert_eq!(count(0, 0, 0).counted_share(), None);
        assert_eq!(count(7, 0, 0).scaled(), Some(7), "a counter without times is what it shows");
    }

    #[test]
    fn huge_counts_saturate_and_backward_ones_are_none() {
        assert_eq!(count(u64::MAX, u64::MAX, 1).scaled(), Some(u64::MAX));
        assert_eq!(count(u64::MAX / 2, 4, 2).scaled(), Some(u64::MAX - 1));
        assert_eq!(count(5, 10, 10).since(&count(6, 0, 0)), None);
        assert_eq!(count(9, 10, 8).since(&count(6, 4, 4)), Some(count(3, 6, 4)));
        let other = Count { event: Event::Branches, ..count(1, 1, 1) };
        assert_eq!(count(9, 9, 9).since(&other), None);
    }

    #[test]
    fn every_event_is_found_by_its_name_and_kept_by_it() {
        for event in Event::ALL {
            assert_eq!(event.word().parse(), Ok(*event));
            assert_eq!(serde_json::to_value(event).unwrap(), event.word());
        }
        assert!("cycles:u".parse::<Event>().is_err());
    }

    #[test]
    fn what_one_reading_lacks_has_no_difference() {
        let then = KernelUse { minor_faults: Some(3), ..KernelUse::default() };
        let now = KernelUse { minor_faults: Some(10), major_faults: Some(1), ..then };
        let difference = now.since(then);
        assert_eq!((difference.minor_faults, difference.major_faults), (Some(7), None));
    }
}
