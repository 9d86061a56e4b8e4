//! A run as a document for people: Markdown, one self-contained HTML file, and plots.
//!
//! Places and scales values, and words them by rules; it computes none (that is `analysis`) and
//! reads no file and no clock (that is `cli`). Text from outside (model names, processor strings,
//! error messages) is escaped wherever it is placed.

pub mod doctor;
#[cfg(test)]
mod fixture;
mod format;
mod hardware;
pub mod machine;
mod markdown;
pub mod plan;
mod plot;
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

use crate::model::{Findings, Plan, Trial};

pub use template::{Format, TemplateError};
use view::{MarkView, ReportView};

/// A rendered run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `report.md`; its pictures are `plots/NAME.svg` beside it.
    pub markdown: String,
    /// `report.html`, self-contained.
    pub html: String,
    /// Names without extension, and SVG documents.
    pub plots: Vec<(String, String)>,
}

/// Renders a run with the built-in templates. `machine` is the machine document; `now` is when
/// the report is made.
pub fn report<M: Serialize>(
    machine: &M,
    plan: &Plan,
    trials: &[Trial],
    findings: &Findings,
    now: Timestamp,
) -> Result<Report, TemplateError> {
    let plots = plot::all(plan, trials, findings);
    let view = assemble(&document(machine), plan, trials, findings, now, &plots);
    Ok(Report {
        markdown: template::built_in(Format::Markdown, &view)?,
        html: template::built_in(Format::Html, &view)?,
        plots: plots.iter().map(|plot| (plot.name.clone(), plot.file())).collect(),
    })
}

/// What templates see of a run.
pub fn view<M: Serialize>(
    machine: &M,
    plan: &Plan,
    trials: &[Trial],
    findings: &Findings,
    now: Timestamp,
) -> ReportView {
    let plots = plot::all(plan, trials, findings);
    assemble(&document(machine), plan, trials, findings, now, &plots)
}

/// Renders a view with one's own template.
pub fn with_template(
    name: &str,
    source: &str,
    format: Format,
    view: &ReportView,
) -> Result<String, TemplateError> {
    template::render(name, source, format, view)
}

fn document<M: Serialize>(machine: &M) -> Value {
    serde_json::to_value(machine).expect("a machine document is plain data")
}

fn assemble(
    machine: &Value,
    plan: &Plan,
    trials: &[Trial],
    findings: &Findings,
    now: Timestamp,
    plots: &[plot::Plot],
) -> ReportView {
    let evidence = section::Evidence { machine, plan, trials, findings, plots };
    ReportView {
        schema: "autotune.report/1",
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
        marks: marks(machine, plan, findings),
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
