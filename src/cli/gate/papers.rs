//! What is done with reports and waivers: `gate explain`, `gate export`, `gate accept`.

use std::path::{Path, PathBuf};

use super::file::{self, USUAL};
use super::percent::Percent;
use crate::cli::global::{bounded_text, now};
use crate::cli::{Exit, Printer, Stop, report as files};
use crate::model::{GateReport, Waiver};
use crate::render::gate::{self as render, Export};

/// Most bytes of a report: 100 000 cells with their blocks.
const LIMIT_BYTES: u64 = 256 << 20;

/// Say in sentences why a verdict is what it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune gate explain gate.json
  autotune gate explain gate.json --cell m-q4_k_m/tg128")]
pub(super) struct Explain {
    /// The report, as --json wrote it
    #[arg(value_name = "REPORT")]
    report: PathBuf,
    /// Only this cell
    #[arg(long, value_name = "NAME")]
    cell: Option<String>,
}

/// Turn a report into the form of another tool
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Forms: json, text, junit, github, annotations, comment, openmetrics, badge,
benchstat-base, benchstat-head, bencher, bigger-is-better, smaller-is-better.

Examples:
  autotune gate export gate.json --format junit -o junit.xml
  autotune gate export gate.json --format benchstat-head > head.txt")]
pub(super) struct Exported {
    /// The report, as --json wrote it
    #[arg(value_name = "REPORT")]
    report: PathBuf,
    /// The form
    #[arg(long, value_name = "FORM")]
    format: Export,
    /// Where it goes
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Accept a slowdown for a while
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A waiver names one cell, the most that is accepted, why, where it is dealt
with, and when it ends; it is shown in every report until then.

Examples:
  autotune gate accept m-q4_k_m/tg128 --ceiling 6% --reason \"safer sampler\" \\
      --issue https://example.org/42 --expires 2027-01-31")]
pub(super) struct Accept {
    /// Name of the cell, exactly as reports have it
    #[arg(value_name = "CELL")]
    cell: String,
    /// Most slowdown that is accepted
    #[arg(long, value_name = "PERCENT")]
    ceiling: Percent,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where it is dealt with
    #[arg(long, value_name = "URL")]
    issue: String,
    /// The last day it holds
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires: String,
    /// The project's file that it is added to
    #[arg(long, value_name = "FILE", default_value = USUAL)]
    suite: PathBuf,
}

/// Reads a report.
pub(super) fn read(path: &Path) -> Result<GateReport, Stop> {
    let named = path.display();
    let text = bounded_text(path, LIMIT_BYTES)
        .map_err(|why| Stop::usage(format!("cannot read {named}: {why}")))?;
    let report: GateReport = serde_json::from_str(&text).map_err(|error| {
        Stop::usage(format!("{named} is no report of the gate: {error}"))
            .hint("a report is what `autotune gate … --json FILE` wrote")
    })?;
    if report.schema == GateReport::SCHEMA {
        Ok(report)
    } else {
        Err(Stop::usage(format!("{named} has the schema `{}`", report.schema)))
    }
}

/// Runs `gate explain`.
pub(super) fn explain(arguments: &Explain, printer: Printer) -> Result<Exit, Stop> {
    let report = read(&arguments.report)?;
    let text = render::explain(&report, arguments.cell.as_deref()).ok_or_else(|| {
        let names: Vec<&str> = report.cells.iter().take(20).map(|it| it.name.as_str()).collect();
        let cell = arguments.cell.as_deref().unwrap_or_default();
        Stop::usage(format!("the report has no cell `{cell}`"))
            .hint(format!("cells are {}", names.join(", ")))
    })?;
    printer.data(&text).map(|()| Exit::Done)
}

/// Runs `gate export`.
pub(super) fn export(arguments: &Exported, printer: Printer) -> Result<Exit, Stop> {
    let report = read(&arguments.report)?;
    files::write(&arguments.output, &render::export(&report, arguments.format), printer)
}

/// Runs `gate accept`.
pub(super) fn accept(arguments: &Accept, printer: Printer) -> Result<Exit, Stop> {
    let date: jiff::civil::Date = arguments.expires.parse().map_err(|_| {
        Stop::usage(format!("`{}` is no date", arguments.expires)).hint("write it like 2027-01-31")
    })?;
    if date.to_string().as_str() < &now()[..10] {
        return Err(Stop::usage(format!("{date} has passed: the waiver would hold nothing")));
    }
    let waiver = Waiver {
        cell: arguments.cell.clone(),
        ceiling: arguments.ceiling.share(),
        reason: arguments.reason.clone(),
        issue: arguments.issue.clone(),
        expires: date.to_string(),
    };
    let ceiling = format!("{}%", 100.0 * arguments.ceiling.share());
    file::accept(&arguments.suite, &waiver, &ceiling, printer)
}
