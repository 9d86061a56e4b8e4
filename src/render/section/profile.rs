//! What a profile of the tuned setting shows: bottlenecks, utilization, counters.

use autotune_engine::api::Stretch;

use crate::model::{
    Bottleneck, ComponentTable, FunctionShare, ModelProfile, PhaseProfile, Roofline,
};
use crate::render::format;
use crate::render::profile::{capitalised, counter_row, plain_name};
use crate::render::view::{BlockView, CellView, ItemView, SectionView};

use super::Evidence;

/// Functions that are listed of each stretch.
const FUNCTIONS: usize = 8;

fn missing(id: &'static str, title: &'static str, what: &str) -> SectionView {
    let hint = "no profile was made of the setting that this run recommends; `autotune profile --run` \
                with its folder adds one";
    SectionView::missing(id, title, format!("{what}: {hint}."))
}

/// What bounds prompt and generation, and the parts that the time goes to.
pub(super) fn bottleneck(evidence: Evidence<'_>) -> SectionView {
    let (id, title) = ("bottleneck", "Bottleneck analysis");
    let Some(profile) = evidence.profile else {
        return missing(id, title, "Time by component and the largest consumers");
    };
    let mut blocks = vec![BlockView::text(method(profile))];
    for bottleneck in &profile.bottlenecks {
        blocks.push(BlockView::text(headline(bottleneck)));
        let because = bottleneck.evidence.iter().map(|text| ("because", text));
        let helps = bottleneck.remedies.iter().map(|text| ("helps", text));
        let items = because.chain(helps).map(|(label, text)| ItemView {
            label: Some(label.to_owned()),
            text: text.clone(),
            checked: None,
        });
        blocks.push(BlockView::List { items: items.collect() });
    }
    blocks.extend(profile.components.iter().map(components));
    for stretch in [Stretch::Decode, Stretch::Prefill] {
        blocks.extend(functions(profile, stretch));
    }
    SectionView::of(id, title, blocks)
}

fn method(profile: &ModelProfile) -> String {
    let sampled = profile.sampling.as_ref().map_or_else(String::new, |sampling| {
        format!(
            "; functions by {} samples ({}, {} lost)",
            format::count(sampling.samples),
            sampling.event,
            format::count(sampling.lost)
        )
    });
    format!(
        "Profiling method: {} repetitions of {} prompt and {} generated tokens under the tuned \
         setting, the graph taken to pieces in a context of its own{sampled}.",
        profile.work.repetitions, profile.work.prompt_tokens, profile.work.generate_tokens
    )
}

fn headline(bottleneck: &Bottleneck) -> String {
    let share = if bottleneck.share > 0.0 {
        format!(", {} of a request", format::whole_percent(bottleneck.share))
    } else {
        String::new()
    };
    format!(
        "{}{share}: {}, with a probability of {}.",
        capitalised(bottleneck.stretch),
        bottleneck.bound.words(),
        format::whole_percent(bottleneck.confidence)
    )
}

fn components(table: &ComponentTable) -> BlockView {
    let per_second = |part_ms: f64, tokens: u32| {
        if part_ms > 0.0 {
            format::three(f64::from(tokens) / (part_ms / 1e3))
        } else {
            "–".into()
        }
    };
    let shown = table.parts.iter().filter(|part| part.ms > 0.0);
    let rows = shown.map(|part| {
        vec![
            CellView::plain(part.name.clone()),
            CellView::plain(format::three(part.ms)),
            CellView::plain(format::tenth_percent(part.share)),
            CellView::plain(per_second(part.ms, table.tokens)),
        ]
    });
    let columns =
        [("Component", false), ("ms", true), ("Share", true), ("tok/s if it were alone", true)];
    let caption = format!(
        "{}: {} of {}, taken to pieces {} times, which made it {} longer",
        table.stretch.word(),
        format::seconds(table.pass_ms / 1e3),
        format::plural(table.tokens as usize, "token"),
        table.passes,
        format::tenth_percent(table.disturbance.max(0.0))
    );
    BlockView::table(caption, &columns, rows.collect())
}

