//! `OpenMetrics` 1.0 text, in the part of it that older readers of Prometheus text take too:
//! gauges only, no timestamps. So one file serves GitLab, a gateway and `node_exporter`.
//!
//! GitLab compares values as strings, so they have three significant digits.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::super::machine::clean;
use super::words;
use crate::model::{GateCell, GateReport, GateVerdict};

/// A gauge of every cell that has it.
struct Family {
    /// Its name, which ends with the unit where it has one.
    name: &'static str,
    /// `ratio`, or none.
    unit: Option<&'static str>,
    help: &'static str,
    value: fn(&GateCell) -> Option<f64>,
}

impl Family {
    const fn ratio(
        name: &'static str,
        help: &'static str,
        value: fn(&GateCell) -> Option<f64>,
    ) -> Self {
        Self { name, unit: Some("ratio"), help, value }
    }
}

const FAMILIES: &[Family] = &[
    Family::ratio(
        "autotune_gate_slowdown_ratio",
        "How much worse the head is than the base; 0.05 is 5 % more time.",
        |cell| cell.slowdown,
    ),
    Family::ratio(
        "autotune_gate_slowdown_low_ratio",
        "Lower end of the interval of the slowdown.",
        |cell| Some(cell.interval?.0),
    ),
    Family::ratio(
        "autotune_gate_slowdown_high_ratio",
        "Upper end of the interval of the slowdown.",
        |cell| Some(cell.interval?.1),
    ),
    Family::ratio("autotune_gate_limit_ratio", "The slowdown that is allowed.", |cell| {
        Some(cell.delta)
    }),
    Family::ratio(
        "autotune_gate_minimum_detectable_ratio",
        "The smallest slowdown that would have failed with the power asked for.",
        |cell| cell.minimum_detectable,
    ),
    Family {
        name: "autotune_gate_base",
        unit: None,
        help: "Middle of the base, in the unit of the label.",
        value: |cell| cell.base,
    },
    Family {
        name: "autotune_gate_head",
        unit: None,
        help: "Middle of the head, in the unit of the label.",
        value: |cell| cell.head,
    },
];

/// The report as gauges, ending with `# EOF`.
#[must_use]
pub fn openmetrics(report: &GateReport) -> String {
    let mut out = String::new();
    for family in FAMILIES {
        let samples = report.cells.iter().filter_map(|cell| {
            let mut labels = vec![("cell", cell.name.as_str()), ("metric", cell.metric.as_str())];
            if family.unit.is_none() {
                labels.push(("unit", &cell.unit));
            }
            Some((labels, (family.value)(cell)?))
        });
        write_family(&mut out, family.name, family.unit, family.help, samples);
    }
    write_family(
        &mut out,
        "autotune_gate_cell_verdict",
        None,
        "1 for the verdict of the cell, 0 for every other.",
        report.cells.iter().flat_map(|cell| {
            states(cell.verdict).map(|(state, value)| {
                let labels = vec![("cell", cell.name.as_str()), ("verdict", state)];
                (labels, value)
            })
        }),
    );
    write_family(
        &mut out,
        "autotune_gate_verdict",
        None,
        "1 for the verdict of the build, 0 for every other.",
        states(report.verdict).map(|(state, value)| (vec![("verdict", state)], value)),
    );
    out.push_str("# EOF\n");
    out
}

fn states(verdict: GateVerdict) -> impl Iterator<Item = (&'static str, f64)> {
    let all = [
        GateVerdict::Fail,
        GateVerdict::Missing,
        GateVerdict::NotComparable,
        GateVerdict::Inconclusive,
        GateVerdict::New,
        GateVerdict::Pass,
    ];
    all.into_iter().map(move |state| (state.word(), f64::from(u8::from(state == verdict))))
}

/// One family with its samples; nothing where it has none.
fn write_family<'a>(
    out: &mut String,
    name: &str,
    unit: Option<&str>,
    help: &str,
    samples: impl Iterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
) {
    let mut samples = samples.filter(|(_, value)| value.is_finite()).peekable();
    if samples.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "# TYPE {name} gauge");
    if let Some(unit) = unit {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = writeln!(out, "# HELP {name} {help}");
    for (labels, value) in samples {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let _ = writeln!(out, "{name}{{{}}} {}", labels.join(","), words::significant(value));
    }
}

/// The value of a label: one line, whose quotes and backslashes are escaped.
fn escaped(text: &str) -> String {
    clean(text).replace('\\', "\\\\").replace('"', "\\\"")
}
