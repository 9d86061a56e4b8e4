//! `gate history`: change points and drift of stored sessions, or of a table.

use std::path::PathBuf;
use std::time::Duration;

use super::arguments::{Judged, Length, Measured, Outputs};
use super::asked::Asked;
use super::file::GateFile;
use super::imported::{self, Table};
use super::outputs::{draft, emit, judged};
use super::place::Place;
use crate::cli::{Exit, Printer, Stop};
use crate::gate;
use crate::import::Tool;
use crate::judge::{HistoryJudgement, HistoryRules, HistorySeries, judge_history};
use crate::model::{GateCell, GateClass, GateMode, GateReport, GateSide, Waiver, Weight};
use crate::store::{History, read_history};

/// Limit of a foreign quantity unless another is asked for.
const USUAL_LIMIT: f64 = 0.02;

/// Find change points and drift in a series of sessions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
At least 12 sessions are needed. Single spikes are no change; a series that
takes turns between two speeds is unstable and fails nobody. A slowdown fails
for the ten sessions after it began; a slow drift fails by what it adds up to.

Examples:
  autotune gate history                               stored sessions
  autotune gate history --pin v1.4 --since 60d        against a release
  autotune gate history --from csv nightly.csv --column seconds
  autotune gate history --from csv n.csv --format json | jq .change_points

Exit codes: 0 pass, 1 a slowdown, 2 unreadable input, 3 undecided under
--on-inconclusive fail.")]
pub(super) struct Arguments {
    /// What the file is: csv, or what another tool wrote with a label per sample [default: stored
    /// sessions]
    #[arg(long, value_name = "TOOL", requires = "file")]
    from: Option<Tool>,
    /// A table, or a file of stored sessions [default: those of this machine]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only sessions of the last so many days
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<humantime::Duration>,
    /// The session that levels are held against: its tag, commit or label
    #[arg(long, value_name = "LABEL")]
    pin: Option<String>,
    /// A session from which a slower level is accepted: its tag, commit or label
    #[arg(long, value_name = "LABEL")]
    accept: Vec<String>,
    /// Folder of stored sessions [default: .autotune/history]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The project's file of limits and waivers [default: .autotune/gate.toml if there]
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    #[command(flatten)]
    table: Table,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    outputs: Outputs,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let measured = Measured {
        store: arguments.store.clone(),
        suite: arguments.suite.clone(),
        ..Measured::default()
    };
    let held = Held { pin: arguments.pin.as_deref(), accept: &arguments.accept };
    let length = Length::default();
    let report = if let Some(tool) = arguments.from {
        let path = arguments.file.as_deref().ok_or_else(|| Stop::usage("--from needs a file"))?;
        let (_, read) = imported::read(path, Some(tool), &arguments.table)?;
        let file = GateFile::read(arguments.suite.as_deref())?;
        let asked = Asked { file: &file, judged: &arguments.judged, length: &length };
        let limits = asked.limits();
        let series: Vec<HistorySeries> = read
            .cells
            .into_iter()
            .map(|cell| HistorySeries {
                delta: limits.of(&cell.metric).unwrap_or(USUAL_LIMIT),
                labels: labels(cell.labels, cell.samples.len()),
                cell: cell.name,
                unit: cell.unit,
                better: cell.better,
                weight: Weight::Blocking,
                values: cell.samples,
                accepted: Vec::new(),
            })
            .collect();
        let side = GateSide {
            name: path.display().to_string(),
            kind: "file".to_owned(),
            digest: None,
            engine: Some(tool.to_string()),
            commit: None,
        };
        let draft = GateReport {
            head: Some(side),
            notes: read.notes,
            ..draft(GateMode::History, format!("a series of {tool} was named"))
        };
        told(draft, series, asked, held, &[])?
    } else {
        let place = Place::open(&measured, &[None], printer)?;
        let mut history = match &arguments.file {
            Some(path) => read_history(path).map_err(|error| Stop::from_store(&error))?,
            None => super::check::own_history(&place)?,
        };
        if let Some(since) = arguments.since {
            keep_since(&mut history, *since);
        }
        let why = "a series of stored sessions was asked for";
        let asked = Asked { file: &place.file, judged: &arguments.judged, length: &length };
        stored(&place, &history, asked, held, why)?
    };
    emit(&report, &arguments.outputs, printer)
}

/// Sessions that levels are held against, or begin to be accepted at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held<'a> {
    pin: Option<&'a str>,
    accept: &'a [String],
}

/// What each value is called: its label, or its number from 0.
fn labels(labels: Vec<String>, values: usize) -> Vec<String> {
    if labels.len() == values { labels } else { (0..values).map(|at| at.to_string()).collect() }
}

