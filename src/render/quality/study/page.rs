//! A study as a document of its own, by the templates of a report.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::super::machine::clean;
use super::super::super::view::{BlockView, MarkView, ReportView, SectionView};
use super::super::super::{
    Format, Report, TemplateError, Templates, VIEW_SCHEMA, document, hardware, plot, verdict,
};
use super::super::words;
use super::{section, summary};
use crate::model::QuantizationStudy;

/// Renders a study with the built-in templates: `report.md`, `report.html` and plots for its
/// folder. `machine` is the machine document, where one is at hand; `now` is when it is made.
pub fn study_page<M: Serialize>(
    study: &QuantizationStudy,
    machine: Option<&M>,
    now: Timestamp,
) -> Result<Report, TemplateError> {
    let plots = plot::of_study(study);
    let view = assemble(study, machine.map(document).as_ref(), now, &plots);
    let templates = Templates::built_in();
    Ok(Report {
        markdown: templates.render(Format::Markdown, &view)?,
        html: templates.render(Format::Html, &view)?,
        plots: plot::files(&plots),
    })
}

/// What templates see of a study.
#[must_use]
pub fn study_view<M: Serialize>(
    study: &QuantizationStudy,
    machine: Option<&M>,
    now: Timestamp,
) -> ReportView {
    assemble(study, machine.map(document).as_ref(), now, &plot::of_study(study))
}

fn assemble(
    study: &QuantizationStudy,
    machine: Option<&Value>,
    now: Timestamp,
    plots: &[plot::Plot],
) -> ReportView {
    let machine = machine.map(hardware::one_line);
    let place = machine.as_deref().and_then(|it| it.split(',').next());
    let place = place.map(|place| format!(" on {place}")).unwrap_or_default();
    let engine = study.quality.as_ref().map(words::engine);
    let elsewhere = || "in the report of each candidate".to_owned();
    ReportView {
        schema: VIEW_SCHEMA,
        title: format!("Quantizations of {}{place}", super::source_name(study)),
        command: clean(&study.command),
        version: clean(&study.tool_version),
        measured_at: clean(&study.created_at),
        rendered_at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        renderer: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine.unwrap_or_else(elsewhere),
        engine: engine.unwrap_or_else(elsewhere),
        marks: marks(study),
        summary: summary::view(study),
        sections: sections(study, plots),
        trials: Vec::new(),
    }
}

fn marks(study: &QuantizationStudy) -> Vec<MarkView> {
    let text = verdict::sentence(
        "the weights are noise: speed and memory are those of the shape, nothing is known of quality",
    );
    let mark = || MarkView { kind: "synthetic", label: "speed only", text };
    study.speed_only.then(mark).into_iter().collect()
}

fn sections(study: &QuantizationStudy, plots: &[plot::Plot]) -> Vec<SectionView> {
    let figures: Vec<_> = plots.iter().map(plot::Plot::figure).collect();
    let figures = (!figures.is_empty()).then_some(BlockView::Figures { figures });
    let parts = section::parts(study, figures).into_iter();
    parts
        .map(|part| match part.blocks {
            blocks if blocks.is_empty() => {
                SectionView::missing(part.id, part.title, missing(part.id))
            }
            blocks => SectionView::of(part.id, part.title, blocks),
        })
        .collect()
}

fn missing(id: &str) -> &'static str {
    match id {
        "candidates" => "There were none.",
        "folklore" => "None of the types in that table was measured.",
        "fronts" => "Needs the speed or memory and the divergence of at least two candidates.",
        _ => "Nobody was asked.",
    }
}
