//! Speeds: default against tuned, over threads, over CPU variants and batches, by phase.

use autotune_engine::api::{Bytes, GpuLayers, Setting};

use crate::model::{ContextMemory, Curve, Findings, Phase, Verdict};
use crate::render::plot::{DEPTH, GPU_LAYERS, curve_name, is_thread_count, phase_word};
use crate::render::view::{BlockView, CellView, SectionView, Tone};
use crate::render::{format, summary};

use super::Evidence;

/// Default and tuned metrics with targets.
pub(super) fn metrics(evidence: Evidence<'_>) -> SectionView {
    let tuned = evidence.findings.has_tuned();
    let rows = summary::metrics(evidence.plan, evidence.findings).into_iter().map(|metric| {
        let mut row = vec![CellView::plain(metric.name), metric.default];
        if tuned {
            row.extend([metric.tuned, metric.change]);
        }
        row.push(metric.target);
        row
    });
    let cited = |trials: &[u32]| CellView::default().citing(trials);
    let mut sources =
        vec![CellView::plain("Evidence"), cited(&evidence.findings.baseline.evidence)];
    if tuned {
        sources.push(cited(&evidence.findings.best.evidence));
        sources.push(match &evidence.findings.verdict {
            Verdict::Confirmed { evidence, .. } => cited(evidence),
            Verdict::KeepBaseline | Verdict::Unconfirmed { .. } => CellView::none(),
        });
    }
    sources.push(CellView::none());
    let rows = rows.chain([sources]);
    let mut columns = vec![("Metric", false), ("Default", true)];
    if tuned {
        columns.extend([("Tuned", true), ("Speed, paired", true)]);
    }
    columns.push(("Target", true));
    let table =
        BlockView::table("Metrics of the default and the tuned setting", &columns, rows.collect());
    SectionView::of(
        "metrics",
        "Default and tuned",
        vec![
            table,
            BlockView::text(
                "Default is what llama-server of this version would run here. A change is only \
                 given where the two were compared in interleaved pairs.",
            ),
            BlockView::text(targets(evidence)),
        ],
    )
}

/// What the targets are held against, or how to set them.
fn targets(evidence: Evidence<'_>) -> String {
    let mut wanted = evidence.plan.wanted();
    let held = if evidence.findings.recommends_tuned() { "tuned" } else { "default" };
    match wanted.next() {
        Some(_) => format!("Targets are held against the {held} setting and its interval."),
        None => "No targets were set: `autotune sweep --goal tg=30,ttft=500ms,memory=32GB` or \
                 the limits of a workload set them."
            .to_owned(),
    }
}

/// Speed over thread counts.
pub(super) fn threads(evidence: Evidence<'_>) -> SectionView {
    let curves: Vec<_> =
        evidence.findings.curves.iter().filter(|curve| is_thread_count(&curve.knob)).collect();
    if curves.is_empty() {
        return SectionView::missing(
            "threads",
            "Thread scaling",
            "No curve over thread counts: run `autotune sweep` with the knobs `threads` and \
             `threads_batch`.",
        );
    }
    let mut blocks = curves.iter().map(|curve| BlockView::text(half(curve))).collect::<Vec<_>>();
    let names: Vec<_> = curves.iter().map(|curve| curve_name(&curve.knob, curve.phase)).collect();
    blocks.extend(evidence.figures(|name| names.iter().any(|wanted| wanted == name)));
    blocks.extend(curves.into_iter().map(curve_table));
    SectionView::of("threads", "Thread scaling", blocks)
}

