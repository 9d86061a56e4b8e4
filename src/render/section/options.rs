//! What else could be chosen, by rules from what was measured or counted.

use autotune_engine::api::{Bytes, GpuLayers, KvType};

use crate::model::Surface;
use crate::render::view::{BlockView, CellView, SectionView, Tone};
use crate::render::{format, hardware, summary, trial};

use super::Evidence;

/// Bits per weight of `Q4_K`: blocks of 144 bytes for 256 weights (ggml's `block_q4_K`).
const Q4_K_BITS: f64 = 4.5;
/// Weights this much larger make a smaller quantization worth telling.
const LARGER: f64 = 1.2;
/// Share of the read bandwidth from which on generation follows the bytes it reads.
const BOUND: f64 = 0.5;
/// Share of the memory from which on the KV cache is worth making smaller.
const LARGE_CACHE: f64 = 0.1;

/// What can be chosen with its gain, effort and trade-off; what was seen, tied, left out, failed.
pub(super) fn options(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let mut blocks = Vec::new();
    let choices = choices(evidence);
    if !choices.is_empty() {
        let columns =
            [("Option", false), ("Expected gain", true), ("Effort", false), ("Trade-off", false)];
        blocks.push(BlockView::table("What can be chosen", &columns, choices));
    }
    blocks.extend(evidence.figures(|name| name == "speed-memory-front"));
    blocks.extend(evidence.figures(|name| name == "strongest-knobs"));
    if let Some(surface) = &findings.surface {
        blocks.push(BlockView::text(strongest(surface)));
    }
    if !findings.tied_with.is_empty() {
        let rows = findings.tied_with.iter().map(|setting| {
            vec![
                CellView::plain(trial::difference(&plan.baseline, setting)),
                CellView::plain("~"),
                CellView::plain("none known: as good within what was measured"),
            ]
        });
        blocks.push(BlockView::table(
            "Finalists that could not be told apart from the best",
            &[
                ("Setting, against the default", false),
                ("Gain over the best", true),
                ("Trade-off", false),
            ],
            rows.collect(),
        ));
    }
    if !plan.rejected.is_empty() {
        let rows = plan.rejected.iter().map(|rejected| {
            let level = rejected.level.as_ref().map_or("all".to_owned(), ToString::to_string);
            vec![
                CellView::plain(&rejected.knob),
                CellView::plain(level),
                CellView::plain(&rejected.reason),
            ]
        });
        blocks.push(BlockView::table(
            "Left out of the search",
            &[("Knob", false), ("Level", false), ("Why", false)],
            rows.collect(),
        ));
    }
    if !findings.failures.is_empty() {
        let rows = findings.failures.iter().map(|failed| {
            let setting = trial::difference(&plan.baseline, &failed.setting);
            vec![
                CellView::plain(setting).citing(&failed.evidence),
                CellView::plain(&failed.kind),
                CellView::plain(&failed.reason),
            ]
        });
        blocks.push(BlockView::table(
            "Settings that did not run",
            &[("Setting", false), ("Outcome", false), ("Why", false)],
            rows.collect(),
        ));
    }
    if blocks.is_empty() {
        return SectionView::missing(
            "options",
            "Other options",
            "Nothing else is known: no other setting ran, tied with the best, was left out or failed.",
        );
    }
    SectionView::of("options", "Other options", blocks)
}

/// One row for each choice whose rule holds.
fn choices(evidence: Evidence<'_>) -> Vec<Vec<CellView>> {
    let rules = [tuned, smaller_weights, smaller_cache, graphics_card];
    rules.into_iter().filter_map(|rule| rule(evidence)).collect()
}

fn choice(option: String, gain: CellView, effort: &str, price: String) -> Vec<CellView> {
    vec![CellView::plain(option), gain, CellView::plain(effort), CellView::plain(price)]
}

/// Whether the sweep turned a knob: then its levels have numbers of their own.
fn turned(evidence: Evidence<'_>, knob: &str) -> bool {
    evidence.plan.axes.iter().any(|axis| axis.knob == knob)
}

