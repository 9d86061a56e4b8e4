//! Where a report goes: stdout, files, and what a GitHub job reads.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::arguments::{Annotations, Format, Outputs};
use crate::cli::{Exit, Printer, Stop, global, report as files};
use crate::judge::{self, Policy};
use crate::model::{GateCell, GateMode, GateReport};
use crate::render::gate::{self as render, Export, Ink};

/// A report without its cells.
pub(super) fn draft(mode: GateMode, mode_reason: impl Into<String>) -> GateReport {
    GateReport {
        schema: GateReport::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: global::now(),
        command: global::command(),
        mode,
        mode_reason: mode_reason.into(),
        verdict: crate::model::GateVerdict::NotComparable,
        reason: None,
        line: String::new(),
        exit_code: 3,
        synthetic: false,
        alpha: judge::Rule::default().alpha,
        beta: judge::Rule::default().beta,
        m: 0,
        base: None,
        head: None,
        cells: Vec::new(),
        machine: None,
        machine_differences: Vec::new(),
        canary: None,
        seed: 1,
        suite_digest: None,
        sessions: Vec::new(),
        series: Vec::new(),
        change_points: Vec::new(),
        trials: None,
        notes: Vec::new(),
        elapsed_ms: 0,
    }
}

/// Puts judged cells into a report, and the verdict that follows from them.
pub(super) fn judged(report: GateReport, mut cells: Vec<GateCell>, policy: Policy) -> GateReport {
    let build = judge::judge_build(&cells, policy);
    judge::worst_first(&mut cells);
    let blocking = cells.iter().filter(|cell| cell.weight == crate::model::Weight::Blocking);
    GateReport {
        m: u32::try_from(blocking.count()).unwrap_or(u32::MAX),
        verdict: build.verdict,
        reason: build.reason,
        line: build.line,
        exit_code: build.exit_code,
        created_at: global::now(),
        cells,
        ..report
    }
}

/// Writes a report everywhere it was asked for, and gives the exit code that goes with it.
pub(super) fn emit(report: &GateReport, outputs: &Outputs, printer: Printer) -> Result<Exit, Stop> {
    let in_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|it| it == "true");
    let step = |name: &str| {
        std::env::var_os(name).filter(|it| in_github && !it.is_empty()).map(PathBuf::from)
    };
    let mut failed = None;
    let mut keep = |result: Result<(), Stop>| failed = failed.take().or(result.err());
    let files = [
        (&outputs.json, Export::Json),
        (&outputs.junit, Export::Junit),
        (&outputs.comment, Export::Comment),
        (&outputs.openmetrics, Export::Openmetrics),
        (&outputs.badge, Export::Badge),
    ];
    for (path, form) in files {
        if let Some(path) = path {
            let text = render::export(report, form);
            keep(files::write(path, &text, printer).map(|_| ()));
        }
    }
    let summary = step("GITHUB_STEP_SUMMARY");
    if let Some(path) = &outputs.summary {
        let text = render::summary(report);
        if summary.as_ref() == Some(path) {
            keep(append(path, &text));
        } else {
            keep(files::write(path, &text, printer).map(|_| ()));
        }
    } else if let Some(path) = &summary {
        keep(append(path, &render::summary(report)));
    }
    if let Some(path) = step("GITHUB_OUTPUT") {
        keep(append(&path, &render::outputs(report)));
    }
    let annotated = match outputs.annotations {
        Annotations::Auto => in_github,
        Annotations::Github => true,
        Annotations::None => false,
    };
    let annotations = if annotated { render::annotations(report) } else { String::new() };
    match outputs.format {
        Format::Json => {
            if !annotations.is_empty() {
                printer.say(annotations.trim_end());
            }
            printer.data(&render::export(report, Export::Json))?;
        }
        // The verdict stays the last line.
        Format::Text => {
            printer.data(&(annotations + &render::terminal(report, Ink::Styled)))?;
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(exit(report.exit_code)),
    }
}

fn exit(code: u8) -> Exit {
    match code {
        0 => Exit::Done,
        1 => Exit::Regression,
        3 => Exit::Inconclusive,
        _ => Exit::Failure,
    }
}

/// Adds to a file that others write to as well.
fn append(path: &Path, text: &str) -> Result<(), Stop> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Stop {
        exit: Exit::Failure,
        message: format!("cannot write {}: {error}", path.display()),
        hint: None,
    })
}
