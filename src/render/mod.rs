//! A run as a document for people: Markdown, one self-contained HTML file, and plots.
//!
//! Places and scales values, and words them by rules; it computes none (that is `analysis`) and
//! reads no file and no clock (that is `cli`). Text from outside (model names, processor strings,
//! error messages) is escaped wherever it is placed.

pub mod compare;
pub mod doctor;
#[cfg(test)]
mod fixture;
mod format;
pub mod gate;
mod hardware;
pub mod machine;
mod markdown;
pub mod plan;
mod plot;
pub mod profile;
pub mod quality;
mod section;
pub mod space;
mod summary;
mod template;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;
pub mod view;

use autotune_engine::api::Threading;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::model::{
    Findings, ModelProfile, Plan, Profile, QuantizationStudy, Subject, Trial, Verdict, Verification,
};

pub use template::{Format, TemplateError, Templates};
use view::{MarkView, ReportView};

/// Version of what templates see.
const VIEW_SCHEMA: &str = "autotune.report/1";

/// A rendered run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `report.md`; its pictures are `plots/NAME.svg` beside it.
    pub markdown: String,
    /// `report.html`, self-contained.
    pub html: String,
    /// The files below `plots/`: each picture as SVG, and the numbers behind it as CSV.
    pub plots: Vec<(String, String)>,
}

/// What a run left, as a report shows it.
#[derive(Debug)]
pub struct Run<'a, M> {
    /// The machine document.
    pub machine: &'a M,
    /// What was to be done.
    pub plan: &'a Plan,
    /// What was done.
    pub trials: &'a [Trial],
    /// What was found.
    pub findings: &'a Findings,
    /// The profile of the recommended setting, where one was made.
    pub profile: Option<&'a Profile>,
    /// What the user's own llama-server showed, where it was asked.
    pub verification: Option<&'a Verification>,
    /// The study of quantizations that it belongs to, where there is one.
    pub quantization: Option<&'a QuantizationStudy>,
    /// What of it could not be read, one sentence each.
    pub unsound: &'a [String],
}

/// Renders a run with the built-in templates; `now` is when the report is made.
pub fn report<M: Serialize>(run: &Run<'_, M>, now: Timestamp) -> Result<Report, TemplateError> {
    let plots = plots(run);
    let view = assemble(run, now, &plots);
    let templates = Templates::built_in();
    Ok(Report {
        markdown: templates.render(Format::Markdown, &view)?,
        html: templates.render(Format::Html, &view)?,
        plots: plot::files(&plots),
    })
}

/// What templates see of a run.
#[must_use]
pub fn view<M: Serialize>(run: &Run<'_, M>, now: Timestamp) -> ReportView {
    assemble(run, now, &plots(run))
}

fn plots<M: Serialize>(run: &Run<'_, M>) -> Vec<plot::Plot> {
    let available_bytes = hardware::available_bytes(&document(run.machine));
    let mut plots = plot::all(run.plan, run.trials, run.findings, available_bytes);
    plots.extend(model_profile(run).map(plot::of_profile).unwrap_or_default());
    plots.extend(run.quantization.map(plot::of_study).unwrap_or_default());
    plots
}

fn model_profile<'a, M>(run: &Run<'a, M>) -> Option<&'a ModelProfile> {
    let Subject::Model(model) = &run.profile?.subject else { return None };
    // A sweep that went on may recommend another setting now.
    let recommended = run.findings.best.effective.as_ref();
    recommended.is_none_or(|setting| *setting == model.setting).then_some(model)
}

fn document<M: Serialize>(machine: &M) -> Value {
    serde_json::to_value(machine).expect("a machine document is plain data")
}

fn assemble<M: Serialize>(run: &Run<'_, M>, now: Timestamp, plots: &[plot::Plot]) -> ReportView {
    let machine = &document(run.machine);
    let Run { plan, trials, findings, .. } = *run;
    let profile = model_profile(run);
    let evidence = section::Evidence {
        machine,
        plan,
        trials,
        findings,
        profile,
        verification: verification(run),
        quantization: run.quantization,
        plots,
    };
    ReportView {
        schema: VIEW_SCHEMA,
        title: format!(
            "{} on {}",
            summary::model_name(&plan.model),
            hardware::one_line(machine).split(',').next().unwrap_or_default()
        ),
        command: plan.command.clone(),
        version: plan.tool_version.clone(),
        measured_at: plan.created_at.clone(),
        rendered_at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        renderer: env!("CARGO_PKG_VERSION").to_owned(),
        machine: hardware::one_line(machine),
        engine: engine(plan),
        marks: unsound(run).chain(marks(machine, plan, findings)).collect(),
        summary: summary::view(machine, plan, findings),
        sections: section::all(evidence),
        trials: trials.iter().map(|trial| trial::row(trial, plan)).collect(),
    }
}

fn engine(plan: &Plan) -> String {
    let engine = &plan.engine;
    let pool = match engine.threading {
        Threading::Ggml => "ggml threads",
        Threading::OpenMp => "OpenMP",
    };
    format!("{} {} (ggml {}, {pool})", engine.name, engine.version, engine.ggml_version)
}

/// The verification of what is recommended now; a sweep that went on may have settled on another.
fn verification<'a, M>(run: &Run<'a, M>) -> Option<&'a Verification> {
    let Verdict::Confirmed { turn, .. } = &run.findings.verdict else { return None };
    let recommended = run.findings.recommends_tuned();
    run.verification.filter(|made| recommended && made.promised.as_ref() == Some(turn))
}

/// What could not be read.
fn unsound<'a, M>(run: &Run<'a, M>) -> impl Iterator<Item = MarkView> + 'a {
    run.unsound.iter().map(|text| MarkView {
        kind: "warning",
        label: "not sound",
        text: verdict::sentence(text),
    })
}

/// What nobody may overlook.
fn marks(machine: &Value, plan: &Plan, findings: &Findings) -> Vec<MarkView> {
    let mut marks = Vec::new();
    let mut mark = |kind, label, text: &str| {
        marks.push(MarkView { kind, label, text: verdict::sentence(text) });
    };
    if plan.engine.synthetic {
        let text = "every time in this report was made by a simulator; no hardware was measured";
        mark("synthetic", "simulated run", text);
    }
    if plan.model.synthetic {
        let text = "the model's weights are random, written to the shape of the real one: speed and \
                    memory are those of the shape, its answers mean nothing";
        mark("synthetic", "random weights", text);
    }
    if hardware::captured(machine) {
        mark(
            "synthetic",
            "captured machine",
            "the machine document is a capture of another machine",
        );
    }
    if findings.disturbed >= Findings::CROWDED {
        let text = format!(
            "beside {:.0} % of the trials others used the processors: what is fastest beside them \
             need not be without them; close them, or measure again at a quieter time",
            findings.disturbed * 100.0
        );
        mark("warning", "busy machine", &text);
    }
    for note in &plan.baseline_notes {
        let label = match note {
            note if note.contains("crashes") => "crashes here",
            note if note.starts_with("the variable") => "environment",
            _ => "the default differs",
        };
        mark("warning", label, note);
    }
    marks
}
