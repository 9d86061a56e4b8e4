//! The first screen: machine, model, workload; default to tuned; what did it; the command to copy.

use serde_json::Value;

use crate::export;
use crate::knob::Tool;
use crate::model::{Candidate, Findings, ModelCard, Plan, Verdict};
use crate::stats::Change;

use super::view::{CellView, CodeView, FactView, MetricView, StepView, SummaryView, Tone, links};
use super::{format, hardware, verdict};

/// The first screen.
pub(super) fn view(machine: &Value, plan: &Plan, findings: &Findings) -> SummaryView {
    let wording = verdict::wording(plan, findings);
    let evidence = match &findings.verdict {
        Verdict::Confirmed { evidence, .. } => links(evidence),
        Verdict::KeepBaseline => links(&findings.baseline.evidence),
        Verdict::Unconfirmed { .. } => links(&findings.best.evidence),
    };
    SummaryView {
        tone: wording.tone,
        headline: wording.headline,
        interval: wording.interval,
        sentence: wording.sentence,
        facts: facts(machine, plan),
        metrics: metrics(findings),
        tuned: findings.has_tuned(),
        steps: steps(findings),
        command: command(plan, findings),
        evidence,
    }
}

/// A model's name for people.
pub(super) fn model_name(model: &ModelCard) -> String {
    let stem = || model.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let named = model.name.clone().filter(|name| !name.trim().is_empty());
    named.or_else(stem).unwrap_or_else(|| model.architecture.clone())
}

fn facts(machine: &Value, plan: &Plan) -> Vec<FactView> {
    let model = &plan.model;
    let kind =
        model.types.first().map_or(String::new(), |share| format!(", mostly {}", share.name));
    let workload = &plan.workload;
    let depth = match workload.depth {
        0 => String::new(),
        depth => format!(" after {} tokens of history", format::count(depth.into())),
    };
    let fact = |name: &str, value: String| FactView { name: name.into(), value };
    vec![
        fact("Machine", hardware::one_line(machine)),
        fact(
            "Model",
            format!(
                "{}: {}, {} parameters, {}{kind}",
                model_name(model),
                model.architecture,
                format::parameters(model.parameters),
                model.file_bytes
            ),
        ),
        fact(
            "Workload",
            format!(
                "{}: {} prompt + {} generated tokens per turn{depth}, context {}",
                workload.name,
                format::count(workload.prompt_tokens.into()),
                format::count(workload.generate_tokens.into()),
                format::count(workload.context.into())
            ),
        ),
    ]
}

/// Default against tuned, metric by metric.
pub(super) fn metrics(findings: &Findings) -> Vec<MetricView> {
    let (turn, prefill, decode) = match &findings.verdict {
        Verdict::Confirmed { turn, prefill, decode, .. } => {
            (Some(turn), prefill.as_ref(), decode.as_ref())
        }
        Verdict::KeepBaseline | Verdict::Unconfirmed { .. } => (None, None, None),
    };
    let compared = |change: Option<&Change>| match change {
        Some(change) => {
            CellView { tone: Some(verdict::tone(change)), ..format::change(change).into() }
        }
        None => CellView::none(),
    };
    let row = |name, cell: fn(&Candidate) -> CellView, change: Option<&Change>| MetricView {
        name,
        default: cell(&findings.baseline),
        tuned: if findings.has_tuned() { cell(&findings.best) } else { CellView::none() },
        change: compared(change),
    };
    vec![
        row("Turn, whole", |c| duration(c.turn_s.as_ref()), turn),
        row("Prompt (prefill)", |c| rate(c.prefill_tok_per_s.as_ref()), prefill),
        row("Generation (decode)", |c| rate(c.decode_tok_per_s.as_ref()), decode),
        row("First token (TTFT)", |c| duration(c.ttft_s.as_ref()), None),
        row("Between tokens, p50", |c| percentile(c.itl_p50_s, "not measured"), None),
        row("Between tokens, p99", |c| percentile(c.itl_p99_s, "needs 299 tokens"), None),
        row(
            "Memory, peak",
            |c| {
                c.peak_resident_bytes
                    .map_or_else(CellView::none, |b| CellView::plain(b.to_string()))
            },
            None,
        ),
    ]
}

fn rate(estimate: Option<&crate::stats::Estimate>) -> CellView {
    estimate.map_or_else(CellView::none, |estimate| format::rate(estimate).into())
}

fn duration(estimate: Option<&crate::stats::Estimate>) -> CellView {
    estimate.map_or_else(CellView::none, |estimate| format::duration(estimate).into())
}

fn percentile(seconds: Option<f64>, why_not: &str) -> CellView {
    match seconds {
        Some(seconds) => CellView::plain(format::seconds(seconds)),
        None => CellView { detail: why_not.into(), ..CellView::none() },
    }
}

/// The way from default to tuned, in the order of the findings.
pub(super) fn steps(findings: &Findings) -> Vec<StepView> {
    let effects = findings.effects.iter();
    effects
        .map(|effect| StepView {
            knob: effect.knob.clone(),
            from: effect.from.to_string(),
            to: effect.to.to_string(),
            change: match &effect.alone {
                Some(change) => {
                    CellView { tone: Some(verdict::tone(change)), ..format::change(change).into() }
                }
                None => CellView {
                    text: "not measured alone".into(),
                    tone: Some(Tone::Open),
                    ..CellView::default()
                },
            }
            .citing(&effect.evidence),
        })
        .collect()
}

/// The command worth copying: the tuned one only where it was proven.
fn command(plan: &Plan, findings: &Findings) -> CodeView {
    let proven = findings.recommends_tuned();
    let setting = if proven { &findings.best.setting } else { &findings.baseline.setting };
    let label = if proven { "Run the tuned setting" } else { "Run the default setting" };
    code(plan, setting, Tool::LlamaServer, label)
}

/// A setting as the command of a tool.
pub(super) fn code(
    plan: &Plan,
    setting: &autotune_engine::api::Setting,
    tool: Tool,
    label: &str,
) -> CodeView {
    let tuned: Vec<&str> = plan.axes.iter().map(|axis| axis.knob.as_str()).collect();
    let made = export::command(tool, setting, &plan.model.path, &plan.workload, &tuned);
    CodeView { label: label.into(), code: made.lines(), notes: made.notes }
}
