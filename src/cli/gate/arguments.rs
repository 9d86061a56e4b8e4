//! The flags of the gate, in groups that its commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::percent::{Limits, Percent};

/// What is measured.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What is measured")]
pub(super) struct Measured {
    /// Model to measure with: a GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Vec<String>,
    /// Tests: pp512, tg128, tg128@d4096, ttft512, load, memory
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) tests: Vec<String>,
    /// Only cells whose name matches, with * for anything
    #[arg(long, value_name = "GLOB")]
    pub(super) cells: Option<String>,
    /// A level of a knob, for both sides
    #[arg(long, value_name = "KNOB=LEVEL")]
    pub(super) fix: Vec<String>,
    /// Threads [default: physical cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(super) threads: Option<u32>,
    /// Timed repetitions in each process; their median counts
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) repetitions: u32,
    /// Time after which a process is given up
    #[arg(long, value_name = "TIME", default_value = "15m")]
    pub(super) timeout: humantime::Duration,
    /// The project's file of cells, limits and waivers [default: .autotune/gate.toml if there]
    #[arg(long, value_name = "FILE")]
    pub(super) suite: Option<PathBuf>,
    /// The commit of the head [default: what CI says]
    #[arg(long, value_name = "NAME")]
    pub(super) commit: Option<String>,
    /// Folder of stored sessions and learned noise [default: .autotune/history]
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
}

/// How it is judged.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How it is judged")]
pub(super) struct Judged {
    /// Slowdown that is allowed: 2%, or by quantity: tg=2%,pp=3% [default: by quantity, and never
    /// below this machine's noise]
    #[arg(long, value_name = "LIMITS")]
    pub(super) delta: Option<Limits>,
    /// Chance of failing a build in which nothing is slower than allowed [default: 0.01]
    #[arg(long, value_name = "P")]
    pub(super) alpha: Option<f64>,
    /// Chance of seeing a slowdown of the minimum detectable size [default: 0.8]
    #[arg(long, value_name = "P")]
    pub(super) power: Option<f64>,
    /// Largest slowdown that may stay unseen before the gate calls itself blind [default: 5%]
    #[arg(long, value_name = "PERCENT")]
    pub(super) max_mde: Option<Percent>,
    /// What to do about what cannot be decided: go on, stop with exit code 3, or measure for twice
    /// as long [default: warn]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(super) on_inconclusive: Option<OnUndecided>,
    /// Let a build pass though a cell is gone
    #[arg(long)]
    pub(super) allow_missing: bool,
    /// Compare times though the answers differ
    #[arg(long)]
    pub(super) allow_output_change: bool,
    /// Seed of all chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

/// How long it may take.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How long it may take")]
pub(super) struct Length {
    /// Time for one session [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(super) budget: Option<humantime::Duration>,
    /// Blocks of four processes at most [default: 48]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) max_blocks: Option<u32>,
    /// Whether a failure has to repeat: not at all, or in a second session of this job; auto asks
    /// for it on virtual machines [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) confirm: Option<Confirm>,
}

/// Where the result goes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where the result goes")]
pub(super) struct Outputs {
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write JUnit XML, as CI systems read it
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Write a summary in Markdown; in a GitHub job it goes to the step's own without being asked
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
    /// Write a comment for a pull request
    #[arg(long, value_name = "FILE")]
    pub(super) comment: Option<PathBuf>,
    /// Write OpenMetrics, as GitLab and Prometheus read them
    #[arg(long, value_name = "FILE")]
    pub(super) openmetrics: Option<PathBuf>,
    /// Write a badge for shields.io
    #[arg(long, value_name = "FILE")]
    pub(super) badge: Option<PathBuf>,
    /// Annotations in the log: in GitHub jobs, always, or never
    #[arg(long, value_enum, default_value_t = Annotations::Auto, value_name = "WHERE")]
    pub(super) annotations: Annotations,
}

/// How a result is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// One document
    Json,
}

/// Where annotations go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Annotations {
    /// To the log of a GitHub job
    #[default]
    Auto,
    /// To stdout as GitHub reads them
    Github,
    /// Nowhere
    None,
}

/// What is done about what cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnUndecided {
    /// Exit code 0, and it is said
    Warn,
    /// Exit code 3
    Fail,
    /// Twice the time and the blocks, then exit code 0
    Retry,
}

/// Whether a failure has to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Confirm {
    /// In a second session on virtual machines
    Auto,
    /// Not at all
    None,
    /// In a second session right after the first
    Same,
    /// By another job: this one ends undecided until one with --earlier agrees
    Fresh,
}
