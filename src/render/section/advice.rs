//! What to do with the result. Every line follows from the evidence by a rule below.

use autotune_engine::api::{GpuLayers, VariantFault, VariantVerdict};

use crate::knob::Tool;
use crate::model::Verdict;
use crate::render::view::{BlockView, ItemView, SectionView};
use crate::render::{format, summary};
use crate::stats::Separation;

use super::{Evidence, transfer};

/// Scatter of a pair above which small gains cannot be proven.
const NOISY: f64 = 0.03;

fn item(label: &str, text: impl Into<String>) -> ItemView {
    ItemView { label: Some(label.into()), text: text.into(), checked: None }
}

/// Quick, medium, if needed.
pub(super) fn actions(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let mut items = Vec::new();
    if findings.recommends_tuned() {
        items.push(item("Quick", "start llama-server with the command of the tuned setting"));
    } else {
        match &findings.verdict {
            Verdict::Unconfirmed { .. } => items.push(item(
                "Quick",
                "sweep again with a larger `--budget`: what was measured comes from the cache",
            )),
            Verdict::Confirmed { .. } | Verdict::KeepBaseline => {
                items.push(item("Quick", "keep llama-server's default settings"));
            }
        }
    }
    let failed = plan.variants.iter().find(|variant| {
        let VariantVerdict::Failed { fault, .. } = &variant.verdict else { return false };
        *fault != VariantFault::Untested
    });
    if let Some(variant) = failed {
        items.push(item(
            "Quick",
            format!(
                "keep llama.cpp from loading its CPU variant `{}`, which fails here: remove that \
                 module or build without it",
                variant.name
            ),
        ));
    }
    if let Some(noise) = findings.noise.filter(|noise| *noise > NOISY) {
        items.push(item(
            "Medium",
            format!(
                "quiet the machine and sweep again: one comparison scatters by {}, so small gains \
                 stay hidden",
                format::percent(noise)
            ),
        ));
    }
    if plan.model.synthetic {
        items.push(item(
            "Medium",
            "sweep the real model file; the weights measured here are random",
        ));
    }
    items.push(item(
        "If needed",
        "sweep a smaller quantization of the model, and judge its quality",
    ));
    SectionView::of("actions", "Recommended actions", vec![BlockView::List { items }])
}

/// What to run with, watch, and when to tune again.
pub(super) fn production(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let chosen = if findings.recommends_tuned() { &findings.best } else { &findings.baseline };
    let threads = &chosen.setting.threads;
    let mut items = vec![item(
        "Threads",
        if threads.threads == threads.threads_batch {
            format!("{} for generation and prompts", threads.threads)
        } else {
            format!("{} for generation, {} for prompts", threads.threads, threads.threads_batch)
        },
    )];
    if let Some(peak) = chosen.peak_resident_bytes {
        items.push(item(
            "Memory",
            format!(
                "{peak} was the largest resident set at a context of {}",
                chosen.setting.context.context
            ),
        ));
    }
    let hardware = match chosen.setting.load.gpu_layers {
        GpuLayers::Count(0) => "the processor alone; no GPU was used",
        GpuLayers::Count(_) | GpuLayers::All => "GPU and processor as in the setting",
    };
    items.push(item("Hardware", hardware));
    if let Some(p50) = chosen.itl_p50_s {
        items.push(item(
            "Monitor",
            format!(
                "time between tokens (median here {}), time to the first token, resident memory",
                format::seconds(p50)
            ),
        ));
    }
    items.push(item(
        "Tune again",
        format!(
            "after a change of model file, of {} {}, of the machine or its limits, or of the \
             workload `{}`",
            plan.engine.name, plan.engine.version, plan.workload.name
        ),
    ));
    SectionView::of("production", "Production recommendations", vec![BlockView::List { items }])
}

/// What was checked and what was not.
pub(super) fn validation(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let check = |checked, text: String| ItemView { label: None, text, checked: Some(checked) };
    let pairs = match &findings.verdict {
        Verdict::Confirmed { turn, .. } => Some(turn),
        Verdict::KeepBaseline | Verdict::Unconfirmed { .. } => None,
    };
    let compared = match pairs {
        Some(turn) => format!(
            "Benchmark before and after, in {} interleaved pairs of the same sweep",
            turn.speed_ratio.n
        ),
        None => "Benchmark before and after: no confirmation was run".into(),
    };
    let apart = pairs.is_some_and(|turn| turn.separation != Separation::NotSeparated);
    let (a, b) = (&findings.baseline.setting, &findings.best.setting);
    let same_numbers = a.context.type_k == b.context.type_k
        && a.context.type_v == b.context.type_v
        && a.context.context == b.context.context;
    let quality = if same_numbers {
        "Accuracy: weights, KV cache type and context are those of the default; results \
                 may differ in the last bits of rounding"
    } else {
        "Accuracy: KV cache type or context differ from the default, and quality was not \
                  measured"
    };
    let items = vec![
        check(pairs.is_some(), compared),
        check(apart, "The interval excludes no change".into()),
        check(same_numbers, quality.into()),
        check(!plan.engine.synthetic, "Run on a real engine".into()),
        check(!plan.model.synthetic, "Run on the real model's weights".into()),
        transfer::check(evidence.verification),
        check(false, "Test under production load (several users, HTTP)".into()),
        check(false, "Monitor for 24 hours".into()),
    ];
    let mut blocks = vec![BlockView::List { items }];
    blocks.extend(evidence.verification.and_then(transfer::table));
    SectionView::of("validation", "Validation", blocks)
}

/// The commands to copy.
pub(super) fn commands(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let (default, best) = (&findings.baseline.setting, &findings.best.setting);
    let code = |setting, tool, label| BlockView::Code(summary::code(plan, setting, tool, label));
    let mut blocks = Vec::new();
    if findings.has_tuned() {
        let (server, cli) = if findings.recommends_tuned() {
            ("llama-server, tuned", "llama-cli, tuned")
        } else {
            ("llama-server, best seen but not proven", "llama-cli, best seen but not proven")
        };
        blocks.push(code(best, Tool::LlamaServer, server));
        blocks.push(code(best, Tool::LlamaCli, cli));
        blocks.push(code(best, Tool::LlamaBench, "llama-bench, to compare by hand"));
    }
    blocks.push(code(default, Tool::LlamaServer, "llama-server, the default written out"));
    SectionView::of("commands", "Ready commands", blocks)
}
