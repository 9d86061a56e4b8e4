//! criterion.rs: the time per iteration of every sample.
//!
//! Two files hold them. The messages of `cargo criterion --message-format=json` are documented; the
//! `sample.json` under `target/criterion` is not, and has been the same since 0.3.

use serde::Deserialize;

use super::collect::{Collector, Description};
use super::json::{Bounded, documents};
use super::text::shown;
use super::unit::seconds;
use super::{ImportError, Imported, Independence, MAX_SAMPLES, Options, Tool};
use crate::model::{Better, GateClass};

type Numbers = Bounded<f64, MAX_SAMPLES>;

/// A message, or a `sample.json`, whose times are nanoseconds.
#[derive(Deserialize)]
struct Item {
    /// The kind of a message.
    reason: Option<String>,
    id: Option<String>,
    #[serde(default)]
    iteration_count: Numbers,
    #[serde(default)]
    measured_values: Numbers,
    unit: Option<String>,
    iters: Option<Numbers>,
    times: Option<Numbers>,
}

/// What either of them says of a benchmark.
struct Measurements<'a> {
    name: &'a str,
    /// Iterations behind each value.
    counts: &'a [f64],
    /// What all of them together took, in `unit`.
    values: &'a [f64],
    unit: &'a str,
}

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let mut collector = Collector::new(Tool::Criterion);
    for (index, item) in documents::<Item>(Tool::Criterion, text).enumerate() {
        let item = item?;
        let place = format!("message {}", index + 1);
        match measurements(&item, options) {
            Ok(Some(measurements)) => add(&mut collector, &measurements, &place, options)?,
            Ok(None) => {}
            Err(reason) => {
                let reason = reason.to_owned();
                return Err(ImportError::Malformed { tool: Tool::Criterion, place, reason });
            }
        }
    }
    collector.finish()
}

/// What was measured; `None` in a message that tells of something else.
fn measurements<'a>(
    item: &'a Item,
    options: &'a Options,
) -> Result<Option<Measurements<'a>>, &'static str> {
    match (item.reason.as_deref(), &item.iters, &item.times) {
        (Some("benchmark-complete"), _, _) => match (&item.id, &item.unit) {
            (Some(name), Some(unit)) => Ok(Some(Measurements {
                name,
                counts: &item.iteration_count.0,
                values: &item.measured_values.0,
                unit,
            })),
            _ => Err("a benchmark without its id or its unit"),
        },
        // Groups that are complete, and kinds to come: they measure nothing.
        (Some(_), _, _) => Ok(None),
        (None, Some(counts), Some(values)) => Ok(Some(Measurements {
            name: options.name.as_deref().unwrap_or("benchmark"),
            counts: &counts.0,
            values: &values.0,
            unit: "ns",
        })),
        _ => Err("neither a message nor a sample"),
    }
}

fn add(
    collector: &mut Collector,
    measurements: &Measurements<'_>,
    place: &str,
    options: &Options,
) -> Result<(), ImportError> {
    let &Measurements { name, counts, values, unit } = measurements;
    if counts.len() != values.len() {
        return Err(ImportError::LengthsDiffer {
            cell: shown(name),
            values: values.len(),
            counts: counts.len(),
            place: place.to_owned(),
        });
    }
    let is_time = seconds(1.0, unit).is_some();
    let what = Description {
        name,
        group: name.split('/').next().unwrap_or(name),
        metric: if is_time { "time" } else { unit },
        unit: if is_time { "s" } else { unit },
        // criterion itself takes every measurement for a cost.
        better: Better::Lower,
        class: GateClass::Timing,
        independent: Independence::Repetitions,
    };
    if values.is_empty() {
        collector.note(format!("`{}` is left out: it has no samples", shown(name)));
        return Ok(());
    }
    let cell = collector.single(&what, options.repeated, place)?;
    for (sample, (count, value)) in counts.iter().zip(values).enumerate() {
        let each = value / count;
        let each = seconds(each, unit).unwrap_or(each);
        collector.push(cell, each, || format!("{place}, sample {}", sample + 1))?;
    }
    Ok(())
}
