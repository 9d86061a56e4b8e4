//! What a command did and waited for: the part of a profile that is about any program.

use autotune_engine::api::{Bytes, Count};
use serde::{Deserialize, Serialize};

use super::Metric;

use super::observation::{IoCounts, NetworkCounts, Source, ThreadUse, Wait};

/// A command that ran under observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandProfile {
    /// The command line; of a process that was running, as the kernel has it.
    pub command: Vec<String>,
    /// Who started it.
    pub begin: Begin,
    /// How the watch ended.
    pub end: End,
    /// How long it was watched.
    pub duration_s: f64,
    /// What kind of program it is.
    pub class: Class,
    /// What it waits for most, where it waits.
    pub waits_for: Option<Wait>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, each one sentence with its numbers.
    pub evidence: Vec<String>,
    /// What would help, what helps most first.
    pub strategies: Vec<Strategy>,
    /// Parts of it that are of different classes; empty where it is one.
    pub phases: Vec<Phase>,
    /// Processors.
    pub cpu: CpuUse,
    /// Where the time went: using processors, and each kind of waiting; the sum is one.
    pub shares: Vec<Share>,
    /// Where threads waited, the most frequent first.
    pub calls: Vec<CallShare>,
    /// Input and output of its processes; `None` where it may not be read.
    pub io: Option<IoCounts>,
    /// What went over the network, of everybody in its network namespace.
    pub network: Option<NetworkCounts>,
    /// Memory.
    pub memory: MemoryUse,
    /// Threads by processor time.
    pub threads: Vec<ThreadUse>,
    /// Cards that it may have used.
    pub cards: Vec<CardActivity>,
    /// Its course, at most 200 points.
    pub course: Vec<Point>,
    /// How it was looked at.
    pub looks: Looks,
    /// What could not be seen.
    pub unseen: Vec<String>,
    /// What more rights would show, one sentence; `None` where nothing is hidden.
    pub more_rights: Option<String>,
    /// Counted events, of everything that it started too.
    #[serde(default)]
    pub counts: Vec<Count>,
    /// What follows from them.
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// Who started a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Begin {
    /// It was started to be watched.
    Launched,
    /// It was running.
    Joined {
        /// Its number.
        pid: u32,
    },
}

/// How a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum End {
    /// The command ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the command.
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The process went away; nobody but its parent learns how.
    Gone,
    /// It still ran when the watch ended.
    Running,
}

/// What kind of program it is, by what would make it faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Waits for answers over the network.
    NetworkBound,
    /// Waits for storage.
    DiskBound,
    /// Uses one processor at a time.
    CpuOneThread,
    /// Uses several processors at once.
    CpuParallel,
    /// Reads memory as fast as it can be read, by its counters.
    MemoryBandwidth,
    /// Keeps its GPU busy.
    GpuBound,
    /// Has a GPU that waits for the rest of it.
    GpuStarved,
    /// Waits for something that no tuning of it makes faster.
    Idle,
    /// No one thing for most of the time.
    Mixed,
}

impl Class {
    /// What it is called.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NetworkBound => "I/O-bound: waiting on the network",
            Self::DiskBound => "I/O-bound: waiting on disk",
            Self::CpuOneThread => "CPU-bound on one thread",
            Self::CpuParallel => "CPU-bound, parallel",
            Self::MemoryBandwidth => "memory-bandwidth-bound",
            Self::GpuBound => "GPU-bound",
            Self::GpuStarved => "GPU starved by the CPU",
            Self::Idle => "idle",
            Self::Mixed => "mixed",
        }
    }
}

/// How sure a class is, and what that comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// The product of the three below, 0 to 1.
    pub value: f64,
    /// Share of resampled series that are of the same class.
    pub agreement: f64,
    /// Less than one where there are few looks: blocks / (blocks + 1).
    pub length: f64,
    /// Share of the time of which something says what it was spent on.
    pub attributed: f64,
    /// Series that were resampled.
    pub resamples: u32,
}

/// Something that would help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// What to do.
    pub what: String,
    /// Why it fits, with numbers.
    pub why: String,
    /// How many times as fast the whole would be; `None` where nothing here tells.
    pub speedup: Option<Speedup>,
    /// What it takes.
    pub effort: Effort,
}

/// How many times as fast, and by which formula.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speedup {
    /// If half of what could gain does.
    pub low: f64,
    /// If all of it does: no more is to be had this way.
    pub high: f64,
    /// The formula with its numbers.
    pub formula: String,
}

