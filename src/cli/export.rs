//! `autotune export`: the recommended setting of a run in the words of a tool.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};

use super::global::one_line;
use super::{Exit, Printer, Stop, report};
use crate::export::{self, Choice, Exported, Subject, Target};
use crate::model::{Findings, Verdict};

/// Hand over the recommended setting of a run in the words of a tool
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune export RUN --to llama-server                a command to paste
  autotune export RUN --to ollama -o Modelfile         then: ollama create
  autotune export RUN --to systemd --model-path /srv/m.gguf
  autotune export RUN --to docker-compose -o compose.yaml
  autotune export RUN --to json | jq '.tools[\"llama-cli\"].arguments'
  autotune export RUN --to llama-bench --default       to compare by hand

What the tool has no word for is told as comments in the file, or on stderr
where its format has none. The default is exported where nothing better was
proven.")]
pub struct Arguments {
    /// The run directory that `sweep` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// What to write it for
    #[arg(long, value_name = "TARGET", value_parser = targets())]
    to: String,
    /// The model's file, where it is not where the sweep had it
    #[arg(long, value_name = "PATH")]
    model_path: Option<PathBuf>,
    /// Which setting [default: what the run recommends]
    #[arg(long, value_enum)]
    setting: Option<Which>,
    /// The default setting, as `--setting default`
    #[arg(long, conflicts_with = "setting")]
    default: bool,
    /// Where to write it; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// What llama-server would run
    Default,
    /// The best one that was found, where it is proven
    Tuned,
}

fn targets() -> PossibleValuesParser {
    let values = export::TARGETS.iter();
    values
        .map(|target| PossibleValue::new(target.name()).help(target.summary()))
        .collect::<Vec<_>>()
        .into()
}

/// Writes the setting for the target.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let target = *export::TARGETS
        .iter()
        .find(|target| target.name() == arguments.to)
        .expect("clap takes the names of targets alone");
    let mut stored = report::read(&arguments.run)?;
    let findings = report::judged(&stored.plan, &stored.trials, stored.findings.take());
    let choice = choice(arguments, &findings, printer);
    let model = arguments.model_path.as_deref().unwrap_or(&stored.plan.model.path);
    let place = place(model, target, arguments.model_path.is_some())?;
    let name = arguments.run.canonicalize().unwrap_or_else(|_| arguments.run.clone());
    let name = name.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
    let subject = Subject {
        plan: &stored.plan,
        findings: &findings,
        machine: &stored.machine,
        run: &name,
        choice,
        model: &place.path,
    };
    let Exported { text, remarks } = export::export(target, &subject, &place.notes);
    for remark in remarks {
        printer.say(one_line(&remark));
    }
    report::write(&arguments.output, &text, printer)
}

/// Which of the two settings, and a word on stderr where it is not the one that was hoped for.
fn choice(arguments: &Arguments, findings: &Findings, printer: Printer) -> Choice {
    if arguments.default || arguments.setting == Some(Which::Default) {
        return Choice::Default;
    }
    if findings.recommends_tuned() {
        return Choice::Tuned;
    }
    let why = match &findings.verdict {
        Verdict::Unconfirmed { reason } => format!("nothing better was confirmed ({reason})"),
        Verdict::KeepBaseline => "nothing looked better".to_owned(),
        Verdict::Confirmed { turn, .. } => format!(
            "what looked better is {:.2} times as fast, which is no proven gain",
            turn.speed_ratio.value
        ),
    };
    printer.say(one_line(&format!("note: this is the default setting: {why}")));
    Choice::Default
}

/// Where the model is, as text.
struct Place {
    path: String,
    notes: Vec<String>,
}

fn place(model: &Path, target: &dyn Target, was_given: bool) -> Result<Place, Stop> {
    let shown = model.display();
    let mut path = model.to_path_buf();
    let mut notes = Vec::new();
    if target.wants_absolute_path() && model.is_relative() {
        path = std::path::absolute(model)
            .map_err(|error| Stop::usage(format!("cannot find the model {shown}: {error}")))?;
        if !was_given && !path.exists() {
            notes.push(format!(
                "the run names its model {shown}, from the folder that the sweep ran in; it is \
                 not in this one: give it with --model-path"
            ));
        }
    }
    let hint = "link it under a plain name and give that with --model-path";
    let text = path.to_str().ok_or_else(|| {
        Stop::usage(format!("the path of the model {shown} is not UTF-8")).hint(hint)
    })?;
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.is_empty() || text.contains(steers) {
        let what = if text.is_empty() { "is empty" } else { "has control characters" };
        return Err(Stop::usage(format!("the path of the model {shown} {what}")).hint(hint));
    }
    Ok(Place { path: text.to_owned(), notes })
}
