//! Go's benchmark format: lines of `BenchmarkName-8  100  123 ns/op  45 B/op`, and configuration.
//!
//! The format is Go's proposal 14313 with the `Unit` lines of issue 43744. Units become those of
//! benchstat: `ns/op` is kept as `sec/op`, `MB/s` as `B/s`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::collect::{Collector, Description};
use super::text::{number, shown};
use super::unit::Scale;
use super::{ImportError, Imported, Independence, Options, Tool};
use crate::model::{Better, GateClass};

/// Configuration that should be the same all through a file.
const SURROUNDINGS: [&str; 3] = ["goos", "goarch", "cpu"];

/// What the lines so far say of those that follow.
#[derive(Default)]
struct State<'a> {
    package: &'a str,
    surroundings: BTreeMap<&'a str, &'a str>,
    changed: BTreeSet<&'a str>,
    /// What `Unit` lines say, for the whole file.
    directions: HashMap<&'a str, Better>,
    /// Units of which nothing says whether more is better.
    unknown: BTreeSet<String>,
}

pub(super) fn import(text: &str, options: &Options) -> Result<Imported, ImportError> {
    let mut collector = Collector::new(Tool::GoBench);
    let mut state = State { directions: directions(text), ..State::default() };
    for (index, line) in text.lines().enumerate() {
        let place = index + 1;
        let left = line.trim_start();
        let mut fields = left.split_whitespace();
        let first = fields.next().unwrap_or_default();
        if is_benchmark(first) && line.starts_with("Benchmark") {
            match fields.next() {
                Some(count) if count.parse::<u64>().is_ok() => {
                    let name = first.strip_prefix("Benchmark").unwrap_or(first);
                    let result = Line { name: state.whole(name), number: place };
                    add_all(&mut collector, &mut state, &result, fields, options)?;
                }
                // With -v, the name is printed alone before its result.
                None => {}
                Some(_) => collector.note(format!("line {place} is no result: {}", shown(line))),
            }
        } else if ["FAIL", "--- FAIL", "--- SKIP"].iter().any(|word| left.starts_with(word)) {
            collector.note(format!("line {place} tells of what is not there: {}", shown(left)));
        } else if first.parse::<u64>().is_ok() && line.contains("ns/op") {
            collector.note(format!("line {place} is a result without a name: {}", shown(line)));
        } else if let Some((key, value)) = configuration(line) {
            state.configure(key, value);
        }
    }
    for key in &state.changed {
        collector.note(format!("`{key}` is not the same all through the file"));
    }
    for unit in &state.unknown {
        collector.note(format!(
            "`{unit}` is left out: nothing says whether more is better, as the line \
             `Unit {unit} better=lower` or --better would",
            unit = shown(unit)
        ));
    }
    collector.finish()
}

/// Whether a word is the name of a benchmark: `Benchmark` and no small letter behind it.
fn is_benchmark(word: &str) -> bool {
    word.strip_prefix("Benchmark").is_some_and(|rest| !rest.starts_with(|c: char| c.is_lowercase()))
}

/// `key: value`, where a key has neither blanks nor capitals.
fn configuration(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let plain = |c: char| !c.is_whitespace() && !c.is_uppercase();
    let is_key = key.starts_with(char::is_lowercase) && key.chars().all(plain);
    (is_key && (value.is_empty() || value.starts_with(char::is_whitespace)))
        .then(|| (key, value.trim()))
}

/// What lines such as `Unit req/s better=higher` say.
fn directions(text: &str) -> HashMap<&str, Better> {
    let mut directions = HashMap::new();
    for line in text.lines().filter(|line| line.starts_with("Unit ")) {
        let mut fields = line.split_whitespace().skip(1);
        let Some(unit) = fields.next() else { continue };
        for field in fields {
            match field {
                "better=higher" => directions.insert(unit, Better::Higher),
                "better=lower" => directions.insert(unit, Better::Lower),
                _ => continue,
            };
        }
    }
    directions
}

/// The beginning of a line with results.
struct Line {
    /// Package and benchmark.
    name: String,
    /// From 1.
    number: usize,
}

