//! `autotune report`: a run directory as a document.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use serde_json::Value;

use super::global::{bounded_text, json, one_line};
use super::{Exit, Printer, Stop};
use crate::analysis;
use crate::model::{Findings, Machine, Plan, QuantizationStudy, Trial, Verification};
use crate::render::view::ReportView;
use crate::render::{self, Format, Templates};
use crate::store::{self, RunDirectory, SalvagedRun, StoredRun, trials_csv};

/// Render a run directory as Markdown, HTML, JSON or CSV; or two of them side by side
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune report autotune-runs/2026-11-20-llama-1     Markdown on stdout
  autotune report RUN --format html -o report.html     one self-contained page
  autotune report RUN --format json | jq .verdict      the findings document
  autotune report RUN --format csv -o trials.csv       every trial, flat
  autotune report BEFORE AFTER -o both.html            two runs side by side
  autotune report --schema                             what the JSON holds
  autotune report --eject mine                         the templates, to change
  autotune report RUN --template mine -o report.html   one's own templates

The page of a sweep is in its run directory already: report.html.")]
pub struct Arguments {
    /// The run directory that `sweep` wrote
    #[arg(value_name = "RUN", required_unless_present_any = ["eject", "schema"])]
    run: Option<PathBuf>,
    /// Another one, to compare with: B of the report, where RUN is A
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
    /// What to write; a file or template that ends in .html means html
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Where to write it; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// A minijinja template in place of the built-in one, or a folder of them (see --eject)
    #[arg(long, value_name = "FILE|DIR")]
    template: Option<PathBuf>,
    /// Judge and render a run anew in its own directory: findings, tables, pages and plots
    #[arg(long, conflicts_with_all = ["other", "format", "output", "template", "eject"])]
    in_place: bool,
    /// Write the built-in templates into a folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["run", "format", "output", "template"])]
    eject: Option<PathBuf>,
    /// Print the JSON Schema of the findings document
    #[arg(long, conflicts_with_all = ["run", "format", "template", "eject"])]
    schema: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Markdown, its plots in the run directory
    Md,
    /// One self-contained page
    Html,
    /// The findings document, or the comparison of two runs
    Json,
    /// Every trial, flat
    Csv,
}

/// The largest template that is read.
const TEMPLATE_LIMIT_BYTES: u64 = 4 << 20;

/// Renders the run, or two.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if let Some(folder) = &arguments.eject {
        return eject(folder, printer);
    }
    if arguments.schema {
        return write(&arguments.output, &json(&Findings::json_schema()), printer);
    }
    let kind = kind(arguments)?;
    let run = arguments.run.as_deref().unwrap_or(Path::new("."));
    if run.join(store::QUANTIZATION).exists() && !run.join("plan.json").exists() {
        return study(arguments, kind, run, printer);
    }
    if arguments.in_place {
        return in_place(run, printer);
    }
    let first = Judged::read(run, printer)?;
    let now = Timestamp::now();
    let text = match &arguments.other {
        None => {
            let shown = first.shown();
            match kind {
                Kind::Json => json(&first.findings),
                Kind::Csv => trials_csv(shown.trials),
                Kind::Md => page(arguments, Format::Markdown, &render::view(&shown, now))?,
                Kind::Html => page(arguments, Format::Html, &render::view(&shown, now))?,
            }
        }
        Some(other) => {
            let second = Judged::read(other, printer)?;
            let found = analysis::comparison(first.side(run)?, second.side(other)?);
            let view = || render::compare::comparison(&first.shown(), &second.shown(), &found, now);
            match kind {
                Kind::Json => json(&found),
                Kind::Csv => {
                    return Err(Stop::usage("two runs have no common table of trials")
                        .hint("--format csv takes one run"));
                }
                Kind::Md => page(arguments, Format::Markdown, &view())?,
                Kind::Html => page(arguments, Format::Html, &view())?,
            }
        }
    };
    write(&arguments.output, &text, printer)
}

/// A study of quantizations, which is a folder of runs.
fn study(arguments: &Arguments, kind: Kind, folder: &Path, printer: Printer) -> Result<Exit, Stop> {
    if arguments.other.is_some() {
        return Err(Stop::usage("two studies of quantizations cannot be set side by side")
            .hint("name two runs within them"));
    }
    let found = store::read_quantization(&folder.join(store::QUANTIZATION));
    let study = found.map_err(|error| Stop::from_store(&error))?;
    let machine = store::read_machine(folder);
    let now = Timestamp::now();
    if arguments.in_place {
        let made = render::quality::study_page(&study, machine.as_ref(), now)
            .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
        write_report(folder, &made)?;
        printer.say(format!("rendered {} anew", folder.display()));
        return Ok(Exit::Done);
    }
    let view = || render::quality::study_view(&study, machine.as_ref(), now);
    let text = match kind {
        Kind::Json => json(&study),
        Kind::Csv => {
            return Err(Stop::usage("a study of quantizations has no table of trials")
                .hint("name one of the runs within it"));
        }
        Kind::Md => page(arguments, Format::Markdown, &view())?,
        Kind::Html => page(arguments, Format::Html, &view())?,
    };
    write(&arguments.output, &text, printer)
}

