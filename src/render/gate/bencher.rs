//! The Bencher Metric Format: `{cell: {measure: {value, lower_value, upper_value}}}`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::machine::clean;
use crate::model::{GateCell, GateReport};

/// One value with what surrounds it.
#[derive(Serialize)]
struct Measure {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

/// What was measured of the head, under the cell's metric, and how much slower it is, under
/// `slowdown`: the interval is that of the comparison and belongs to no side alone.
#[must_use]
pub fn bencher(report: &GateReport) -> String {
    let cells: BTreeMap<String, BTreeMap<String, Measure>> = report
        .cells
        .iter()
        .map(|cell| (clean(&cell.name), measures(cell)))
        .filter(|(_, measures)| !measures.is_empty())
        .collect();
    super::json(&cells)
}

fn measures(cell: &GateCell) -> BTreeMap<String, Measure> {
    let head = cell.head.map(|value| {
        (clean(&cell.metric), Measure { value, lower_value: None, upper_value: None })
    });
    let slowdown = cell.slowdown.map(|value| {
        let (lower_value, upper_value) = cell.interval.unzip();
        ("slowdown".to_owned(), Measure { value, lower_value, upper_value })
    });
    [head, slowdown].into_iter().flatten().filter(|(_, it)| it.value.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_head_and_its_slowdown_are_measures() {
        let read: serde_json::Value = serde_json::from_str(&bencher(&fixture::report())).unwrap();
        let cell = &read["tiny-q8_0/tg128"];
        assert_eq!(cell["tg"], serde_json::json!({"value": 40.19}));
        let slowdown =
            serde_json::json!({"value": 0.048, "lower_value": 0.035, "upper_value": 0.061});
        assert_eq!(cell["slowdown"], slowdown);
        assert_eq!(read.get("gone/tg128"), None);
        let read: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&bencher(&fixture::hostile())).unwrap();
        assert_eq!(read.len(), 6);
    }
}
