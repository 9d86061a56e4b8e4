//! What other tools measured, as samples that the regression gate can judge.
//!
//! Bytes go in, [`Imported`] comes out: named cells with a unit, a direction and their samples in
//! the order of the file, and a note on everything that was left out. Files are left to the
//! caller, as are judging, pairing the cells of two files and escaping what is shown.

mod collect;
mod criterion;
mod csv;
mod detect;
mod error;
mod go_bench;
mod google_benchmark;
mod hyperfine;
mod json;
mod llama_bench;
mod llama_row;
#[cfg(test)]
mod tests;
mod text;
mod tool;
mod unit;

pub use detect::detect;
pub use error::ImportError;
pub use tool::Tool;

use crate::model::{Better, GateClass};

/// Most cells that one file may have.
pub const MAX_CELLS: usize = 100_000;
/// Most samples that one file may have, over all its cells.
pub const MAX_SAMPLES: usize = 10_000_000;
/// Most rows of Google Benchmark, which are held while they are read.
pub const MAX_ROWS: usize = 1_000_000;
/// Longest name, group, unit or label, in characters. Of a longer one, both ends are kept.
pub const MAX_NAME_CHARS: usize = 300;

/// Everything one file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// What was measured, in the order of the file. Never empty; names are unique.
    pub cells: Vec<ImportedCell>,
    /// What was left out and what to know of the rest, each one sentence.
    pub notes: Vec<String>,
    /// Names of cells that are no part of `cells` because a value of theirs is zero, where that is
    /// nothing unusual (`0 allocs/op`): a ratio says nothing of them. They are not missing.
    pub zero: Vec<String>,
    /// Names of cells some of whose runs ended with an error: how long that took says nothing.
    pub failed: Vec<String>,
    /// The commit that was measured, where the file names exactly one.
    pub commit: Option<String>,
    /// Whether a simulator made the times up.
    pub synthetic: bool,
}

/// One quantity of one test.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedCell {
    /// Its name, unique in the file. Outside text: it may hold control characters.
    pub name: String,
    /// The part of the suite it belongs to: a model, a package, a family of benchmarks.
    pub group: String,
    /// The quantity: `tg`, `time`, `sec/op`, the heading of a column.
    pub metric: String,
    /// Unit of `samples`; empty where a table names none. Times are in `s`, sizes in `bytes`.
    pub unit: String,
    /// Whether more is better.
    pub better: Better,
    /// What kind of quantity.
    pub class: GateClass,
    /// What was measured, in the order of the file: at least one value, all finite and above zero.
    pub samples: Vec<f64>,
    /// What each sample is called, such as its commit; empty where the file does not say.
    pub labels: Vec<String>,
    /// What one sample stands for.
    pub independent: Independence,
}

/// What one sample stands for. Repetitions share whatever differs between processes, so that their
/// spread says too little of what another run would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Independence {
    /// A run of its own.
    Runs,
    /// One of several in the same process, or nobody knows.
    Repetitions,
}

/// What a file does not say of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Which columns of a table mean what.
    pub columns: Columns,
    /// Name of the benchmark in criterion's `sample.json`, which holds none; `benchmark` if `None`.
    pub name: Option<String>,
    /// Whether more is better, for a table's column and for Go's units without a known direction.
    pub better: Option<Better>,
    /// What to do with the same test twice, where the format does not mean repetition by it.
    pub repeated: Repeated,
}

/// Which columns of a table mean what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// What was measured. If `None`: the column called value, time, duration or seconds, with or
    /// without a unit behind it, or the only one with nothing but numbers.
    pub value: Option<String>,
    /// What names the cell, joined by slashes. If empty, all rows are one cell.
    pub names: Vec<String>,
    /// What each sample is called: its commit, its date, its run. Rows of a cell that all differ
    /// in it are runs of their own.
    pub label: Option<String>,
    /// Unit of the values. If `None`: what a column called `unit` says, or the end of the heading.
    pub unit: Option<String>,
}

/// What becomes of the same test twice in one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Repeated {
    /// It is an error: two different things may have one name.
    #[default]
    Refused,
    /// Its samples are those of one cell.
    Merged,
}

/// Reads what `tool` wrote. The caller bounds the size; time and memory grow with it.
pub fn import(tool: Tool, text: &[u8], options: &Options) -> Result<Imported, ImportError> {
    let text = text::decoded(text)?;
    let imported = match tool {
        Tool::LlamaBench => llama_bench::import(text, options),
        Tool::Hyperfine => hyperfine::import(text, options),
        Tool::GoogleBenchmark => google_benchmark::import(text, options),
        Tool::GoBench => go_bench::import(text, options),
        Tool::Criterion => criterion::import(text, options),
        Tool::Csv => csv::import(text, options),
    };
    imported.map_err(|error| match detect(text.as_bytes()) {
        Some(looks_like) if looks_like != tool && error.doubts_the_format() => {
            ImportError::NotThisFormat { tool, looks_like }
        }
        _ => error,
    })
}