/// Where efficiency falls under one half, in words that follow from the points.
fn half(curve: &Curve) -> String {
    let phase = phase_word(curve.phase);
    let judged: Vec<_> =
        curve.points.iter().filter_map(|p| Some((&p.level, p.efficiency?))).collect();
    let fastest = curve
        .points
        .iter()
        .filter_map(|p| Some((&p.level, p.tok_per_s?.value)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let fastest = fastest.map_or(String::new(), |(level, rate)| {
        format!(" The highest point is at {level} threads ({} tok/s).", format::three(rate))
    });
    match judged.iter().find(|(_, share)| *share < 0.5) {
        Some((level, share)) => format!(
            "For {phase}, efficiency falls under 50 % at {level} threads ({}).{fastest}",
            format::percent(*share)
        ),
        None if judged.len() > 1 => {
            format!("For {phase}, efficiency stays above 50 % at every count that ran.{fastest}")
        }
        None => format!("For {phase}, too few thread counts ran to judge scaling."),
    }
}

/// Speeds on each CPU variant, and what the self-test said.
pub(super) fn variants(evidence: Evidence<'_>) -> SectionView {
    let plan = evidence.plan;
    if plan.variants.is_empty() {
        return SectionView::missing(
            "variants",
            "CPU variants (SIMD)",
            "The engine listed no build variants of its CPU code.",
        );
    }
    let rows = plan.variants.iter().map(|variant| {
        use autotune_engine::api::VariantVerdict as V;
        let (verdict, tone) = match &variant.verdict {
            V::Usable => ("usable".to_owned(), None),
            V::Unsupported => ("not supported by this processor".to_owned(), None),
            V::Failed { reason, .. } => (format!("failed: {reason}"), Some(Tone::Worse)),
        };
        vec![
            CellView::plain(&variant.name),
            CellView::plain(variant.score.to_string()),
            CellView { tone, ..CellView::plain(verdict) },
        ]
    });
    let table = BlockView::table(
        "Build variants of the CPU code after a self-test",
        &[("Variant", false), ("Score by ggml", true), ("Self-test", false)],
        rows.collect(),
    );
    let mut blocks = vec![table];
    blocks.extend(knob_blocks(evidence, &["isa_variant"]));
    SectionView::of("variants", "CPU variants (SIMD)", blocks)
}

/// Speed over filled context, memory over its size.
pub(super) fn context(evidence: Evidence<'_>) -> SectionView {
    let mut blocks = knob_blocks(evidence, &[DEPTH, "context"]);
    let (plan, memory) = (evidence.plan, &evidence.plan.context_memory);
    blocks.extend(evidence.figures(|name| name == "context-memory"));
    if let [first, .., last] = memory.as_slice() {
        let whole = |it: &ContextMemory| it.memory.with(&it.devices);
        let more = whole(last).kv_bytes.0.saturating_sub(whole(first).kv_bytes.0);
        let tokens = u64::from(last.context.saturating_sub(first.context)).max(1);
        blocks.push(BlockView::text(format!(
            "A token of context takes {} of KV cache ({} keys, {} values); from {} to {} tokens \
             the default setting grows from {} to {}, counted by the engine without allocating.",
            Bytes(more / tokens),
            plan.baseline.context.type_k,
            plan.baseline.context.type_v,
            format::count(first.context.into()),
            format::count(last.context.into()),
            whole(first).total(),
            whole(last).total()
        )));
    }
    if blocks.is_empty() {
        return SectionView::missing(
            "context",
            "Context size",
            "No curve over filled context and no forecast of memory: `autotune sweep` with a \
             budget of 10 minutes or more measures the one and counts the other.",
        );
    }
    SectionView::of("context", "Context size", blocks)
}

/// Layers on graphics cards.
pub(super) fn gpu_layers(evidence: Evidence<'_>) -> SectionView {
    let (id, title) = ("gpu-layers", "GPU layers");
    let layers = |setting: &Setting| match setting.load.gpu_layers {
        GpuLayers::Count(0) => "on the CPU alone".to_owned(),
        GpuLayers::Count(count) => format!("with {count} layers on the GPU"),
        GpuLayers::All => "with all layers on the GPU".to_owned(),
    };
    let ran = format!(
        "The default ran {}, the best {}.",
        layers(&evidence.findings.baseline.setting),
        layers(&evidence.findings.best.setting)
    );
    let mut blocks = knob_blocks(evidence, &[GPU_LAYERS]);
    let too_many: Vec<Vec<CellView>> = evidence
        .plan
        .rejected
        .iter()
        .filter(|rejected| rejected.knob == GPU_LAYERS)
        .map(|rejected| {
            let level = rejected.level.as_ref().map_or("all".to_owned(), ToString::to_string);
            vec![CellView::plain(level), CellView::plain(&rejected.reason)]
        })
        .collect();
    if !too_many.is_empty() {
        let columns = [("Layers", false), ("Why they were left out", false)];
        blocks.push(BlockView::table("Counts that were not tried", &columns, too_many));
    }
    if blocks.is_empty() {
        let why = "No curve over layers: this engine drives no GPU here (`autotune detect` lists \
                   them), or the sweep did not turn `gpu_layers` (`--knobs gpu_layers`).";
        return SectionView::missing(id, title, format!("{ran} {why}"));
    }
    blocks.insert(0, BlockView::text(ran));
    SectionView::of(id, title, blocks)
}

/// Knobs that have a section of their own.
const ELSEWHERE: [&str; 7] =
    ["isa_variant", DEPTH, "context", GPU_LAYERS, "placement", "strict", "numa"];

/// Physical batch, flash attention and every other knob that has no section of its own.
pub(super) fn batching(evidence: Evidence<'_>) -> SectionView {
    let others: Vec<&str> = evidence
        .findings
        .curves
        .iter()
        .map(|curve| curve.knob.as_str())
        .filter(|knob| !is_thread_count(knob) && !ELSEWHERE.contains(knob))
        .collect();
    let blocks = knob_blocks(evidence, &others);
    if blocks.is_empty() {
        return SectionView::missing(
            "batching",
            "Batch and attention",
            "No curve over batch sizes or flash attention: run `autotune sweep` with the knobs \
             `ubatch` and `flash_attention`.",
        );
    }
    SectionView::of("batching", "Batch and attention", blocks)
}

pub(super) fn knob_blocks(evidence: Evidence<'_>, knobs: &[&str]) -> Vec<BlockView> {
    let curves: Vec<_> =
        evidence.findings.curves.iter().filter(|c| knobs.contains(&c.knob.as_str())).collect();
    let names: Vec<_> = curves.iter().map(|curve| curve_name(&curve.knob, curve.phase)).collect();
    let figures = evidence.figures(|name| names.iter().any(|wanted| wanted == name));
    figures.into_iter().chain(curves.into_iter().map(curve_table)).collect()
}

fn curve_table(curve: &Curve) -> BlockView {
    let scaling = curve.points.iter().any(|point| point.efficiency.is_some());
    let rows = curve.points.iter().map(|point| {
        let rate = point.tok_per_s.map_or_else(
            || {
                if point.evidence.is_empty() {
                    CellView::plain("not visited")
                } else {
                    CellView { tone: Some(Tone::Worse), ..CellView::plain("did not run") }
                }
            },
            |rate| format::rate(&rate).into(),
        );
        let mut row = vec![
            CellView::plain(point.level.to_string()),
            rate.citing(&point.evidence),
            CellView::plain(point.speedup.map_or("–".into(), |x| format!("{}×", format::three(x)))),
        ];
        if scaling {
            row.push(CellView::plain(point.efficiency.map_or("–".into(), format::percent)));
        }
        row
    });
    let mut columns = vec![("Level", false), ("Speed", true), ("Over the first", true)];
    if scaling {
        columns.push(("Efficiency", true));
    }
    let caption = format!("{}, {}", curve.knob, phase_word(curve.phase));
    BlockView::table(caption, &columns, rows.collect())
}

/// Loading, prompt, generation, and the spread of single tokens.
pub(super) fn latency(evidence: Evidence<'_>) -> SectionView {
    let mut blocks = Vec::new();
    blocks.extend(evidence.figures(|name| name == "token-latency"));
    blocks.push(BlockView::table(
        "Latency by phase",
        &[("Phase", false), ("Default", true), ("Tuned", true)],
        phases(evidence),
    ));
    blocks.push(BlockView::text(
        "The first token is the time of the workload's whole prompt, from the measured speed of \
         prompts. Sampling, tokenizing and HTTP are not part of this version's measurement.",
    ));
    SectionView::of("latency", "Latency by phase", blocks)
}

fn phases(evidence: Evidence<'_>) -> Vec<Vec<CellView>> {
    let Findings { baseline, best, .. } = evidence.findings;
    let tuned = evidence.findings.has_tuned();
    let load = |candidate: &crate::model::Candidate| {
        let shares_load = |asked: &Setting| {
            (&asked.process, &asked.load) == (&candidate.setting.process, &candidate.setting.load)
        };
        let visits = evidence.trials.iter().rev().filter(|trial| shares_load(&trial.asked));
        let mut times = visits.filter_map(|trial| match &trial.outcome {
            crate::model::Outcome::Measured(measured) => measured.transition.load_ns,
            _ => None,
        });
        let last: Option<u64> = times.next();
        last.map_or_else(CellView::none, |ns| CellView::plain(format::seconds(ns as f64 / 1e9)))
    };
    let at = |candidate: &crate::model::Candidate, phase| {
        let rate = match phase {
            Phase::Prefill => candidate.prefill_tok_per_s,
            Phase::Decode => candidate.decode_tok_per_s,
        };
        rate.map_or_else(CellView::none, |rate| format::rate(&rate).into())
    };
    let first = |candidate: &crate::model::Candidate| {
        candidate.ttft_s.map_or_else(CellView::none, |time| format::duration(&time).into())
    };
    let pair = |name: &str, cell: &dyn Fn(&crate::model::Candidate) -> CellView| {
        let right = if tuned { cell(best) } else { CellView::none() };
        vec![CellView::plain(name), cell(baseline), right]
    };
    vec![
        pair("Loading the model, last time", &load),
        pair("Prefill", &|c| at(c, Phase::Prefill)),
        pair("First token", &first),
        pair("Decode", &|c| at(c, Phase::Decode)),
    ]
}
