//! `JUnit` XML as Jenkins and most other CI systems read it: a suite per group, a case per cell.
//!
//! `time` is how long the gate took; what was measured is in properties and in the output.

#[cfg(test)]
mod tests;

use std::mem::discriminant;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::standing::Standing;
use super::{story, words};
use crate::model::{GateCell, GateReason, GateReport, GateSeries, GateVerdict, Weight};

/// What becomes of a cell about which nothing could be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// It counts as skipped.
    Skipped,
    /// It counts as failed: `--on-inconclusive fail`.
    Failed,
}

impl Undecided {
    /// What a report's own exit code says of it: an inconclusive build that ended with another
    /// code than zero was told to fail.
    #[must_use]
    pub fn of(report: &GateReport) -> Self {
        match report.verdict {
            GateVerdict::Inconclusive if report.exit_code != 0 => Self::Failed,
            _ => Self::Skipped,
        }
    }
}

/// The report as `JUnit` XML. Where the build's verdict would not show in its cells, it is a case
/// of its own, so that a file without cells is never green by being empty.
#[must_use]
pub fn junit(report: &GateReport, undecided: Undecided) -> String {
    let mut document = Report::new(text("autotune gate"));
    document.set_time(Duration::from_millis(report.elapsed_ms));
    let mut groups: Vec<&str> = report.cells.iter().map(|cell| cell.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let cells = report.cells.iter().filter(|cell| cell.group == group);
        let cases = cells.map(|cell| cell_case(cell, undecided));
        document.add_test_suite(suite(report, group, cases));
    }
    let is_cell = |name: &str| report.cells.iter().any(|cell| cell.name == name);
    let alone: Vec<&GateSeries> =
        report.series.iter().filter(|series| !is_cell(&series.cell)).collect();
    if !alone.is_empty() {
        let cases = alone.into_iter().map(series_case);
        document.add_test_suite(suite(report, "history", cases));
    }
    let build = status(report.verdict.into(), None, undecided, &report.line);
    let mut shown = document.test_suites.iter().flat_map(|suite| &suite.test_cases);
    if !shown.any(|case| alike(&case.status, &build)) {
        let mut case = TestCase::new("verdict", build);
        case.set_classname("gate");
        case.set_system_out(text(&told(report).join("\n")));
        document.add_test_suite(suite(report, "gate", [case]));
    }
    document.to_string().expect("a string takes any text")
}

fn suite(report: &GateReport, name: &str, cases: impl IntoIterator<Item = TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(text(name));
    let machine = report.machine.as_ref().map(words::machine);
    let facts = [
        ("autotune", Some(report.tool_version.clone())),
        ("created-at", Some(report.created_at.clone())),
        ("command", Some(report.command.clone())),
        ("mode", Some(report.mode.word().to_owned())),
        ("sides", words::sides(report)),
        ("machine", machine),
    ];
    for (name, value) in facts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        suite.add_property(Property::new(name, text(&value)));
    }
    suite.add_test_cases(cases);
    suite
}

fn cell_case(cell: &GateCell, undecided: Undecided) -> TestCase {
    let summary = words::summary(cell);
    let status = status(Standing::of(cell), Some(cell), undecided, &summary);
    let mut case = TestCase::new(text(&cell.name), status);
    case.set_classname(text(&cell.group));
    for (name, value) in figures(cell) {
        case.add_property(Property::new(name, value.to_string()));
    }
    case.set_system_out(text(&summary));
    case
}

/// What a standing becomes; only what may fail a build does so while undecided.
fn status(
    standing: Standing,
    cell: Option<&GateCell>,
    undecided: Undecided,
    message: &str,
) -> TestCaseStatus {
    let strict =
        undecided == Undecided::Failed && cell.is_none_or(|cell| cell.weight == Weight::Blocking);
    let environment = cell.is_some_and(|cell| cell.reason == Some(GateReason::Environment));
    match standing {
        Standing::Passes => TestCaseStatus::success(),
        Standing::Fails => not(NonSuccessKind::Failure, "regression", message),
        Standing::Missing => not(NonSuccessKind::Failure, "missing", message),
        Standing::NotComparable => not(NonSuccessKind::Error, "not-comparable", message),
        Standing::Inconclusive if strict && environment => {
            not(NonSuccessKind::Error, "environment", message)
        }
        Standing::Inconclusive if strict => not(NonSuccessKind::Failure, "inconclusive", message),
        Standing::Inconclusive | Standing::Waived | Standing::Advisory | Standing::New => {
            skipped(message)
        }
    }
}

fn series_case(series: &GateSeries) -> TestCase {
    let message = story::series(series).join("; ");
    let status = if series.change_points.iter().any(|change| change.fails) {
        not(NonSuccessKind::Failure, "regression", &message)
    } else if series.unstable.is_some() {
        skipped(&message)
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new(text(&series.cell), status);
    case.set_classname("history");
    case.set_system_out(text(&message));
    case
}

fn told(report: &GateReport) -> Vec<String> {
    let trials = report.trials.iter().flat_map(story::trials);
    trials.chain(story::circumstances(report)).chain([report.line.clone()]).collect()
}

fn figures(cell: &GateCell) -> impl Iterator<Item = (&'static str, f64)> {
    let figures = [
        ("base", cell.base),
        ("head", cell.head),
        ("slowdown", cell.slowdown),
        ("slowdown-low", cell.interval.map(|it| it.0)),
        ("slowdown-high", cell.interval.map(|it| it.1)),
        ("limit", Some(cell.delta)),
        ("blocks", Some(f64::from(cell.n))),
        ("p-t", cell.p_t),
        ("p-guard", cell.p_guard),
        ("p-required", cell.p_required),
        ("minimum-detectable", cell.minimum_detectable),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn not(kind: NonSuccessKind, why: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(why).set_message(text(message));
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(text(message));
    status
}

/// Lines without what XML 1.0 forbids; escapes of markup are the writer's.
fn text(text: &str) -> String {
    words::lines(text).replace(['\u{fffe}', '\u{ffff}'], "")
}

/// Whether who counts cases counts both as the same.
fn alike(one: &TestCaseStatus, other: &TestCaseStatus) -> bool {
    let kind = |status: &TestCaseStatus| match status {
        TestCaseStatus::NonSuccess { kind, .. } => Some(*kind),
        _ => None,
    };
    discriminant(one) == discriminant(other) && kind(one) == kind(other)
}
