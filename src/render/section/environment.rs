//! What was measured on what: machine, engine, model file, placement.

use autotune_engine::api::{Setting, Threading};

use crate::render::view::{BlockView, CellView, SectionView};
use crate::render::{format, hardware, quality, summary};

use super::Evidence;
use super::speed::knob_blocks;

/// Machine, engine, model.
pub(super) fn environment(evidence: Evidence<'_>) -> SectionView {
    let machine = hardware::facts(evidence.machine).into_iter();
    let machine = machine.map(|fact| vec![CellView::plain(fact.name), CellView::plain(fact.value)]);
    let columns = [("Fact", false), ("Value", false)];
    let mut blocks = vec![
        BlockView::table("Machine", &columns, machine.collect()),
        BlockView::table("Engine and model", &columns, engine_and_model(evidence)),
    ];
    let unseen = hardware::unseen(evidence.machine);
    if !unseen.is_empty() {
        let words: Vec<_> = unseen.iter().map(|(fact, why)| format!("{fact} ({why})")).collect();
        blocks.push(BlockView::text(format!("Not seen: {}.", words.join("; "))));
    }
    SectionView::of("environment", "Test environment", blocks)
}

fn engine_and_model(evidence: Evidence<'_>) -> Vec<Vec<CellView>> {
    let engine = &evidence.plan.engine;
    let model = &evidence.plan.model;
    let pool = match engine.threading {
        Threading::Ggml => "ggml's own",
        Threading::OpenMp => "OpenMP",
    };
    let types: Vec<_> = model
        .types
        .iter()
        .map(|share| format!("{} {} ({} tensors)", share.name, share.bytes, share.tensors))
        .collect();
    let experts = match model.experts {
        0 => String::new(),
        all => format!(", {} of {all} experts per token", model.experts_used),
    };
    let rows = [
        ("Engine", format!("{} {}, ggml {}", engine.name, engine.version, engine.ggml_version)),
        ("Binding", engine.binding_version.clone()),
        ("Thread pool", pool.to_owned()),
        ("Model file", model.path.display().to_string()),
        ("Name", summary::model_name(model)),
        (
            "Shape",
            format!(
                "{}, {} layers, width {}, {} heads over {} KV heads{experts}",
                model.architecture, model.layers, model.embedding, model.heads, model.kv_heads
            ),
        ),
        ("Parameters", format::parameters(model.parameters)),
        ("Weights by type", types.join(", ")),
        ("Weights read per token", model.bytes_per_token.to_string()),
        ("Digest", model.digest.clone()),
    ];
    rows.map(|(name, value)| vec![CellView::plain(name), CellView::plain(value)]).to_vec()
}

/// Knobs that say where threads and memory are.
const PLACES: [&str; 3] = ["placement", "strict", "numa"];

/// CPU masks and NUMA strategy.
pub(super) fn affinity(evidence: Evidence<'_>) -> SectionView {
    let describe = |setting: &Setting| {
        let mask = setting.threads.cpu_mask.as_ref();
        let mask = mask.map_or("none".to_owned(), |mask| format!("{mask}"));
        format!("CPU mask {mask}, NUMA strategy {}", setting.process.numa)
    };
    let (default, best) = (&evidence.findings.baseline.setting, &evidence.findings.best.setting);
    let used = if describe(default) == describe(best) {
        format!("Default and best ran with {}", describe(default))
    } else {
        format!("Default: {}; best: {}", describe(default), describe(best))
    };
    let turned = evidence.plan.axes.iter().any(|axis| PLACES.contains(&axis.knob.as_str()));
    let others = if turned {
        "The search looked at other placements too: the table of trials has them"
    } else {
        "Other placements were not turned: `--knobs all` or `--knobs placement,strict` does"
    };
    let mut blocks = knob_blocks(evidence, &PLACES);
    if blocks.is_empty() {
        return SectionView::missing("affinity", "Affinity and NUMA", format!("{used}. {others}."));
    }
    blocks.push(BlockView::text(format!("{used}. {others}.")));
    SectionView::of("affinity", "Affinity and NUMA", blocks)
}

/// The study that the run belongs to, or how to get one: other quantizations need other files.
pub(super) fn quantization(evidence: Evidence<'_>) -> SectionView {
    if let Some(study) = evidence.quantization {
        return quality::section(study, evidence.figures(|name| name.starts_with("quantization-")));
    }
    let model = &evidence.plan.model;
    let main = model.types.first().map_or("unknown", |share| share.name.as_str());
    SectionView::missing(
        quality::SECTION,
        quality::TITLE,
        format!(
            "This run measured one file, mostly {main}: \
             `autotune sweep --model F16.gguf --quant auto` measures speed and quality of others."
        ),
    )
}
