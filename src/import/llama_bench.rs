//! llama-bench's JSON, JSON lines and CSV, and the same from `autotune bench`: tokens per second
//! of every repetition, or only their mean where no more is written (CSV).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use super::collect::{Collector, Description};
use super::json::{Bounded, documents};
use super::llama_row::{MAX_FIELDS, Row, Value};
use super::text::{number, shown};
use super::{ImportError, Imported, Independence, MAX_CELLS, Options, Tool};
use crate::model::{Better, GateClass};

/// A test that was measured.
struct Test<'a> {
    row: Row<'a>,
    place: String,
    group: String,
    metric: &'static str,
    name: String,
}

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let mut collector = Collector::new(Tool::LlamaBench);
    let mut tests = Vec::new();
    let mut headings = csv::StringRecord::new();
    for (index, row) in rows(text, &mut headings)?.into_iter().enumerate() {
        let parsed = understood(row, format!("test {}", index + 1))?;
        if parsed.row.samples.is_empty() {
            collector.note(format!("`{}` is left out: {}", shown(&parsed.name), why(&parsed.row)));
        } else {
            tests.push(parsed);
        }
    }
    for (name, test) in names(&tests).iter().zip(&tests) {
        add(&mut collector, test, name, options)?;
    }
    collector.finish()
}

/// The rows of any of the formats; `headings` is room for those of a table.
fn rows<'a>(
    text: &'a str,
    headings: &'a mut csv::StringRecord,
) -> Result<Vec<Row<'a>>, ImportError> {
    let start = text.trim_start();
    let for_people = |output| Err(ImportError::ForPeople { output });
    match start.as_bytes().first() {
        Some(b'[') => {
            let mut all = Vec::new();
            // Several arrays, if results were appended.
            for list in documents::<Bounded<Row<'_>, MAX_CELLS>>(Tool::LlamaBench, text) {
                all.append(&mut list?.checked("tests")?);
                enough(&all)?;
            }
            Ok(all)
        }
        Some(b'{') => {
            let mut all = Vec::new();
            for row in documents(Tool::LlamaBench, text) {
                all.push(row?);
                enough(&all)?;
            }
            Ok(all)
        }
        Some(b'|') => for_people("Markdown table"),
        _ if start.starts_with("CREATE TABLE") || start.starts_with("INSERT INTO") => {
            for_people("SQL")
        }
        _ => table(text, headings),
    }
}

fn enough(rows: &[Row<'_>]) -> Result<(), ImportError> {
    if rows.len() > MAX_CELLS {
        return Err(ImportError::TooMany { what: "tests", limit: MAX_CELLS });
    }
    Ok(())
}

fn table<'a>(text: &str, headings: &'a mut csv::StringRecord) -> Result<Vec<Row<'a>>, ImportError> {
    let malformed = |error: &csv::Error| ImportError::Malformed {
        tool: Tool::LlamaBench,
        place: super::csv::line(error.position()),
        reason: super::csv::reason(error),
    };
    super::csv::narrow(Tool::LlamaBench, text, MAX_FIELDS)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    *headings = reader.headers().map_err(|error| malformed(&error))?.clone();
    let headings = &*headings;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(&error))?;
        let mut row = Row { fields: Vec::new(), samples: Vec::new() };
        for (heading, value) in headings.iter().zip(&record) {
            if heading == "samples_ts" {
                for sample in value.split_whitespace() {
                    row.samples.push(number_at(sample, super::csv::line(record.position()))?);
                }
            } else {
                let value = Value::Text(Cow::Owned(value.to_owned()));
                row.fields.push((Cow::Borrowed(heading), value));
            }
        }
        rows.push(row);
        enough(&rows)?;
    }
    Ok(rows)
}

fn number_at(text: &str, place: String) -> Result<f64, ImportError> {
    number(text).map_err(|reason| ImportError::NotANumber { place, reason })
}

