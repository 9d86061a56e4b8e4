//! Entries for github-action-benchmark, which keeps one direction per file.

use serde::Serialize;

use super::super::machine::clean;
use super::words;
use crate::model::{Better, GateCell, GateReport};

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: String,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    extra: String,
}

/// The cells of the head of which more is better, for `customBiggerIsBetter`.
#[must_use]
pub fn bigger_is_better(report: &GateReport) -> String {
    entries(report, Better::Higher)
}

/// The cells of the head of which less is better, for `customSmallerIsBetter`.
#[must_use]
pub fn smaller_is_better(report: &GateReport) -> String {
    entries(report, Better::Lower)
}

fn entries(report: &GateReport, better: Better) -> String {
    let cells = report.cells.iter().filter(|cell| cell.better == better);
    let entries: Vec<Entry> = cells.filter_map(entry).collect();
    super::json(&entries)
}

/// The head with the slowdown's interval as its range: the head alone has none.
fn entry(cell: &GateCell) -> Option<Entry> {
    Some(Entry {
        name: clean(&cell.name),
        unit: clean(&cell.unit),
        value: cell.head.filter(|value| value.is_finite())?,
        range: words::interval(cell).map(|interval| format!("{interval} % against the base")),
        extra: words::summary(cell),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn read(text: &str) -> Vec<serde_json::Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_direction_has_its_own_file() {
        let report = fixture::report();
        let (bigger, smaller) =
            (read(&bigger_is_better(&report)), read(&smaller_is_better(&report)));
        assert_eq!((bigger.len(), smaller.len()), (4, 2));
        assert_eq!(bigger[0]["name"], "tiny-q8_0/tg128");
        assert_eq!(bigger[0]["value"], 40.19);
        assert_eq!(bigger[0]["range"], "[+3.5, +6.1] % against the base");
        assert_eq!(smaller[0]["unit"], "s");
        assert_eq!(read(&bigger_is_better(&fixture::hostile())).len(), 4);
    }
}
