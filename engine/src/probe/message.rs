//! What parent and probe say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The one request of a probe's life, a JSON line on its stdin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Execute one instruction of each extension.
    Instructions(Instructions),
    /// Measure.
    Measure(Box<Measure>),
}

/// Extensions in Linux's spelling, in the order in which they are executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Their names.
    pub names: Vec<String>,
}

/// What to measure, and with what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// One thread is bound to each, in this order.
    pub cpus: Vec<u32>,
    /// Memory of each thread, touched by it.
    pub buffer_bytes: Vec<u64>,
    /// What is visited in every round.
    pub cells: Vec<Cell>,
    /// How often every cell is visited at most.
    pub rounds: u32,
    /// No round begins that would end later, but for the first six.
    pub budget_ms: u64,
    /// Of the order within a round.
    pub seed: u64,
    /// Instruction sets that must not be used.
    pub excluded: Vec<String>,
    /// The disk, after the rounds.
    pub storage: Option<StorageAsk>,
}

/// One thing that is measured, again in every round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// What is done.
    pub kernel: Kernel,
    /// Places in [`Measure::cpus`] of the threads that do it.
    pub threads: Vec<u32>,
    /// Whose memory each thread reads; empty: its own.
    pub memory: Vec<u32>,
    /// How much of that memory each thread goes through; for a walk, its size.
    pub bytes: u64,
    /// Whether all of it is gone through once before the time is taken.
    pub warm: bool,
    /// How long one visit takes.
    pub visit_us: u64,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Sums memory; bytes per second.
    Read,
    /// Copies one half onto the other; bytes read and written per second.
    Copy,
    /// `a = b + s c` over thirds; bytes read and written per second.
    Triad,
    /// Multiply-adds of 32-bit floats; operations per second.
    Float32,
    /// Multiply-adds of bytes; operations per second.
    Int8,
    /// Dependent loads; loads per second.
    Walk,
}

/// Where the disk is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageAsk {
    /// A file without a name is written here.
    pub folder: PathBuf,
    /// Its size at most.
    pub bytes: u64,
    /// Writing, then reading past the page cache, then through it, take this long each at most.
    pub phase_ms: u64,
}

/// What a probe says, one JSON line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// It is about to do something that may end it; the instruction set it is about to use.
    Begins(String),
    /// An extension's instruction was executed.
    Executed {
        /// The extension.
        name: String,
        /// What came of it.
        outcome: Outcome,
    },
    /// The sets that will be used.
    Sets {
        /// For memory.
        stream: String,
        /// For floats.
        float32: String,
        /// For bytes.
        int8: String,
    },
    /// Memory is touched, rounds begin.
    Ready,
    /// One visit to a cell.
    Sample {
        /// Its place in [`Measure::cells`].
        cell: u32,
        /// Units per second, all threads together.
        per_second: f64,
    },
    /// A round ended.
    Round(u32),
    /// Reading the disk.
    Disk {
        /// From where.
        measured: Measured,
        /// One part of the file.
        bytes_per_s: f64,
    },
    /// A doubt about what was or will be said.
    Caveat(String),
    /// All is said.
    End,
}

/// Where a file's bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// The disk.
    Cold,
    /// The page cache.
    Cached,
}

/// What an executed instruction showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its result was right.
    Right,
    /// Its result was wrong.
    Wrong,
    /// The kernel did not give leave to use it.
    Forbidden,
    /// Nothing is known that could be executed.
    Unknown,
}
