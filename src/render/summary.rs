//! The first screen: machine, model, workload; default to tuned; what did it; the command to copy.

use autotune_engine::api::Bytes;
use serde_json::Value;

use crate::export;
use crate::knob::{self, Tool};
use crate::model::{Candidate, Figure, Findings, Goal, ModelCard, Plan, Standing, Verdict};

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
        facts: facts(machine, plan, findings),
        metrics: metrics(plan, findings),
        tuned: findings.has_tuned(),
        columns: ["Default", "Tuned", "Speed, paired"].map(str::to_owned),
        targets: plan.wanted().next().is_some(),
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

fn facts(machine: &Value, plan: &Plan, findings: &Findings) -> Vec<FactView> {
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
        fact("Costs", costs(findings)),
        fact("Roof", roof(findings)),
    ]
}

/// What the tuned setting takes that the default does not.
pub(super) fn costs(findings: &Findings) -> String {
    let (default, best) = (&findings.baseline, &findings.best);
    if !findings.recommends_tuned() {
        return "nothing: the default stays".to_owned();
    }
    let mut costs = Vec::new();
    if let Some((before, after)) = default.peak_resident_bytes.zip(best.peak_resident_bytes) {
        let ratio = after.0 as f64 / before.0.max(1) as f64;
        // Below this two runs of one setting differ.
        if (ratio - 1.0).abs() >= 0.02 {
            costs.push(format!("memory {} ({before} to {after})", format::ratio(ratio)));
        }
    }
    for (knob, from, to) in knob::changed(&default.setting, &best.setting) {
        if knob.changes_output() {
            costs.push(format!("{} {from} to {to} changes answers", knob.name()));
        }
    }
    if costs.is_empty() {
        return "no memory worth telling; weights, KV cache types and context are the default's"
            .to_owned();
    }
    costs.join("; ")
}

/// How far generation is from what the machine's memory allows.
fn roof(findings: &Findings) -> String {
    findings.claims.ceiling.as_ref().map_or_else(
        || "not known; `autotune detect --ceilings` measures the machine's peaks".to_owned(),
        |claim| {
            format!(
                "{} of the {} tok/s that the read bandwidth allows for generation",
                format::whole_percent(claim.share),
                format::three(claim.roof_tok_per_s)
            )
        },
    )
}

/// Default against tuned, metric by metric.
pub(super) fn metrics(plan: &Plan, findings: &Findings) -> Vec<MetricView> {
    let (turn, prefill, decode) = match &findings.verdict {
        Verdict::Confirmed { turn, prefill, decode, .. } => {
            (Some(turn), prefill.as_ref(), decode.as_ref())
        }
        Verdict::KeepBaseline | Verdict::Unconfirmed { .. } => (None, None, None),
    };
    let changes = [turn, prefill, decode];
    let tuned = if findings.has_tuned() { cells(&findings.best) } else { Vec::new() };
    let mut tuned = tuned.into_iter().map(|(_, cell)| cell);
    let rows = cells(&findings.baseline).into_iter().enumerate();
    let mut rows: Vec<MetricView> = rows
        .map(|(at, (name, default))| MetricView {
            name,
            default,
            tuned: tuned.next().unwrap_or_else(CellView::none),
            change: verdict::cell_or_none(changes.get(at).copied().flatten()),
            target: CellView::none(),
        })
        .collect();
    let card = |it: &Candidate| it.gpu_utilization.is_some() || it.peak_card_bytes.is_some();
    if !card(&findings.baseline) && !card(&findings.best) {
        rows.truncate(ROWS_WITHOUT_GPU);
    }
    for goal in plan.wanted() {
        let row = match goal.figure() {
            Figure::Turn => 0,
            Figure::Prefill => 1,
            Figure::Decode => 2,
            Figure::Ttft => 3,
            Figure::Itl => 4,
            Figure::Memory => 6,
        };
        let (cell, own) = (&mut rows[row].target, target(goal, shown(findings)));
        if cell.tone.is_none() {
            *cell = own;
        } else {
            // Two wishes of one number: both are told, and the one that is missed has the colour.
            cell.text = format!("{}; {}", cell.text, own.text);
            cell.detail = format!("{}; {}", cell.detail, own.detail);
            let missed = own.tone == Some(Tone::Worse);
            cell.tone =
                if missed || cell.tone == Some(Tone::Better) { own.tone } else { cell.tone };
        }
    }
    rows
}

/// The metrics of a setting, in one order: turn, prompt and generation first.
pub(super) fn cells(it: &Candidate) -> Vec<(&'static str, CellView)> {
    vec![
        ("Turn, whole", duration(it.turn_s.as_ref())),
        ("Prompt (prefill)", rate(it.prefill_tok_per_s.as_ref())),
        ("Generation (decode)", rate(it.decode_tok_per_s.as_ref())),
        ("First token (TTFT)", duration(it.ttft_s.as_ref())),
        ("Between tokens, p50", percentile(it.itl_p50_s, "not measured")),
        ("Between tokens, p99", percentile(it.itl_p99_s, "needs 299 tokens")),
        ("Memory, peak", bytes(it.peak_resident_bytes)),
        ("GPU utilization", share(it.gpu_utilization)),
        ("GPU memory, peak", bytes(it.peak_card_bytes)),
    ]
}

/// Metrics of a machine without a GPU.
const ROWS_WITHOUT_GPU: usize = 7;

/// The setting that goals are held against.
fn shown(findings: &Findings) -> &Candidate {
    if findings.recommends_tuned() { &findings.best } else { &findings.baseline }
}

fn target(goal: Goal, candidate: &Candidate) -> CellView {
    let text = match goal {
        Goal::Decode(rate) | Goal::Prefill(rate) => format!("≥ {} tok/s", format::three(rate)),
        Goal::Ttft(limit) => format!("≤ {}", format::seconds(limit)),
        Goal::Memory(limit) => format!("≤ {limit}"),
    };
    let standing = goal.standing(candidate);
    let tone = match standing {
        Some(Standing::Met) => Tone::Better,
        Some(Standing::Missed) => Tone::Worse,
        Some(Standing::Open(_)) | None => Tone::Open,
    };
    CellView {
        text,
        detail: standing.map_or("not measured", Standing::words).to_owned(),
        tone: Some(tone),
        ..CellView::default()
    }
}

fn share(value: Option<f64>) -> CellView {
    value.map_or_else(CellView::none, |share| CellView::plain(format::whole_percent(share)))
}

fn bytes(value: Option<Bytes>) -> CellView {
    value.map_or_else(CellView::none, |bytes| CellView::plain(bytes.to_string()))
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
                Some(change) => verdict::cell(change),
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