/// Judges and renders a run by this version's rules, in its own directory.
fn in_place(folder: &Path, printer: Printer) -> Result<Exit, Stop> {
    let stop = |error: store::StoreError| Stop::from_store(&error);
    // Held open, so that no sweep writes it meanwhile.
    let (run, mut stored) = RunDirectory::open(folder).map_err(stop)?;
    let findings = judged(&stored.plan, &stored.trials, stored.findings.take());
    run.write_findings(&findings).map_err(stop)?;
    run.write_table(&stored.trials).map_err(stop)?;
    let beside = Beside::read(folder);
    write_pages(folder, &whole(&stored, &findings, &beside))?;
    printer.say(format!("rendered {} anew", folder.display()));
    Ok(Exit::Done)
}

/// What stands beside a run in its folder.
struct Beside {
    /// What the user's own llama-server showed, where it was asked.
    verification: Option<Verification>,
    /// The study of quantizations that it belongs to.
    quantization: Option<QuantizationStudy>,
}

impl Beside {
    fn read(folder: &Path) -> Self {
        Self {
            verification: store::read_verification(&folder.join(store::VERIFICATION)).ok(),
            quantization: store::read_quantization(&folder.join(store::QUANTIZATION)).ok(),
        }
    }
}

/// A run that was read whole.
fn whole<'a>(
    stored: &'a StoredRun,
    findings: &'a Findings,
    beside: &'a Beside,
) -> render::Run<'a, Machine> {
    render::Run {
        machine: &stored.machine,
        plan: &stored.plan,
        trials: &stored.trials,
        findings,
        profile: stored.profile.as_ref(),
        verification: beside.verification.as_ref(),
        quantization: beside.quantization.as_ref(),
        unsound: &[],
    }
}

/// A run as far as it can be read, judged by this version's rules.
struct Judged {
    salvaged: SalvagedRun,
    findings: Findings,
    /// The machine document, or an empty one.
    machine: Value,
}

impl Judged {
    fn read(folder: &Path, printer: Printer) -> Result<Self, Stop> {
        let read = SalvagedRun::read(folder);
        let mut salvaged = read.map_err(|error| Stop::from_store(&error))?;
        for sentence in &salvaged.unsound {
            printer.say(format!("note: {}", one_line(sentence)));
        }
        let findings = judged(&salvaged.plan, &salvaged.trials, salvaged.findings.take());
        let machine = salvaged.machine.as_ref().map(serde_json::to_value);
        let machine = machine.transpose().expect("a machine document is plain data");
        Ok(Self { salvaged, findings, machine: machine.unwrap_or_default() })
    }

    fn shown(&self) -> render::Run<'_, Value> {
        render::Run {
            machine: &self.machine,
            plan: &self.salvaged.plan,
            trials: &self.salvaged.trials,
            findings: &self.findings,
            profile: self.salvaged.profile.as_ref(),
            verification: self.salvaged.verification.as_ref(),
            quantization: self.salvaged.quantization.as_ref(),
            unsound: &self.salvaged.unsound,
        }
    }

    fn side(&self, folder: &Path) -> Result<analysis::Side<'_>, Stop> {
        let machine = self.salvaged.machine.as_ref().ok_or_else(|| {
            Stop::usage(format!("{} has no machine that can be read", folder.display()))
                .hint("`autotune report` of each run alone shows the rest")
        })?;
        Ok(analysis::Side { machine, plan: &self.salvaged.plan, findings: &self.findings })
    }
}

fn page(arguments: &Arguments, format: Format, view: &ReportView) -> Result<String, Stop> {
    templates(arguments.template.as_deref(), format)?
        .render(format, view)
        .map_err(|error| Stop::from_error(Exit::Usage, &error))
}

/// The built-in templates, with the user's in their places.
fn templates(own: Option<&Path>, format: Format) -> Result<Templates, Stop> {
    let mut templates = Templates::built_in();
    let Some(own) = own else { return Ok(templates) };
    if !own.is_dir() {
        return Ok(templates.with(format, own.display().to_string(), source(own)?));
    }
    let mut found = false;
    for (name, _) in Templates::FILES {
        let path = own.join(name);
        if !path.exists() {
            continue;
        }
        let (shown, text) = (path.display().to_string(), source(&path)?);
        found = true;
        templates = match name {
            "report.md" => templates.with(Format::Markdown, shown, text),
            "report.html" => templates.with(Format::Html, shown, text),
            _ => templates.with_script(text),
        };
    }
    if found {
        return Ok(templates);
    }
    let names: Vec<_> = Templates::FILES.map(|(name, _)| name).to_vec();
    Err(Stop::usage(format!("no template in {}: none of {}", own.display(), names.join(", ")))
        .hint("`autotune report --eject` writes the built-in ones"))
}