/// What a row is, with the mean as its only sample where there is no more.
fn understood(mut row: Row<'_>, place: String) -> Result<Test<'_>, ImportError> {
    let tokens = |name: &str| match row.text(name) {
        Some(text) => text.parse::<u64>().map_err(|_| format!("{name} is `{}`", shown(&text))),
        None => Err(format!("a test without {name}")),
    };
    // Before there were depths, no file had them.
    let depth = if row.field("n_depth", 0).is_some() { tokens("n_depth") } else { Ok(0) };
    let work = tokens("n_prompt").and_then(|prompt| Ok((prompt, tokens("n_gen")?, depth?)));
    let (mut name, metric, depth) = match work {
        Ok((0, 0, _)) => Err("a test without tokens".to_owned()),
        Ok((prompt, 0, depth)) => Ok((format!("pp{prompt}"), "pp", depth)),
        Ok((0, generate, depth)) => Ok((format!("tg{generate}"), "tg", depth)),
        Ok((prompt, generate, depth)) => Ok((format!("pp{prompt}+tg{generate}"), "pp+tg", depth)),
        Err(reason) => Err(reason),
    }
    .map_err(|reason| ImportError::Malformed {
        tool: Tool::LlamaBench,
        place: place.clone(),
        reason,
    })?;
    if depth > 0 {
        write!(name, " @ d{depth}").expect("strings take any text");
    }
    if row.samples.is_empty()
        && let Some(mean) = row.text("avg_ts")
    {
        row.samples.push(number_at(&mean, format!("avg_ts of {place}"))?);
    }
    let group = model(&row);
    Ok(Test { name: format!("{group}/{name}"), row, place, group, metric })
}

/// The model by its file, without folder and ending, or by its kind.
fn model(row: &Row<'_>) -> String {
    let Some(file) = row.text("model_filename") else {
        return row.text("model_type").unwrap_or_else(|| "model".to_owned());
    };
    let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
    file.strip_suffix(".gguf").unwrap_or(file).to_owned()
}

/// Why a test was not measured.
fn why(row: &Row<'_>) -> String {
    let said: Vec<String> =
        ["outcome", "reason"].iter().filter_map(|name| row.text(name)).collect();
    if said.is_empty() { "it has no samples".to_owned() } else { shown(&said.join(": ")) }
}

/// The names of tests, with the settings in which those of one name differ.
fn names(tests: &[Test<'_>]) -> Vec<String> {
    let mut alike: HashMap<&str, Vec<&Row<'_>>> = HashMap::new();
    for test in tests {
        alike.entry(&test.name).or_default().push(&test.row);
    }
    let mut differing: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, rows) in alike {
        let (first, others) = rows.split_first().expect("each name has the row it comes from");
        let differs = |at: usize, setting: &str, value: &Value<'_>| {
            others.iter().any(|row| row.field(setting, at).is_some_and(|other| other != value))
        };
        let settings = first.settings().filter(|(at, name, value)| differs(*at, name, value));
        differing.insert(name, settings.map(|(_, setting, _)| setting).collect());
    }
    let whole = |test: &Test<'_>| {
        let mut name = test.name.clone();
        for &setting in &differing[test.name.as_str()] {
            let value = test.row.field(setting, 0).unwrap_or(&Value::Absent);
            write!(name, " {setting}={value}").expect("strings take any text");
        }
        name
    };
    tests.iter().map(whole).collect()
}

fn add(
    collector: &mut Collector,
    test: &Test<'_>,
    name: &str,
    options: &Options,
) -> Result<(), ImportError> {
    let what = Description {
        name,
        group: &test.group,
        metric: test.metric,
        unit: "tok/s",
        better: Better::Higher,
        class: GateClass::Timing,
        independent: Independence::Repetitions,
    };
    let cell = collector.single(&what, options.repeated, &test.place)?;
    for (sample, &speed) in test.row.samples.iter().enumerate() {
        collector.push(cell, speed, || format!("{}, sample {}", test.place, sample + 1))?;
    }
    // What a build without the facts writes.
    if let Some(commit) = test.row.text("build_commit").filter(|commit| commit != "unknown") {
        collector.commit(&commit);
    }
    let made_up = test.row.text("synthetic_times");
    if made_up.is_some_and(|text| text == "1" || text == "true") {
        collector.synthetic();
    }
    Ok(())
}
