//! `gate import`: what other tools measured.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::arguments::{Judged, Length, Outputs};
use super::asked::Asked;
use super::file::GateFile;
use super::outputs::{draft, emit, judged};
use super::percent::Percent;
use crate::cli::global::{now, one_line};
use crate::cli::{Exit, Printer, Stop};
use crate::gate::{self, Foreign};
use crate::import::{self, Columns, Imported, ImportedCell, Options, Repeated, Tool};
use crate::model::{Better, GateMode, GateReport, GateSide, Weight};

/// Most bytes of a file of another tool.
const LIMIT_BYTES: u64 = 256 << 20;
/// Limit of a foreign quantity unless another is asked for.
const USUAL_LIMIT: f64 = 0.02;

/// Judge what other tools measured
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Both files are of one tool. Repetitions within one process share its luck, so
a run is assumed to add 1 % to all of them (--run-noise); where each sample is
a run of its own, as hyperfine's are, nothing is added.

Examples:
  autotune gate import --from llama-bench main.json pr.json
  autotune gate import --from hyperfine a.json b.json --delta 3%
  autotune gate import --from gobench old.txt new.txt --format json
  autotune gate import --from csv a.csv b.csv --column seconds

Exit codes: 0 pass, 1 regression or missing cell, 2 unreadable input, 3 not
comparable, or undecided under --on-inconclusive fail.")]
pub(super) struct Arguments {
    /// Who wrote them: llama-bench, hyperfine, google-benchmark, gobench, criterion, csv
    /// [default: what they look like]
    #[arg(long, value_name = "TOOL")]
    from: Option<Tool>,
    /// What is judged against
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// What is judged
    #[arg(value_name = "HEAD")]
    head: PathBuf,
    /// What a run adds to all samples in it [default: 1% where samples are repetitions]
    #[arg(long, value_name = "PERCENT")]
    run_noise: Option<Percent>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    outputs: Outputs,
}

/// What a table does not say of itself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Tables")]
pub(super) struct Table {
    /// The column that was measured
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Columns that name the cell
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    name_column: Vec<String>,
    /// The column that names each sample: its commit, its date
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,
    /// Unit of the values
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Whether more is better
    #[arg(long, value_name = "higher|lower", value_parser = better)]
    better: Option<Better>,
    /// Take the same test twice in a file as repetitions
    #[arg(long)]
    merge: bool,
}

fn better(text: &str) -> Result<Better, String> {
    match text {
        "higher" => Ok(Better::Higher),
        "lower" => Ok(Better::Lower),
        _ => Err("write higher or lower".to_owned()),
    }
}

impl Table {
    pub(super) fn options(&self, path: &Path) -> Options {
        // criterion's sample.json is named by the folders above it.
        let names: Vec<String> =
            path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let inside = names.len().checked_sub(2);
        let name = inside.and_then(|at| names.get(..at)).and_then(|above| above.last()).cloned();
        Options {
            columns: Columns {
                value: self.column.clone(),
                names: self.name_column.clone(),
                label: self.label_column.clone(),
                unit: self.unit.clone(),
            },
            name,
            better: self.better,
            repeated: if self.merge { Repeated::Merged } else { Repeated::Refused },
        }
    }
}

/// Reads a file of another tool.
pub(super) fn read(
    path: &Path,
    tool: Option<Tool>,
    table: &Table,
) -> Result<(Tool, Imported), Stop> {
    let named = path.display();
    let mut bytes = Vec::new();
    let opened =
        File::open(path).and_then(|file| file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes));
    opened.map_err(|error| Stop::usage(format!("cannot read {named}: {error}")))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(Stop::usage(format!("{named} is larger than {LIMIT_BYTES} bytes")));
    }
    let Some(tool) = tool.or_else(|| import::detect(&bytes)) else {
        return Err(Stop::usage(format!("{named} is of no tool that is known"))
            .hint("say which with --from, or give a table with --from csv"));
    };
    let imported = import::import(tool, &bytes, &table.options(path)).map_err(|error| {
        let stop = Stop::usage(one_line(&format!("{named}: {error}")));
        match error.hint() {
            Some(hint) => stop.hint(hint),
            None => stop,
        }
    })?;
    Ok((tool, imported))
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let file = GateFile::read(None)?;
    let (tool, base) = read(&arguments.base, arguments.from, &arguments.table)?;
    let (_, head) = read(&arguments.head, Some(tool), &arguments.table)?;
    let length = Length::default();
    let asked = Asked { file: &file, judged: &arguments.judged, length: &length };
    let rule = asked.rule()?;
    let limits = asked.limits();
    let delta = |cell: &ImportedCell| limits.of(&cell.metric).unwrap_or(USUAL_LIMIT);
    let how = Foreign {
        rule: &rule,
        delta: &delta,
        weight: &|_| Weight::Blocking,
        run_noise: arguments.run_noise.map(Percent::share),
    };
    let mut cells = gate::imported(&base, &head, how);
    let today = now();
    for waiver in file.waivers(Some(&today[..10])).map_err(Stop::usage)? {
        for cell in cells.iter_mut().filter(|cell| cell.name == waiver.cell && cell.fails()) {
            let covered = cell.interval.is_none_or(|(low, _)| low <= waiver.ceiling);
            cell.waiver = covered.then(|| waiver.clone());
        }
    }
    let side = |path: &Path, imported: &Imported| GateSide {
        name: path.display().to_string(),
        kind: "file".to_owned(),
        digest: None,
        engine: Some(tool.to_string()),
        commit: imported.commit.clone(),
    };
    let report = GateReport {
        synthetic: base.synthetic || head.synthetic,
        alpha: rule.alpha,
        beta: rule.beta,
        base: Some(side(&arguments.base, &base)),
        head: Some(side(&arguments.head, &head)),
        seed: rule.seed,
        notes: base.notes.iter().chain(&head.notes).cloned().collect(),
        ..draft(GateMode::Import, format!("two files of {tool} were named"))
    };
    let policy = asked.policy(false)?;
    emit(&judged(report, cells, policy), &arguments.outputs, printer)
}
