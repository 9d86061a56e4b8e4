//! hyperfine's `--export-json`: the wall-clock time of every run of every command.
//!
//! Fields are those of its `BenchmarkResult`. Memory and processor times are left alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::collect::{Collector, Description};
use super::json::{Bounded, document};
use super::text::shown;
use super::{ImportError, Imported, Independence, MAX_CELLS, MAX_SAMPLES, Options, Tool};
use crate::model::{Better, GateClass};

#[derive(Deserialize)]
struct Document {
    results: Bounded<Entry, MAX_CELLS>,
}

#[derive(Deserialize)]
struct Entry {
    command: String,
    /// Seconds; absent in summaries.
    times: Option<Bounded<f64, MAX_SAMPLES>>,
    /// Nothing stands for a program that a signal ended.
    #[serde(default)]
    exit_codes: Bounded<Option<i32>, MAX_SAMPLES>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let document: Document = document(Tool::Hyperfine, text)?;
    let mut collector = Collector::new(Tool::Hyperfine);
    for (index, entry) in document.results.checked("commands")?.into_iter().enumerate() {
        add(&mut collector, &entry, index, options)?;
    }
    collector.finish()
}

fn add(
    collector: &mut Collector,
    entry: &Entry,
    index: usize,
    options: &Options,
) -> Result<(), ImportError> {
    let name = name(entry);
    let times = entry.times.as_ref().map(|times| times.0.as_slice()).unwrap_or_default();
    if times.is_empty() {
        return Err(ImportError::SummariesOnly { tool: Tool::Hyperfine, cell: shown(&name) });
    }
    let what = Description {
        name: &name,
        group: "hyperfine",
        metric: "time",
        unit: "s",
        better: Better::Lower,
        class: GateClass::Timing,
        independent: Independence::Runs,
    };
    let cell = collector.single(&what, options.repeated, &format!("results[{index}]"))?;
    for (run, &time) in times.iter().enumerate() {
        collector.push(cell, time, || format!("results[{index}].times[{run}]"))?;
    }
    let failed = entry.exit_codes.0.iter().filter(|code| **code != Some(0)).count();
    if failed > 0 {
        let runs = entry.exit_codes.0.len();
        collector.failed(cell);
        collector.note(format!(
            "`{}`: {failed} of {runs} runs did not end with exit code 0",
            shown(&name)
        ));
    }
    Ok(())
}

/// The command with its parameters, of which the command itself may show none.
fn name(entry: &Entry) -> String {
    let mut name = entry.command.clone();
    for (parameter, value) in &entry.parameters {
        write!(name, " {parameter}={value}").expect("strings take any text");
    }
    name
}
