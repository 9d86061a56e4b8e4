//! Google Benchmark's JSON: the real time per iteration of every repetition.
//!
//! Fields are those of its `JSONReporter`. Processor times, counters and rates are left alone:
//! they say the same again, or nothing of time.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::collect::{Collector, Description};
use super::json::{Bounded, document};
use super::text::shown;
use super::unit::seconds;
use super::{ImportError, Imported, Independence, MAX_ROWS, Options, Repeated, Tool};
use crate::model::{Better, GateClass};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    context: Context,
    benchmarks: Bounded<Row, MAX_ROWS>,
}

#[derive(Default, Deserialize)]
struct Context {
    library_build_type: Option<String>,
    #[serde(default)]
    cpu_scaling_enabled: bool,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    /// Absent before version 1.5, like the next two.
    run_name: Option<String>,
    run_type: Option<String>,
    repetition_index: Option<i64>,
    real_time: Option<f64>,
    time_unit: Option<String>,
    #[serde(default)]
    error_occurred: bool,
    error_message: Option<String>,
    #[serde(default)]
    skipped: bool,
    skip_message: Option<String>,
}

impl Row {
    fn run_name(&self) -> &str {
        self.run_name.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is a mean, a deviation or a fit.
    fn is_aggregate(&self) -> bool {
        match &self.run_type {
            Some(kind) => kind == "aggregate",
            None => ["_mean", "_median", "_stddev", "_cv", "_BigO", "_RMS"]
                .iter()
                .any(|end| self.name.ends_with(end)),
        }
    }
}

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let document: Document = document(Tool::GoogleBenchmark, text)?;
    let rows = document.benchmarks.checked("rows")?;
    let mut collector = Collector::new(Tool::GoogleBenchmark);
    notes_on(&document.context, &mut collector);
    let mut seen = HashSet::new();
    let mut measured = HashSet::new();
    let mut summaries: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        if row.is_aggregate() {
            *summaries.entry(row.run_name()).or_default() += 1;
        } else if row.error_occurred || row.skipped {
            let why = row.error_message.as_ref().or(row.skip_message.as_ref());
            let why = why.map_or("it says no reason", String::as_str);
            collector.note(format!("`{}` is left out: {}", shown(row.run_name()), shown(why)));
        } else {
            measured.insert(row.run_name());
            let cell = add(&mut collector, row, index)?;
            let again = row.repetition_index.is_some_and(|at| !seen.insert((cell, at)));
            if again && options.repeated == Repeated::Refused {
                let (cell, place) = (shown(row.run_name()), format!("benchmarks[{index}]"));
                return Err(ImportError::Repeated { cell, place });
            }
        }
    }
    let only = summaries.keys().find(|name| !measured.contains(*name));
    if let Some(cell) = only.filter(|_| measured.is_empty()) {
        return Err(ImportError::SummariesOnly { tool: Tool::GoogleBenchmark, cell: shown(cell) });
    }
    for (name, count) in &summaries {
        // With repetitions there, means and deviations of them say nothing new.
        if !measured.contains(name) {
            let name = shown(name);
            collector.note(format!("`{name}` is left out: its {count} rows are all summaries"));
        }
    }
    let skipped: usize = summaries.values().sum();
    if skipped > 0 {
        collector.note(format!("{skipped} rows are means, deviations and fits, and do not count"));
    }
    collector.finish()
}

fn notes_on(context: &Context, collector: &mut Collector) {
    if context.library_build_type.as_deref() == Some("debug") {
        collector.note("the benchmark library was built for debugging".to_owned());
    }
    if context.cpu_scaling_enabled {
        collector.note("the processor's clock could change while it was measured".to_owned());
    }
}

fn add(collector: &mut Collector, row: &Row, index: usize) -> Result<usize, ImportError> {
    let name = row.run_name();
    let malformed = |reason: String| ImportError::Malformed {
        tool: Tool::GoogleBenchmark,
        place: format!("benchmarks[{index}]"),
        reason,
    };
    let Some(time) = row.real_time else {
        return Err(malformed(format!("`{}` has no real_time", shown(name))));
    };
    // Nanoseconds where nothing is said, as in the library itself.
    let unit = row.time_unit.as_deref().unwrap_or("ns");
    let Some(time) = seconds(time, unit) else {
        return Err(malformed(format!("`{}` is no unit of time", shown(unit))));
    };
    let what = Description {
        name,
        group: name.split('/').next().unwrap_or(name),
        metric: "real_time",
        unit: "s",
        better: Better::Lower,
        class: GateClass::Timing,
        independent: Independence::Repetitions,
    };
    let cell = collector.cell(&what, &format!("benchmarks[{index}]"))?;
    collector.push(cell, time, || format!("benchmarks[{index}].real_time"))?;
    Ok(cell)
}
