//! `autotune report`: a run directory as a document.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::global::bounded_text;
use super::{Exit, Printer, Stop};
use crate::model::{Findings, Machine, Plan, Trial};
use crate::render::{self, Format};
use crate::store::{self, StoredRun, trials_csv};

/// Render a run directory as Markdown, HTML, JSON or CSV
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune report autotune-runs/2026-11-20-llama-1     Markdown on stdout
  autotune report RUN --format html -o report.html     one self-contained page
  autotune report RUN --format json | jq .verdict      the findings document
  autotune report RUN --format csv -o trials.csv       every trial, flat
  autotune report RUN --template mine.html -o out.html one's own template")]
pub struct Arguments {
    /// The run directory that `sweep` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// What to write; a template that ends in .html means html
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Where to write it; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// A minijinja template in place of the built-in one
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Markdown, its plots in the run directory
    Md,
    /// One self-contained page
    Html,
    /// The findings document
    Json,
    /// Every trial, flat
    Csv,
}

/// The largest template that is read.
const TEMPLATE_LIMIT_BYTES: u64 = 4 << 20;

/// Renders the run.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let kind = kind(arguments)?;
    let mut stored = read(&arguments.run)?;
    if let Some(torn) = &stored.torn {
        printer.say(format!(
            "note: line {} of trials.jsonl was never finished; it is left out",
            torn.line
        ));
    }
    let findings = judged(&stored.plan, &stored.trials, stored.findings.take());
    let run = shown(&stored, &findings);
    let now = Timestamp::now();
    let text = match (kind, &arguments.template) {
        (Kind::Json, _) => {
            let json = serde_json::to_string_pretty(&findings).expect("findings are plain data");
            json + "\n"
        }
        (Kind::Csv, _) => trials_csv(run.trials),
        (Kind::Md | Kind::Html, Some(template)) => {
            let source = source(template)?;
            let format = if kind == Kind::Html { Format::Html } else { Format::Markdown };
            let view = render::view(&run, now);
            let name = template.display().to_string();
            render::with_template(&name, &source, format, &view)
                .map_err(|error| Stop::from_error(Exit::Usage, &error))?
        }
        (Kind::Md | Kind::Html, None) => {
            let report = render::report(&run, now)
                .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
            if kind == Kind::Html { report.html } else { report.markdown }
        }
    };
    write(&arguments.output, &text, printer)
}

/// Renders report.md, report.html and the plots of a run directory anew.
pub(super) fn refresh(folder: &Path) -> Result<(), Stop> {
    let mut stored = read(folder)?;
    let findings = judged(&stored.plan, &stored.trials, stored.findings.take());
    write_pages(folder, &shown(&stored, &findings))
}

/// Renders report.md, report.html and plots/*.svg into a run directory.
pub(super) fn write_pages(folder: &Path, run: &render::Run<'_, Machine>) -> Result<(), Stop> {
    let report = render::report(run, Timestamp::now())
        .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    let plots = report.plots.iter().map(|(name, svg)| (format!("plots/{name}.svg"), svg));
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

fn shown<'a>(stored: &'a StoredRun, findings: &'a Findings) -> render::Run<'a, Machine> {
    render::Run {
        machine: &stored.machine,
        plan: &stored.plan,
        trials: &stored.trials,
        findings,
        profile: stored.profile.as_ref(),
    }
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
        (None, None) if page(&arguments.output) => Ok(Kind::Html),
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
    written.map_err(|error| Stop {
        exit: Exit::Failure,
        message: format!("cannot write {}: {error}", output.display()),
        hint: None,
    })?;
    printer.say(format!("wrote {}", output.display()));
    Ok(Exit::Done)
}