impl<'a> State<'a> {
    /// The name of a benchmark with its package.
    fn whole(&self, name: &str) -> String {
        if self.package.is_empty() { name.to_owned() } else { format!("{}/{name}", self.package) }
    }

    fn configure(&mut self, key: &'a str, value: &'a str) {
        if key == "pkg" {
            self.package = value;
        }
        if SURROUNDINGS.contains(&key)
            && self.surroundings.insert(key, value).is_some_and(|before| before != value)
        {
            self.changed.insert(key);
        }
    }
}

/// The values of one line behind its name and count.
fn add_all<'a>(
    collector: &mut Collector,
    state: &mut State<'_>,
    line: &Line,
    mut fields: impl Iterator<Item = &'a str>,
    options: &Options,
) -> Result<(), ImportError> {
    let malformed = |reason: &str| ImportError::Malformed {
        tool: Tool::GoBench,
        place: format!("line {}", line.number),
        reason: reason.to_owned(),
    };
    let mut any = false;
    while let Some(value) = fields.next() {
        any = true;
        let value = number(value).map_err(|reason| {
            let place = format!("a value of `{}` (line {})", shown(&line.name), line.number);
            ImportError::NotANumber { place, reason }
        })?;
        let unit = fields.next().ok_or_else(|| malformed("a value without its unit"))?;
        add(collector, state, line, (value, unit), options)?;
    }
    if any { Ok(()) } else { Err(malformed("a result without values")) }
}

fn add(
    collector: &mut Collector,
    state: &mut State<'_>,
    line: &Line,
    (value, unit): (f64, &str),
    options: &Options,
) -> Result<(), ImportError> {
    let (scale, tidy) = tidied(unit);
    let known = state.directions.get(unit).or_else(|| state.directions.get(tidy.as_str()));
    let Some(better) = known.copied().or_else(|| direction(&tidy)).or(options.better) else {
        state.unknown.insert(tidy);
        return Ok(());
    };
    let name = format!("{} {tidy}", line.name);
    let what = Description {
        name: &name,
        group: if state.package.is_empty() { "go" } else { state.package },
        metric: &tidy,
        unit: &tidy,
        better,
        class: class(&tidy),
        independent: Independence::Repetitions,
    };
    let place = format!("line {}", line.number);
    let cell = collector.cell(&what, &place)?;
    // No allocation at all is what many are proud of; no time at all is a mistake.
    if value == 0.0 && !is_timing(&tidy) {
        collector.zero(cell);
        return Ok(());
    }
    collector.push(cell, scale.apply(value), || place)
}

/// What a unit counts, without what it counts per: `B` of `peak-B/op`.
fn counted(unit: &str) -> &str {
    let amount = unit.split('/').next().unwrap_or_default();
    amount.rsplit(['-', '*']).next().unwrap_or_default()
}

/// The way to a base unit, and that unit, as benchstat has them.
fn tidied(unit: &str) -> (Scale, String) {
    let amount = unit.split('/').next().unwrap_or_default();
    let (before, behind) = (&amount[..amount.len() - counted(unit).len()], &unit[amount.len()..]);
    match counted(unit) {
        "ns" => (Scale::Over(1e9), format!("{before}sec{behind}")),
        "MB" => (Scale::Times(1e6), format!("{before}B{behind}")),
        _ => (Scale::Times(1.0), unit.to_owned()),
    }
}

fn is_rate(unit: &str) -> bool {
    unit.ends_with("/s") || unit.ends_with("/sec")
}

fn is_timing(unit: &str) -> bool {
    is_rate(unit) || counted(unit) == "sec"
}

/// Whether more is better: a rate is, a cost is not.
fn direction(unit: &str) -> Option<Better> {
    if is_rate(unit) {
        Some(Better::Higher)
    } else if unit.ends_with("/op") || matches!(counted(unit), "sec" | "B" | "bytes" | "allocs") {
        Some(Better::Lower)
    } else {
        None
    }
}

fn class(unit: &str) -> GateClass {
    let counts_memory = matches!(counted(unit), "B" | "bytes" | "allocs");
    if counts_memory && !is_rate(unit) { GateClass::Memory } else { GateClass::Timing }
}