/// Writes the built-in templates where nothing is in their way.
fn eject(folder: &Path, printer: Printer) -> Result<Exit, Stop> {
    let failed = |error: &std::io::Error| Stop {
        exit: Exit::Failure,
        message: format!("cannot write {}: {error}", folder.display()),
        hint: None,
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    if let Some((name, _)) = Templates::FILES.iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(Stop::usage(format!("{} is there already", folder.join(name).display()))
            .hint("name another folder"));
    }
    for (name, text) in Templates::FILES {
        store::write_file(folder, name, text).map_err(|error| Stop::from_store(&error))?;
        printer.say(format!("wrote {}", folder.join(name).display()));
    }
    printer.say("what they see is described in docs/FORMATS.md");
    Ok(Exit::Done)
}

/// Renders report.md, report.html and the plots of a run directory anew.
pub(super) fn refresh(folder: &Path) -> Result<(), Stop> {
    let mut stored = read(folder)?;
    let findings = judged(&stored.plan, &stored.trials, stored.findings.take());
    let beside = Beside::read(folder);
    write_pages(folder, &whole(&stored, &findings, &beside))
}

/// Renders report.md, report.html and plots/*.svg into a run directory.
pub(super) fn write_pages(folder: &Path, run: &render::Run<'_, Machine>) -> Result<(), Stop> {
    let report = render::report(run, Timestamp::now())
        .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    write_report(folder, &report)
}

/// Writes report.md, report.html and plots/*.svg into a folder.
pub(super) fn write_report(folder: &Path, report: &render::Report) -> Result<(), Stop> {
    let plots = report.plots.iter().map(|(name, text)| (format!("plots/{name}"), text));
    let pages = [("report.md", &report.markdown), ("report.html", &report.html)];
    for (name, text) in pages.map(|(name, text)| (name.to_owned(), text)).into_iter().chain(plots) {
        store::write_file(folder, &name, text).map_err(|error| Stop::from_store(&error))?;
    }
    Ok(())
}

/// A run directory as it is.
pub(super) fn read(folder: &Path) -> Result<StoredRun, Stop> {
    StoredRun::read(folder).map_err(|error| Stop::from_store(&error))
}

/// What the trials show by this version's rules. The journal is the truth: what an earlier version
/// judged, or what a stopped sweep never came to judge, is judged now.
pub(super) fn judged(plan: &Plan, trials: &[Trial], stored: Option<Findings>) -> Findings {
    let stopped = stored.map_or_else(
        || "the sweep did not end, or ends later than this report".to_owned(),
        |findings| findings.stopped_because,
    );
    crate::analysis::findings(plan, trials, &stopped)
}

fn kind(arguments: &Arguments) -> Result<Kind, Stop> {
    let page = |path: &Path| {
        path.extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("html") || end.eq_ignore_ascii_case("htm"))
    };
    match (arguments.format, &arguments.template) {
        (Some(Kind::Json | Kind::Csv), Some(_)) => {
            Err(Stop::usage("a template makes Markdown or HTML, not JSON or CSV")
                .hint("leave out --template or --format"))
        }
        (Some(kind), _) => Ok(kind),
        (None, Some(template)) if page(template) => Ok(Kind::Html),
        // A folder of templates has one for each.
        (None, Some(template)) if !template.is_dir() => Ok(Kind::Md),
        (None, _) if page(&arguments.output) => Ok(Kind::Html),
        (None, _) => Ok(Kind::Md),
    }
}

fn source(path: &Path) -> Result<String, Stop> {
    bounded_text(path, TEMPLATE_LIMIT_BYTES).map_err(|reason| {
        Stop::usage(format!("cannot read the template {}: {reason}", path.display()))
    })
}

/// To stdout, or into a file that is whole or not there.
pub(super) fn write(output: &Path, text: &str, printer: Printer) -> Result<Exit, Stop> {
    if output == Path::new("-") {
        printer.data(text)?;
        return Ok(Exit::Done);
    }
    let special = std::fs::symlink_metadata(output).is_ok_and(|it| !it.is_file());
    if special {
        // A device, a pipe or a link is written, not replaced.
        std::fs::write(output, text).map_err(|error| not_written(output, &error))?;
        printer.say(format!("wrote {}", output.display()));
        return Ok(Exit::Done);
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".autotune-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file the user makes: the system takes the umask off.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let written = builder
        .tempfile_in(folder)
        .and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file))
        .and_then(|file| file.persist(output).map_err(|error| error.error));
    written.map_err(|error| not_written(output, &error))?;
    printer.say(format!("wrote {}", output.display()));
    Ok(Exit::Done)
}

fn not_written(output: &Path, error: &std::io::Error) -> Stop {
    Stop {
        exit: Exit::Failure,
        message: format!("cannot write {}: {error}", output.display()),
        hint: None,
    }
}
