//! Any table with a heading: one sample per row.

use std::collections::HashSet;

use super::collect::{Collector, Description};
use super::text::{number, shown};
use super::unit::Unit;
use super::{Columns, ImportError, Imported, Independence, Options, Tool};
use crate::model::Better;

/// Headings that say what they hold.
const VALUE_HEADINGS: [&str; 4] = ["value", "time", "duration", "seconds"];

/// Most columns of a table, so that a file without lines does not become one row.
const MAX_COLUMNS: usize = 10_000;

/// What each column is for, as places in a row.
struct Chosen {
    value: usize,
    names: Vec<usize>,
    label: Option<usize>,
    unit: Option<usize>,
}

type Reader<'a> = csv::Reader<&'a [u8]>;

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    narrow(Tool::Csv, text, MAX_COLUMNS)?;
    let mut reader = reader(text);
    let headings = headings(&mut reader)?;
    let chosen = Chosen::new(&headings, text, &options.columns)?;
    let mut collector = Collector::new(Tool::Csv);
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| malformed(&error))? {
        add(&mut collector, &chosen, &headings, &row, options)?;
    }
    let mut imported = collector.finish()?;
    for cell in &mut imported.cells {
        let mut seen = HashSet::new();
        let all_differ = cell.labels.iter().all(|label| seen.insert(label));
        if all_differ && !cell.labels.is_empty() {
            cell.independent = Independence::Runs;
        }
    }
    Ok(imported)
}

fn first_line(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// Refuses a table with too many columns before anything of it is held.
pub(super) fn narrow(tool: Tool, text: &str, limit: usize) -> Result<(), ImportError> {
    if first_line(text).bytes().filter(|byte| b",;\t".contains(byte)).count() < limit {
        return Ok(());
    }
    let (place, reason) = ("the heading".to_owned(), format!("more than {limit} columns"));
    Err(ImportError::Malformed { tool, place, reason })
}

fn reader(text: &str) -> Reader<'_> {
    let first = first_line(text);
    let count = |delimiter: u8| first.bytes().filter(|byte| *byte == delimiter).count();
    let delimiter = [b',', b'\t', b';'].into_iter().rev().max_by_key(|byte| count(*byte));
    csv::ReaderBuilder::new()
        .delimiter(delimiter.expect("there are three"))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

fn headings(reader: &mut Reader<'_>) -> Result<Vec<String>, ImportError> {
    let headings = reader.headers().map_err(|error| malformed(&error))?;
    Ok(headings.iter().map(ToOwned::to_owned).collect())
}

fn malformed(error: &csv::Error) -> ImportError {
    let (place, reason) = (line(error.position()), reason(error));
    ImportError::Malformed { tool: Tool::Csv, place, reason }
}

/// Where a row begins.
pub(super) fn line(position: Option<&csv::Position>) -> String {
    position.map_or_else(|| "the heading".to_owned(), |at| format!("line {}", at.line()))
}

/// What is wrong with a row, without its place.
pub(super) fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("a row of {len} values under {expected_len} headings")
        }
        _ => shown(&error.to_string()),
    }
}

impl Chosen {
    fn new(headings: &[String], text: &str, columns: &Columns) -> Result<Self, ImportError> {
        let names = columns.names.iter().map(|name| find(headings, name));
        let names: Vec<usize> = names.collect::<Result<_, _>>()?;
        let label = columns.label.as_deref().map(|name| find(headings, name)).transpose()?;
        // Any unit asked for is the unit of all rows.
        let says_units = columns.unit.is_none() && headings.iter().any(|name| name == "unit");
        let unit = says_units.then(|| find(headings, "unit")).transpose()?;
        let taken = |at: usize| names.contains(&at) || label == Some(at) || unit == Some(at);
        let value = match &columns.value {
            Some(name) => find(headings, name)?,
            None => guessed(headings, text, taken)?,
        };
        Ok(Self { value, names, label, unit })
    }

    /// The name of the cell that a row belongs to, and its group.
    fn name<'a>(&self, heading: &'a str, row: &'a csv::StringRecord) -> (String, &'a str) {
        let names: Vec<&str> = self.names.iter().map(|&at| &row[at]).collect();
        match names.as_slice() {
            [] => (heading.to_owned(), "csv"),
            [only] => ((*only).to_owned(), "csv"),
            [first, ..] => (names.join("/"), first),
        }
    }
}

fn find(headings: &[String], column: &str) -> Result<usize, ImportError> {
    let mut found = headings.iter().enumerate().filter(|(_, heading)| *heading == column);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => Err(ImportError::RepeatedColumn { column: shown(column) }),
        (None, _) => {
            Err(ImportError::NoColumn { column: shown(column), there: listed(headings.iter()) })
        }
    }
}

fn listed<'a>(headings: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = headings.take(20).map(|heading| format!("`{heading}`")).collect();
    if names.is_empty() { "no column is all numbers".to_owned() } else { shown(&names.join(", ")) }
}

/// The column of the values, where none is named: the only one with a number in the first row, or
/// the only such one whose heading says so.
fn guessed(
    headings: &[String],
    text: &str,
    taken: impl Fn(usize) -> bool,
) -> Result<usize, ImportError> {
    let mut row = csv::StringRecord::new();
    if !reader(text).read_record(&mut row).map_err(|error| malformed(&error))? {
        return Err(ImportError::NoCells { tool: Tool::Csv, left_out: None });
    }
    let numeric = |&at: &usize| !taken(at) && number(&row[at]).is_ok();
    let numeric: Vec<usize> = (0..headings.len()).filter(numeric).collect();
    let telling: Vec<usize> =
        numeric.iter().copied().filter(|&at| tells_of_values(&headings[at])).collect();
    match (numeric.as_slice(), telling.as_slice()) {
        ([only], _) | (_, [only]) => Ok(*only),
        (several, _) => {
            let candidates = listed(several.iter().map(|&at| &headings[at]));
            Err(ImportError::NoValueColumn { candidates })
        }
    }
}

/// Whether a heading is that of measured values: one of the usual words, or with a unit.
fn tells_of_values(heading: &str) -> bool {
    let lower = heading.to_lowercase();
    let begins_with = |word: &&str| {
        let rest = lower.strip_prefix(*word);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    VALUE_HEADINGS.iter().any(begins_with) || Unit::of_heading(heading).better.is_some()
}

fn add(
    collector: &mut Collector,
    chosen: &Chosen,
    headings: &[String],
    row: &csv::StringRecord,
    options: &Options,
) -> Result<(), ImportError> {
    let heading = &headings[chosen.value];
    let place = line(row.position());
    let word = chosen.unit.map(|at| &row[at]).or(options.columns.unit.as_deref());
    let unit = word.map_or_else(|| Unit::of_heading(heading), Unit::of_word);
    let better: Option<Better> = options.better.or(unit.better);
    let better = better
        .or_else(|| Unit::of_heading(heading).better)
        .ok_or_else(|| ImportError::DirectionUnknown { column: shown(heading) })?;
    let (name, group) = chosen.name(heading, row);
    let what = Description {
        name: &name,
        group,
        metric: heading,
        unit: &unit.word,
        better,
        class: unit.class,
        independent: Independence::Repetitions,
    };
    let cell = collector.cell(&what, &place)?;
    let value = number(&row[chosen.value]).map_err(|reason| {
        let place = format!("`{}` of `{}` ({place})", shown(heading), shown(&name));
        ImportError::NotANumber { place, reason }
    })?;
    collector.push(cell, unit.scale.apply(value), || place)?;
    if let Some(at) = chosen.label {
        collector.label(cell, &row[at]);
    }
    Ok(())
}
