//! Gathers samples into cells: checks every value, counts, and keeps the notes few.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::text::{bounded, shown};
use super::{
    ImportError, Imported, ImportedCell, Independence, MAX_CELLS, MAX_SAMPLES, Repeated, Tool,
};
use crate::model::{Better, GateClass};

/// Most notes on one file; the rest is counted.
const MAX_NOTES: usize = 100;

/// What a cell is, before its samples.
#[derive(Debug, Clone)]
pub(super) struct Description<'a> {
    pub name: &'a str,
    pub group: &'a str,
    pub metric: &'a str,
    pub unit: &'a str,
    pub better: Better,
    pub class: GateClass,
    pub independent: Independence,
}

/// The cells of one file while it is read.
#[derive(Debug)]
pub(super) struct Collector {
    tool: Tool,
    cells: Vec<ImportedCell>,
    /// Place in `cells` of each name, whole.
    places: HashMap<String, usize>,
    samples: usize,
    zero: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    notes: Vec<String>,
    more_notes: usize,
    commits: BTreeSet<String>,
    synthetic: bool,
}

impl Collector {
    pub fn new(tool: Tool) -> Self {
        Self {
            tool,
            cells: Vec::new(),
            places: HashMap::new(),
            samples: 0,
            zero: BTreeSet::new(),
            failed: BTreeSet::new(),
            notes: Vec::new(),
            more_notes: 0,
            commits: BTreeSet::new(),
            synthetic: false,
        }
    }

    /// The cell of that name, for a format that repeats a name for each sample.
    pub fn cell(&mut self, what: &Description<'_>, place: &str) -> Result<usize, ImportError> {
        if let Some(&at) = self.places.get(what.name) {
            let unit = bounded(what.unit);
            return if self.cells[at].unit == unit {
                Ok(at)
            } else {
                Err(ImportError::MixedUnits {
                    cell: shown(what.name),
                    first: shown(&self.cells[at].unit),
                    second: shown(&unit),
                    place: place.to_owned(),
                })
            };
        }
        if self.cells.len() == MAX_CELLS {
            return Err(ImportError::TooMany { what: "cells", limit: MAX_CELLS });
        }
        self.cells.push(ImportedCell {
            name: bounded(what.name),
            group: bounded(what.group),
            metric: bounded(what.metric),
            unit: bounded(what.unit),
            better: what.better,
            class: what.class,
            samples: Vec::new(),
            labels: Vec::new(),
            independent: what.independent,
        });
        self.places.insert(what.name.to_owned(), self.cells.len() - 1);
        Ok(self.cells.len() - 1)
    }

    /// The cell of that name, for a format that has each test once.
    pub fn single(
        &mut self,
        what: &Description<'_>,
        repeated: Repeated,
        place: &str,
    ) -> Result<usize, ImportError> {
        if repeated == Repeated::Refused && self.places.contains_key(what.name) {
            return Err(ImportError::Repeated { cell: shown(what.name), place: place.to_owned() });
        }
        self.cell(what, place)
    }

    /// One more sample of a cell, in its unit.
    pub fn push(
        &mut self,
        cell: usize,
        value: f64,
        place: impl FnOnce() -> String,
    ) -> Result<(), ImportError> {
        let cell = &mut self.cells[cell];
        let named = |name: &str| format!("`{}` ({})", shown(name), place());
        if !value.is_finite() {
            let value = value.to_string();
            return Err(ImportError::NotFinite { place: named(&cell.name), value });
        }
        if value <= 0.0 {
            return Err(ImportError::NotPositive { place: named(&cell.name), value });
        }
        if self.samples == MAX_SAMPLES {
            return Err(ImportError::TooMany { what: "samples", limit: MAX_SAMPLES });
        }
        self.samples += 1;
        cell.samples.push(value);
        Ok(())
    }

    /// What the last sample of a cell is called.
    pub fn label(&mut self, cell: usize, label: &str) {
        self.cells[cell].labels.push(bounded(label));
    }

