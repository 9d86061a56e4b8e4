//! Plots as SVG: places and scales what was found, computes nothing.
//!
//! Every plot is deterministic, has units on its axes and a description in words, and reads on
//! light paper, on dark paper and in print.

mod context;
mod data;
mod front;
mod labels;
mod latency;
mod levels;
mod lines;
mod nats;
mod plane;
mod quantization;
mod roofline;
mod scaling;
mod steps;
mod surface;
mod theme;
mod timeline;
mod tokens;

use crate::model::{Findings, ModelProfile, Phase, Plan, QuantizationStudy, Trial};

use super::view::FigureView;
use data::Data;

/// A picture with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plot {
    /// File name without extension.
    pub(super) name: String,
    pub(super) title: String,
    /// What it says, in words.
    pub(super) description: String,
    pub(super) wide: bool,
    svg: String,
    data: Data,
}

/// Rules that a page with plots in it needs.
pub(super) fn style_sheet() -> String {
    theme::style_sheet()
}

/// Every plot that the evidence allows; `available_bytes`: main memory that was free.
pub(super) fn all(
    plan: &Plan,
    trials: &[Trial],
    findings: &Findings,
    available_bytes: Option<u64>,
) -> Vec<Plot> {
    let mut plots = Vec::new();
    for curve in &findings.curves {
        plots.extend(match curve.knob.as_str() {
            knob if is_thread_count(knob) => scaling::plot(curve),
            DEPTH => lines::over_depth(curve),
            GPU_LAYERS => lines::over_layers(curve, plan),
            _ => levels::plot(curve, plan),
        });
    }
    plots.extend(context::plot(plan, available_bytes));
    plots.extend(surface::plot(findings));
    plots.extend(front::plot(plan, findings));
    plots.extend(latency::plot(trials, findings));
    plots.extend(steps::plot(findings));
    plots.extend(timeline::plot(plan, trials, findings));
    plots
}

/// The name of the curve over tokens that are already in the context.
pub(super) const DEPTH: &str = "depth";
/// The knob of layers on graphics cards.
pub(super) const GPU_LAYERS: &str = "gpu_layers";

/// The plots of a model's profile.
pub(super) fn of_profile(model: &ModelProfile) -> Vec<Plot> {
    [roofline::plot(&model.rooflines), tokens::plot(&model.latency)].into_iter().flatten().collect()
}

/// The plots of a study of quantizations.
pub(super) fn of_study(study: &QuantizationStudy) -> Vec<Plot> {
    [quantization::speed(study), quantization::memory(study)].into_iter().flatten().collect()
}

/// Each picture as SVG, and the numbers behind it as CSV, by their names below `plots/`.
pub(super) fn files(plots: &[Plot]) -> Vec<(String, String)> {
    let file = |plot: &Plot| {
        let name = |end: &str| format!("{}.{end}", plot.name);
        [(name("svg"), plot.file()), (name("csv"), plot.csv())]
    };
    plots.iter().flat_map(file).collect()
}

/// Whether a knob counts threads, so that its curve has an ideal line.
pub(super) fn is_thread_count(knob: &str) -> bool {
    matches!(knob, "threads" | "threads_batch")
}

/// The name of a curve's plot.
pub(super) fn curve_name(knob: &str, phase: Phase) -> String {
    let knob: String =
        knob.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{knob}-{}", phase_word(phase))
}

/// The word for a phase on axes.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "prefill",
        Phase::Decode => "decode",
    }
}

fn phase_ink(phase: Phase) -> theme::Ink {
    match phase {
        Phase::Prefill => theme::Ink::Prefill,
        Phase::Decode => theme::Ink::Decode,
    }
}

impl Plot {
    fn new(
        name: impl Into<String>,
        title: String,
        description: String,
        svg: String,
        data: Data,
    ) -> Self {
        Self { name: name.into(), title, description, wide: false, svg, data }
    }

    /// The numbers behind it, with a header.
    pub(super) fn csv(&self) -> String {
        self.data.csv()
    }

    fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// For placing into a page that has [`style_sheet`].
    pub(super) fn figure(&self) -> FigureView {
        FigureView {
            name: self.name.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            wide: self.wide,
            svg: self.opened("", ""),
        }
    }

    /// A file of its own, with its style and its paper.
    pub(super) fn file(&self) -> String {
        let inside = format!(
            "<title>{}</title>\n<style>{}\n.paper{{fill:#fff}}\
             @media screen and (prefers-color-scheme:dark){{.paper{{fill:#14181c}}}}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\" class=\"paper\"/>\n",
            escaped(&format!("{}. {}", self.title, self.description)),
            theme::style_sheet()
        );
        self.opened("", &inside)
    }

    /// The drawing with accessible words on its root element.
    fn opened(&self, attributes: &str, inside: &str) -> String {
        let words = escaped(&format!("{}. {}", self.title, self.description));
        let root = format!("<svg role=\"img\" aria-label=\"{words}\"{attributes} ");
        let svg = self.svg.replacen("<svg ", &root, 1);
        svg.replacen(">\n", &format!(">\n{inside}"), 1)
    }
}

/// Text inside XML, in elements and in attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Words from outside, short enough for an axis and without control characters, which XML forbids.
fn short(text: &str, limit: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut words: String = clean.clone().take(limit).collect();
    if clean.count() > limit {
        words.pop();
        words.push('…');
    }
    words
}