fn keep_since(history: &mut History, since: Duration) {
    let now = jiff::Timestamp::now();
    let from = now.checked_sub(since).unwrap_or(jiff::Timestamp::MIN);
    history.sessions.retain(|session| {
        session.recorded_at.parse::<jiff::Timestamp>().is_ok_and(|at| at >= from)
    });
}

/// Judges stored sessions of one machine.
pub(super) fn stored(
    place: &Place,
    history: &History,
    asked: Asked<'_>,
    held: Held<'_>,
    why: &str,
) -> Result<GateReport, Stop> {
    let Some(last) = history.sessions.last() else {
        return Err(Stop::usage("no session is stored")
            .hint("record some with `autotune gate record`, or name a table with --from csv"));
    };
    let sessions: Vec<_> = history
        .sessions
        .iter()
        .filter(|session| session.machine.key == last.machine.key)
        .cloned()
        .collect();
    let limits = asked.limits();
    let series: Vec<HistorySeries> = gate::over_time(&sessions)
        .into_iter()
        .map(|it| HistorySeries {
            delta: limits.of(&it.cell.metric).unwrap_or(USUAL_LIMIT),
            cell: it.cell.name,
            unit: it.cell.unit,
            better: it.cell.better,
            weight: Weight::Blocking,
            values: it.values,
            labels: it.labels,
            accepted: Vec::new(),
        })
        .collect();
    let (waivers, mut notes) = place.waivers()?;
    notes.extend(history.notes.iter().cloned());
    let draft = GateReport {
        machine: Some(last.machine.clone()),
        synthetic: last.synthetic,
        suite_digest: Some(last.suite_digest.clone()),
        notes,
        ..draft(GateMode::History, why)
    };
    told(draft, series, asked, held, &waivers)
}

/// Judges series, and says so.
fn told(
    draft: GateReport,
    mut series: Vec<HistorySeries>,
    asked: Asked<'_>,
    held: Held<'_>,
    waivers: &[Waiver],
) -> Result<GateReport, Stop> {
    let rule = asked.rule()?;
    for label in held.accept {
        let place = |one: &HistorySeries| one.labels.iter().position(|other| other == label);
        if series.iter().all(|one| place(one).is_none()) {
            return Err(Stop::usage(format!("no session is called `{label}`")));
        }
        for one in &mut series {
            one.accepted.extend(place(one));
        }
    }
    let rules = HistoryRules {
        alpha: rule.alpha,
        blind_above: rule.blind_above,
        pinned: held.pin.map(str::to_owned),
        ..HistoryRules::default()
    };
    let found =
        judge_history(&series, &rules).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let cells = series.iter().zip(&found).map(|(series, found)| cell(series, found, waivers));
    let cells: Vec<GateCell> = cells.collect();
    let all: Vec<_> = found.into_iter().map(|it| it.series).collect();
    let report = GateReport {
        alpha: rule.alpha,
        beta: 1.0 - rule.power,
        change_points: all.iter().flat_map(|it| it.change_points.clone()).collect(),
        series: all,
        ..draft
    };
    let policy = asked.policy(false)?;
    Ok(judged(report, cells, policy))
}

/// A series as a cell.
fn cell(series: &HistorySeries, found: &HistoryJudgement, waivers: &[Waiver]) -> GateCell {
    let covers = |waiver: &&Waiver| {
        waiver.cell == series.cell && found.slowdown.is_none_or(|it| it <= waiver.ceiling)
    };
    let fails = found.verdict == crate::model::GateVerdict::Fail;
    let last = found.series.change_points.last();
    GateCell {
        name: series.cell.clone(),
        group: series.cell.split('/').next().unwrap_or_default().to_owned(),
        metric: series.unit.clone(),
        unit: series.unit.clone(),
        better: series.better,
        class: if series.unit == "bytes" { GateClass::Memory } else { GateClass::Timing },
        weight: series.weight,
        verdict: found.verdict,
        reason: found.reason,
        why: found.why.clone(),
        next_action: found.next_action.clone(),
        base: last.map(|change| change.before),
        head: last.map(|change| change.after).or_else(|| crate::stats::median(&series.values)),
        slowdown: found.slowdown,
        interval: None,
        delta: series.delta,
        n: u32::try_from(series.values.len()).unwrap_or(u32::MAX),
        p_t: None,
        p_guard: found.p_value,
        p_required: found.p_required,
        p_floor: found.p_floor,
        minimum_detectable: found.minimum_detectable,
        blocks_needed: None,
        minutes_needed: None,
        blocks: Vec::new(),
        dropped: 0,
        waiver: waivers.iter().find(covers).filter(|_| fails).cloned(),
    }
}