/// What a strategy takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// An option, an environment variable.
    Small,
    /// Some lines of the program.
    Medium,
    /// Another structure.
    Large,
}

impl Effort {
    /// What it is called.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Small => "small: an option or a variable",
            Self::Medium => "medium: some lines of the program",
            Self::Large => "large: another structure",
        }
    }
}

/// A part of a run that is of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// When it began.
    pub from_s: f64,
    /// When it ended.
    pub to_s: f64,
    /// Its class.
    pub class: Class,
    /// What it waits for most, where it waits.
    pub waits_for: Option<Wait>,
    /// Share of it in which somebody wanted a processor.
    pub cpu_share: f64,
    /// Processors in use, on the average.
    pub cores: f64,
}

/// Processors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CpuUse {
    /// Processors that it may use.
    pub processors: u32,
    /// Time of the programs themselves.
    pub user_s: f64,
    /// Time of the kernel on their behalf.
    pub system_s: f64,
    /// Time that threads were ready and had to wait for a processor.
    pub queued_s: f64,
    /// Processors in use, on the average over all of it.
    pub mean_cores: f64,
    /// Processors wanted, on the average over the time that somebody wanted one.
    pub parallelism: f64,
    /// Share of the time in which one processor at most was wanted, of that in which any was.
    pub serial_share: f64,
    /// Processors that everybody else used, on the average.
    pub others_cores: Option<f64>,
    /// Time on each processor, as far as it is known where threads ran.
    pub by_processor: Vec<OnProcessor>,
    /// Times that a thread gave its processor up to wait, where they were seen.
    pub voluntary_switches: u64,
    /// Times that a processor was taken from one that wanted to go on.
    pub involuntary_switches: u64,
}

/// Time on one processor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OnProcessor {
    /// The processor.
    pub processor: u32,
    /// Time on it.
    pub cpu_s: f64,
}

/// A share of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// What was waited for; `None` for the time in which somebody wanted a processor.
    pub wait: Option<Wait>,
    /// The share, 0 to 1.
    pub share: f64,
    /// Who says so.
    pub sources: Vec<Source>,
    /// Threads that waited for it at once, on the average; `None` for processors.
    pub in_flight: Option<f64>,
}

/// Where threads waited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallShare {
    /// The system call, or `page fault`.
    pub call: String,
    /// What its descriptor leads to.
    pub on: Option<String>,
    /// What that means.
    pub wait: Wait,
    /// Share of all times that a thread was seen waiting, 0 to 1.
    pub share: f64,
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The most in use at once; what processes share counts once for each.
    pub peak_bytes: Bytes,
    /// Page faults answered from memory.
    pub minor_faults: u64,
    /// Page faults that storage had to answer.
    pub major_faults: u64,
}

/// A card while the command ran. Everything on it counts, the command's part or not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CardActivity {
    /// Its name.
    pub name: Option<String>,
    /// Share of the time that something was computed, the mean.
    pub busy: Option<f64>,
    /// Share of the time that its memory was read or written, the mean.
    pub memory_busy: Option<f64>,
    /// Its memory.
    pub memory_bytes: Option<Bytes>,
    /// The most that was in use.
    pub peak_bytes: Option<Bytes>,
    /// Copied to it over its bus, the mean.
    pub copied_in_bytes_per_s: Option<f64>,
    /// Copied from it over its bus, the mean.
    pub copied_out_bytes_per_s: Option<f64>,
    /// Power, the mean.
    pub power_watts: Option<f64>,
}

/// A stretch of the course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it ended.
    pub at_s: f64,
    /// Processors in use.
    pub cores: f64,
    /// Share in which somebody wanted a processor.
    pub cpu_share: f64,
    /// What was waited for in the rest of it.
    pub waits_for: Option<Wait>,
    /// Memory in use.
    pub resident_bytes: Bytes,
    /// Fetched from storage.
    pub read_bytes_per_s: f64,
    /// Handed to storage.
    pub write_bytes_per_s: f64,
    /// Share of the time that the busiest card computed.
    pub card_busy: Option<f64>,
}

/// How it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Looks {
    /// How many.
    pub count: u32,
    /// Between two, on the average.
    pub spacing_s: f64,
    /// Share of one processor that looking cost.
    pub cost_cores: f64,
}
