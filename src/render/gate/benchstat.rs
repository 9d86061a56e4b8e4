//! Text in Go's benchmark format, one side at a time: `benchstat base.txt head.txt`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::machine::clean;
use crate::model::{Better, GateCell, GateReport};

/// Which of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// What is judged against.
    Base,
    /// What is judged.
    Head,
}

/// One side of the report. A report has one middle of each cell and no samples behind it, so that
/// is what is written; benchstat then shows changes and claims no significance for them.
#[must_use]
pub fn benchstat(report: &GateReport, half: Half) -> String {
    let (side, value): (_, fn(&GateCell) -> Option<f64>) = match half {
        Half::Base => (&report.base, |cell| cell.base),
        Half::Head => (&report.head, |cell| cell.head),
    };
    let mut out = String::from(
        "# Medians of autotune gate, one line per cell: no samples, so no significance is to be\n\
         # had from them. The verdicts are in the JSON report.\n",
    );
    let _ = writeln!(out, "tool: autotune {}", clean(&report.tool_version));
    if let Some(side) = side {
        let _ = writeln!(out, "side: {}", clean(&side.name));
    }
    let measured: Vec<(&GateCell, f64)> =
        report.cells.iter().filter_map(|cell| Some((cell, value(cell)?))).collect();
    let units: BTreeMap<String, Better> =
        measured.iter().map(|(cell, _)| (unit(cell), cell.better)).collect();
    for (unit, better) in units {
        let better = match better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        };
        let _ = writeln!(out, "Unit {unit} better={better}");
    }
    for (cell, value) in measured {
        let (name, unit) = (word(&cell.name), unit(cell));
        let _ = writeln!(out, "BenchmarkGate/{name} {} {value} {unit}", cell.n.max(1));
    }
    out
}

/// Units that benchstat knows under another name, and scales.
fn unit(cell: &GateCell) -> String {
    match cell.unit.as_str() {
        "s" => "sec/op".to_owned(),
        "bytes" => "B".to_owned(),
        unit => word(unit),
    }
}

/// A word without spaces, which part the fields of a line.
fn word(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn lines(report: &GateReport, half: Half) -> Vec<Vec<String>> {
        let text = benchstat(report, half);
        let results = text.lines().filter(|line| line.starts_with("Benchmark"));
        results.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn each_side_has_its_own_medians() {
        let base = lines(&fixture::report(), Half::Base);
        let head = lines(&fixture::report(), Half::Head);
        assert_eq!(base[0], ["BenchmarkGate/tiny-q8_0/tg128", "12", "42.12", "tok/s"]);
        assert_eq!(head[0], ["BenchmarkGate/tiny-q8_0/tg128", "12", "40.19", "tok/s"]);
        let load = head.iter().find(|line| line[0].ends_with("load")).unwrap();
        assert_eq!(load[1..], ["12", "0.461", "sec/op"]);
        assert_eq!((base.len(), head.len()), (7, 6));
        let text = benchstat(&fixture::report(), Half::Head);
        assert!(text.contains("\nUnit tok/s better=higher\n") && text.starts_with("# Medians"));
    }

    #[test]
    fn hostile_names_are_one_field() {
        for line in lines(&fixture::hostile(), Half::Head) {
            assert_eq!(line.len(), 4, "{line:?}");
            assert!(line[2].parse::<f64>().is_ok());
        }
    }
}