fn tuned(evidence: Evidence<'_>) -> Option<Vec<CellView>> {
    let findings = evidence.findings;
    if !findings.recommends_tuned() {
        return None;
    }
    let metric = summary::metrics(evidence.plan, findings).into_iter().next()?;
    let option = "the tuned setting".to_owned();
    Some(choice(option, metric.change, "low: flags of a command", summary::costs(findings)))
}

/// Generation reads every weight: where that bounds it, fewer bits are more tokens.
fn smaller_weights(evidence: Evidence<'_>) -> Option<Vec<CellView>> {
    let model = &evidence.plan.model;
    let bits = model.file_bytes.0 as f64 * 8.0 / model.parameters.max(1) as f64;
    let ratio = bits / Q4_K_BITS;
    if model.parameters == 0 || ratio < LARGER {
        return None;
    }
    let gain = match evidence.findings.claims.ceiling.as_ref().map(|it| it.share) {
        Some(share) if share >= BOUND => CellView {
            detail: "from bytes per token, not measured".into(),
            ..CellView::plain(format!("up to {} in generation", format::ratio(ratio)))
        },
        Some(share) => CellView::plain(format!(
            "not known: generation uses {} of the read bandwidth only",
            format::whole_percent(share)
        )),
        None => CellView::plain("not known: no roof of this machine was measured"),
    };
    Some(choice(
        format!(
            "the model in Q4_K ({Q4_K_BITS} bits per weight; the file has {})",
            format::three(bits)
        ),
        gain,
        "medium: another file and its check",
        "answers change; their distance from this file's has to be measured".to_owned(),
    ))
}

/// Keys and values of 16 bits, where they take much of the memory.
fn smaller_cache(evidence: Evidence<'_>) -> Option<Vec<CellView>> {
    let plan = evidence.plan;
    let context = plan.baseline.context.context;
    let it = plan.context_memory.iter().find(|it| it.context == context)?;
    let whole = it.memory.with(&it.devices);
    let share = whole.kv_bytes.0 as f64 / whole.total().0.max(1) as f64;
    let wide =
        plan.baseline.context.type_k == KvType::F16 && plan.baseline.context.type_v == KvType::F16;
    if !wide || share < LARGE_CACHE || turned(evidence, "type_k") || turned(evidence, "type_v") {
        return None;
    }
    // Blocks of 34 bytes for 32 values (ggml's `block_q8_0`) instead of 64.
    let saved = Bytes(whole.kv_bytes.0 / 64 * (64 - 34));
    let gain =
        format!("{saved} less memory at {} tokens of context", format::count(context.into()));
    Some(choice(
        "a KV cache in Q8_0".to_owned(),
        CellView { detail: "speed not measured".into(), ..CellView::plain(gain) },
        "low: `--knobs type_k,type_v` sweeps it",
        "answers change a little; their distance has to be measured".to_owned(),
    ))
}

fn graphics_card(evidence: Evidence<'_>) -> Option<Vec<CellView>> {
    let cards = hardware::gpus(evidence.machine)?;
    let unused =
        |setting: &autotune_engine::api::Setting| setting.load.gpu_layers == GpuLayers::Count(0);
    let findings = evidence.findings;
    let used = !unused(&findings.baseline.setting) || !unused(&findings.best.setting);
    if used || turned(evidence, "gpu_layers") {
        return None;
    }
    Some(choice(
        format!("layers on {cards}"),
        CellView { tone: Some(Tone::Open), ..CellView::plain("not measured") },
        "medium: a build of autotune and llama.cpp that drives it",
        "power; memory of the card".to_owned(),
    ))
}

/// What the two strongest knobs explain, in words.
fn strongest(surface: &Surface) -> String {
    let (a, b) = (&surface.first, &surface.second);
    format!(
        "Of what differs between the settings that ran, `{}` explains {} and `{}` {}. A cell is the \
         fastest look with its two levels, whatever the other knobs were: it steers, and looks \
         better than it is.",
        a.knob,
        format::whole_percent(a.explains),
        b.knob,
        format::whole_percent(b.explains)
    )
}