fn functions(profile: &ModelProfile, stretch: Stretch) -> Option<BlockView> {
    let own: Vec<&FunctionShare> =
        profile.functions.iter().filter(|one| one.stretch == stretch).take(FUNCTIONS).collect();
    if own.is_empty() {
        return None;
    }
    let rows = own.iter().map(|one| {
        vec![
            CellView::plain(plain_name(&one.function)),
            CellView::plain(one.module.clone()),
            CellView::plain(format::tenth_percent(one.share)),
        ]
    });
    let caption = format!("Functions that ran most in {}", stretch.word());
    let columns = [("Function", false), ("File", false), ("Share", true)];
    Some(BlockView::table(caption, &columns, rows.collect()))
}

/// Rates beside the machine's peaks.
pub(super) fn utilization(evidence: Evidence<'_>) -> SectionView {
    let (id, title) = ("utilization", "Hardware utilization");
    let what = "Use of processor, GPU and memory bandwidth against their measured maximum";
    let Some(profile) = evidence.profile else { return missing(id, title, what) };
    let mut rows = Vec::new();
    for phase in &profile.phases {
        rows.extend(processor(profile, phase));
    }
    for roof in &profile.rooflines {
        rows.extend(of_roof(roof));
    }
    for card in &profile.cards {
        let name = card.title().to_owned();
        rows.extend(card.utilization.map(|share| {
            row(
                format!("{name}: computing"),
                format::whole_percent(share),
                "100 %".to_owned(),
                Some(share),
            )
        }));
        rows.extend(
            card.used_peak_bytes.map(|bytes| {
                row(format!("{name}: memory"), bytes.to_string(), "–".to_owned(), None)
            }),
        );
    }
    let columns =
        [("Resource", false), ("Used", true), ("Measured maximum", true), ("Efficiency", true)];
    let mut blocks = vec![BlockView::table("Used of what the machine has", &columns, rows)];
    blocks.extend(evidence.figures(|name| name == "roofline"));
    SectionView::of(id, title, blocks)
}

fn row(name: String, used: String, most: String, share: Option<f64>) -> Vec<CellView> {
    let share = share.map_or_else(|| "–".to_owned(), format::tenth_percent);
    [name, used, most, share].map(CellView::plain).to_vec()
}

fn processor(profile: &ModelProfile, phase: &PhaseProfile) -> Option<Vec<CellView>> {
    let threads = &profile.setting.threads;
    let most = match phase.stretch {
        Stretch::Load => return None,
        Stretch::Prefill => threads.threads_batch,
        Stretch::Decode => threads.threads,
    };
    Some(row(
        format!("CPU in {}", phase.stretch.word()),
        format!("{} processors", format::three(phase.cores_busy)),
        format::plural(most as usize, "thread"),
        Some(phase.cores_busy / f64::from(most.max(1))),
    ))
}

fn of_roof(roof: &Roofline) -> Vec<Vec<CellView>> {
    let word = roof.stretch.word();
    let giga = |rate: f64, unit: &str| format!("{} {unit}", format::three(rate / 1e9));
    let mut rows = Vec::new();
    if let Some(peak) = roof.bandwidth_peak {
        rows.push(row(
            format!("memory bandwidth in {word}"),
            giga(roof.bytes_per_s.value, "GB/s"),
            giga(peak.value, "GB/s"),
            roof.bandwidth_share,
        ));
    }
    if let (Some(peak), Some(kind)) = (roof.arithmetic_peak, &roof.arithmetic_kind) {
        rows.push(row(
            format!("arithmetic in {word} ({kind})"),
            giga(roof.operations_per_s.value, "Gop/s"),
            giga(peak.value, "Gop/s"),
            roof.arithmetic_share,
        ));
    }
    rows
}

/// Counters, or the sentence why there are none.
pub(super) fn counters(evidence: Evidence<'_>) -> SectionView {
    let (id, title) = ("counters", "Performance counters");
    let Some(profile) = evidence.profile else {
        return missing(id, title, "Instructions per cycle, cache and branch misses");
    };
    let mut blocks = Vec::new();
    for phase in &profile.phases {
        let row = |metric| counter_row(metric).into_iter().map(CellView::plain).collect();
        let rows: Vec<Vec<CellView>> = phase.metrics.iter().map(row).collect();
        if !rows.is_empty() {
            let columns = [("Metric", false), ("Value", true), ("From", false)];
            blocks.push(BlockView::table(phase.stretch.word(), &columns, rows));
        }
    }
    blocks.extend(profile.unseen.iter().map(|why| BlockView::text(super::sentence(why))));
    if blocks.is_empty() {
        return SectionView::missing(id, title, "Nothing was counted on this system.");
    }
    SectionView::of(id, title, blocks)
}
