//! The first screen of a study's page: what to take, why, beside the source, and how to start it.

use super::super::super::format;
use super::super::super::machine::clean;
use super::super::super::view::{CellView, CodeView, FactView, MetricView, SummaryView, Tone};
use super::super::{figures, words};
use super::{choice, class, divergence, is_source, named, remarks, same_top, source, table};
use crate::export::quoted;
use crate::model::{QuantizationStudy, StudyCandidate};
use crate::stats::Estimate;

/// The first screen.
pub(super) fn view(study: &QuantizationStudy) -> SummaryView {
    let chosen = study.choice.as_ref().and_then(|choice| named(study, &choice.name));
    let other = chosen.filter(|it| !is_source(study, it));
    let first = source(study).or(chosen);
    let tone = match (&study.choice, other) {
        (None, _) => Tone::Open,
        (Some(_), None) => Tone::Same,
        (Some(_), Some(_)) => Tone::Better,
    };
    let taken = study.choice.as_ref().map(|choice| format!("Take {}", clean(&choice.name)));
    let name = |it: Option<&StudyCandidate>| it.map_or_else(String::new, |it| clean(&it.name));
    SummaryView {
        tone,
        headline: taken.unwrap_or_else(|| "Nothing can be taken".to_owned()),
        interval: chosen.map(|it| quality(study, it)).unwrap_or_default(),
        sentence: choice(study),
        facts: facts(study),
        metrics: first.map(|first| metrics(study, first, other)).unwrap_or_default(),
        tuned: other.is_some() && source(study).is_some(),
        columns: [name(first), name(other), "Ratio".to_owned()],
        targets: false,
        steps: Vec::new(),
        command: command(study, chosen),
        evidence: Vec::new(),
    }
}

fn quality(study: &QuantizationStudy, one: &StudyCandidate) -> String {
    match super::divergence_of(one) {
        Some(_) => format!("{}: KL divergence {} nats", class(one), divergence(study, one)),
        None if study.speed_only => "speed only".to_owned(),
        None if is_source(study, one) => "the source itself".to_owned(),
        None => "its quality was not measured".to_owned(),
    }
}

fn facts(study: &QuantizationStudy) -> Vec<FactView> {
    let read = |report| format!("{}; {}", words::source(report), words::read(report));
    let facts = [
        ("Source", words::file_name(&study.source).to_owned()),
        ("Wish", remarks::wish(study)),
        ("Compared", format::plural(study.candidates.len(), "candidate")),
        ("Front", study.front.join(", ")),
        ("Text", study.quality.as_ref().map(read).unwrap_or_default()),
    ];
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| FactView { name: name.into(), value: clean(&value) }).collect()
}

/// The source beside the choice.
fn metrics(
    study: &QuantizationStudy,
    first: &StudyCandidate,
    other: Option<&StudyCandidate>,
) -> Vec<MetricView> {
    let rows = |one: &StudyCandidate| {
        [
            ("Generation (decode)", table::rate(one.decode_tok_per_s)),
            ("Prompt (prefill)", table::rate(one.prefill_tok_per_s)),
            ("Memory, peak", CellView::plain(figures::size(one.peak_memory_bytes))),
            ("File", CellView::plain(one.file_bytes.to_string())),
            ("KL divergence", CellView::plain(divergence(study, one))),
            ("Same top token", CellView::plain(same_top(one))),
        ]
    };
    let shown = other.map(|other| (rows(other), ratios(first, other)));
    let known = if super::compared(study) { 6 } else { 4 };
    let metric = |(at, (name, default)): (usize, (&'static str, CellView))| MetricView {
        name,
        default,
        tuned: shown.as_ref().map_or_else(CellView::none, |(rows, _)| rows[at].1.clone()),
        change: shown.as_ref().map_or_else(CellView::none, |(_, ratios)| ratio(ratios[at])),
        target: CellView::none(),
    };
    rows(first).into_iter().take(known).enumerate().map(metric).collect()
}

/// What the choice has of the source, metric by metric; a quality has no ratio.
fn ratios(first: &StudyCandidate, other: &StudyCandidate) -> [Option<f64>; 6] {
    let times = |first: Option<f64>, other: Option<f64>| Some(other? / first?);
    let rate = |it: Option<Estimate>| it.map(|it| it.value);
    let memory = |it: &StudyCandidate| it.peak_memory_bytes.map(|bytes| bytes.0 as f64);
    [
        times(rate(first.decode_tok_per_s), rate(other.decode_tok_per_s)),
        times(rate(first.prefill_tok_per_s), rate(other.prefill_tok_per_s)),
        times(memory(first), memory(other)),
        times(Some(first.file_bytes.0 as f64), Some(other.file_bytes.0 as f64)),
        None,
        None,
    ]
}

fn ratio(of: Option<f64>) -> CellView {
    let of = of.filter(|ratio| ratio.is_finite());
    of.map_or_else(CellView::none, |ratio| CellView::plain(format!("{}×", format::three(ratio))))
}

/// How to start the choice; without one, how the study was made.
fn command(study: &QuantizationStudy, chosen: Option<&StudyCandidate>) -> CodeView {
    let Some(one) = chosen else {
        return CodeView {
            label: "What was asked".to_owned(),
            code: clean(&study.command),
            notes: Vec::new(),
        };
    };
    let names_model = one.flags.iter().any(|flag| flag == "-m" || flag == "--model");
    let model = ["--model".to_owned(), one.model.clone()];
    let model = if names_model { [].iter() } else { model.iter() };
    let words: Vec<String> = model.chain(&one.flags).map(|word| quoted(word)).collect();
    CodeView {
        label: format!("Run {}", clean(&one.name)),
        code: clean(&format!("llama-server {}", words.join(" "))),
        notes: Vec::new(),
    }
}