    /// Notes that runs of a cell ended with an error.
    pub fn failed(&mut self, cell: usize) {
        self.failed.insert(cell);
    }

    /// Notes that a value of a cell is zero, so that it cannot be compared.
    pub fn zero(&mut self, cell: usize) {
        self.zero.insert(cell);
    }

    /// Says one sentence about the file.
    pub fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        } else {
            self.more_notes += 1;
        }
    }

    /// A commit that was measured.
    pub fn commit(&mut self, commit: &str) {
        self.commits.insert(bounded(commit));
    }

    /// Notes that a simulator made times up.
    pub fn synthetic(&mut self) {
        self.synthetic = true;
    }

    /// The file as a whole.
    pub fn finish(mut self) -> Result<Imported, ImportError> {
        let mut names = HashSet::new();
        if let Some(twice) = self.cells.iter().find(|cell| !names.insert(cell.name.as_str())) {
            return Err(ImportError::NamesAlike { cell: shown(&twice.name) });
        }
        let failed = self.failed.iter().map(|&at| self.cells[at].name.clone()).collect();
        let zero: Vec<String> = self.zero.iter().map(|&at| self.cells[at].name.clone()).collect();
        for name in &zero {
            self.note(format!("`{}` is left out: a value of it is zero", shown(name)));
        }
        if self.commits.len() > 1 {
            let all: Vec<String> = self.commits.iter().take(5).map(|name| shown(name)).collect();
            let count = self.commits.len();
            self.note(format!("the file has results of {count} builds: {}", all.join(", ")));
        }
        if self.synthetic {
            self.note("a simulator made times of this file up".to_owned());
        }
        let mut at = 0;
        self.cells.retain(|cell| {
            let kept = !cell.samples.is_empty() && !self.zero.contains(&at);
            at += 1;
            kept
        });
        if self.cells.is_empty() {
            let left_out = self.notes.into_iter().next();
            return Err(ImportError::NoCells { tool: self.tool, left_out });
        }
        if self.more_notes > 0 {
            self.notes.push(format!("{} more notes are not shown", self.more_notes));
        }
        let commit = if self.commits.len() == 1 { self.commits.pop_first() } else { None };
        let Self { cells, notes, synthetic, .. } = self;
        Ok(Imported { cells, notes, zero, failed, commit, synthetic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: Description<'_> = Description {
        name: "a",
        group: "g",
        metric: "time",
        unit: "s",
        better: Better::Lower,
        class: GateClass::Timing,
        independent: Independence::Runs,
    };

    #[test]
    fn samples_are_counted_over_all_cells() {
        let mut collector = Collector::new(Tool::Csv);
        let cell = collector.cell(&WHAT, "line 1").unwrap();
        collector.samples = MAX_SAMPLES - 1;
        collector.push(cell, 1.0, String::new).unwrap();
        let error = collector.push(cell, 1.0, String::new).unwrap_err();
        assert_eq!(error, ImportError::TooMany { what: "samples", limit: MAX_SAMPLES });
    }

    #[test]
    fn notes_are_few_and_the_rest_is_counted() {
        let mut collector = Collector::new(Tool::Csv);
        let cell = collector.cell(&WHAT, "line 1").unwrap();
        collector.push(cell, 1.0, String::new).unwrap();
        for number in 0..MAX_NOTES + 7 {
            collector.note(format!("note {number}"));
        }
        let imported = collector.finish().unwrap();
        assert_eq!(imported.notes.len(), MAX_NOTES + 1);
        assert_eq!(imported.notes.last().unwrap(), "7 more notes are not shown");
    }

    #[test]
    fn a_cell_is_in_one_unit() {
        let mut collector = Collector::new(Tool::Csv);
        collector.cell(&WHAT, "line 1").unwrap();
        let error = collector.cell(&Description { unit: "ms", ..WHAT }, "line 2").unwrap_err();
        assert_eq!(error.to_string(), "`a` is in s and in ms (line 2)");
    }
}
