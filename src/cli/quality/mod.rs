//! `autotune quality`: how likely models find a text, and how far their answers are from a
//! reference's.

mod display;
mod measure;
mod variations;

pub(super) use measure::{Entrant, compare, subject};

use std::path::PathBuf;
use std::time::Duration;

use autotune_engine::api::GpuLayers;
use clap::{Args, ValueEnum};

use super::{Exit, Printer, Stop, Verbosity, global, speech};
use crate::model::QualityClass;

/// Tokens of a chunk.
const CHUNK: u32 = 512;

/// Perplexity and KL divergence of models against a reference
#[derive(Debug, Args)]
#[command(after_help = "\
The reference and its candidates read the same chunks side by side; nothing but
the numbers of a chunk is kept. Without --chunks more is read until the
candidates are told apart or the budget ends. What was read once is remembered,
so that an interrupted run goes on where it was.

A KL divergence says how much of the reference is left, not how well a model
does a task.

Examples:
  autotune quality m-q4_k_m.gguf m-q8_0.gguf --reference m-f16.gguf
  autotune quality m-q4_0.gguf --reference m-f16.gguf --text mine.txt
  autotune quality m.gguf --text wiki.test.raw        perplexity alone
  autotune quality m.gguf --vary ctk,ctv,fa           KV cache, attention

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 nothing could be
measured, 130 interrupted.")]
pub struct Arguments {
    /// Models to judge
    #[arg(value_name = "CANDIDATE", required_unless_present = "reference")]
    candidates: Vec<String>,
    /// What they are compared with, usually the F16 file
    #[arg(long, value_name = "MODEL")]
    reference: Option<String>,
    /// What they read: a file, `builtin`, or `self` (written by the reference)
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    text: String,
    /// Read so many chunks [default: until it is enough]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    chunks: Option<u32>,
    /// Tokens of a chunk
    #[arg(long, value_name = "N", default_value_t = CHUNK)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=131_072))]
    chunk_tokens: u32,
    /// Which tokens of a chunk are scored
    #[arg(long, value_enum, default_value_t = Score::Half)]
    score: Score,
    /// Begin no chunk after so long
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    budget: Duration,
    /// Vary the KV cache's types and flash attention of the reference
    #[arg(long, value_name = "ctk,ctv,fa", value_delimiter = ',')]
    vary: Vec<Vary>,
    /// The worst class that is still called good enough
    #[arg(long, value_enum, value_name = "CLASS")]
    quality_floor: Option<Class>,
    /// How a candidate meets the reference
    #[arg(long, value_enum, default_value_t = Basis::Auto)]
    basis: Basis,
    /// Threads [default: physical cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    threads: Option<u32>,
    /// Layers on the GPU; -1 or `all` for all
    #[arg(long, value_name = "N", default_value = "-1", allow_hyphen_values = true)]
    n_gpu_layers: String,
    /// Which build variant of the CPU code computes [default: the best that works]
    #[arg(long, value_name = "NAME")]
    isa_variant: Option<String>,
    /// Seed of `--text self`
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Ask again what is remembered
    #[arg(long)]
    no_cache: bool,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to a file instead
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Arguments {
    /// What a study asks: the same as here without flags.
    pub(super) fn of_study(
        text: &str,
        budget: Duration,
        floor: Class,
        gpu_layers: GpuLayers,
    ) -> Self {
        Self {
            candidates: Vec::new(),
            reference: None,
            text: text.to_owned(),
            chunks: None,
            chunk_tokens: CHUNK,
            score: Score::Half,
            budget,
            vary: Vec::new(),
            quality_floor: Some(floor),
            basis: Basis::Auto,
            threads: None,
            n_gpu_layers: gpu_layers.to_string(),
            isa_variant: None,
            seed: 1,
            no_cache: false,
            format: Format::Text,
            output: None,
        }
    }
}

/// Which tokens of a chunk are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Score {
    /// The second half of each, as llama-perplexity does
    Half,
    /// All but the first
    All,
}

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Vary {
    /// Type of the K cache
    #[value(alias = "cache-type-k")]
    Ctk,
    /// Type of the V cache
    #[value(alias = "cache-type-v")]
    Ctv,
    /// Flash attention
    #[value(alias = "flash-attn")]
    Fa,
}

/// How a candidate meets the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Basis {
    /// Side by side where memory holds both
    Auto,
    /// Side by side
    LockStep,
    /// Through a file with what the reference says
    Stored,
}

/// `--quality-floor`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Class {
    /// KL divergence up to 0.002 nats
    Indistinguishable,
    /// Up to 0.012
    NearLossless,
    /// Up to 0.05
    Good,
    /// Up to 0.12
    VisibleLoss,
    /// Up to 0.35
    Poor,
    /// Anything
    Broken,
}

impl From<Class> for QualityClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Indistinguishable => Self::Indistinguishable,
            Class::NearLossless => Self::NearLossless,
            Class::Good => Self::Good,
            Class::VisibleLoss => Self::VisibleLoss,
            Class::Poor => Self::Poor,
            Class::Broken => Self::Broken,
        }
    }
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
    /// A table for a README
    Md,
    /// A line for each candidate
    Csv,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// Measures and prints.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let mut speaking = speech::open()?;
    let report = measure::measure(arguments, &mut speaking, printer);
    let report = report.map_err(|stop| speaking.interrupted_or(stop))?;
    for note in &report.notes {
        printer.say_at(Verbosity::Verbose, note);
    }
    let interrupted = report.stopped == crate::model::QualityStop::Interrupted;
    let text = match arguments.format {
        Format::Json => global::json(&report),
        Format::Text => crate::render::quality::text(&report),
        Format::Md => crate::render::quality::markdown(&report),
        Format::Csv => crate::render::quality::csv(&report),
    };
    match &arguments.output {
        Some(path) => {
            super::report::write(path, &text, printer)?;
        }
        None => printer.data(&text)?,
    }
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}
