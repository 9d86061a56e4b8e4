//! Where the time of a model goes.

use autotune_engine::api::{GpuLayers, Stretch};

use super::sheet::{Sheet, Side};
use super::{capitalised, counters};
use crate::model::{
    Bottleneck, ComponentTable, FunctionShare, Metric, ModelProfile, PhaseProfile, Profile,
    Roofline,
};
use crate::render::format;

/// Functions that are shown of each stretch.
const FUNCTIONS: usize = 10;
/// Least share of a function that is shown.
const LEAST_SHARE: f64 = 0.005;

pub(super) fn sheet(profile: &Profile, model: &ModelProfile) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.heading(&format!(
        "{}, {} of weights{}",
        model.description,
        model.weight_bytes,
        if model.synthetic { " (random)" } else { "" }
    ));
    sheet.row("machine", profile.machine.as_deref().unwrap_or("unknown"));
    sheet.row("setting", &setting(model));
    sheet.row("work", &work(model));
    latency(&mut sheet, model);
    for bottleneck in &model.bottlenecks {
        verdict(&mut sheet, bottleneck);
    }
    roofline(&mut sheet, &model.rooflines);
    for table in &model.components {
        components(&mut sheet, table);
    }
    functions(&mut sheet, model);
    phases(&mut sheet, &model.phases);
    if !model.unseen.is_empty() {
        sheet.heading("Not seen");
        for why in &model.unseen {
            sheet.row("", why);
        }
    }
    sheet
}

fn setting(model: &ModelProfile) -> String {
    let setting = &model.setting;
    let layers = match setting.load.gpu_layers {
        GpuLayers::All => ", all layers on devices".to_owned(),
        GpuLayers::Count(0) => String::new(),
        GpuLayers::Count(count) => format!(", {count} layers on devices"),
    };
    let variant = setting.process.isa_variant.as_ref();
    format!(
        "{} threads ({} for prompts), batch {}, ubatch {}, context {}, flash attention {}, KV {}/{}{}{layers}",
        setting.threads.threads,
        setting.threads.threads_batch,
        setting.context.batch,
        setting.context.ubatch,
        setting.context.context,
        setting.context.flash_attention,
        setting.context.type_k,
        setting.context.type_v,
        variant.map_or_else(String::new, |name| format!(", CPU variant {name}")),
    )
}

fn work(model: &ModelProfile) -> String {
    let work = &model.work;
    let depth =
        if work.depth > 0 { format!(" behind {} tokens", work.depth) } else { String::new() };
    let many = match work.sequences() {
        1 => String::new(),
        many => format!(" of {many} sequences at once"),
    };
    format!(
        "{} prompt tokens, {} generated{many}{depth}, {} repetitions",
        work.prompt_tokens, work.generate_tokens, work.repetitions
    )
}

fn latency(sheet: &mut Sheet, model: &ModelProfile) {
    let latency = &model.latency;
    let mut said = Vec::new();
    said.extend(latency.load_s.map(|time| format!("load {}", format::seconds(time))));
    said.extend(latency.ttft_s.map(|time| {
        let figure = format::duration(&time);
        format!("first token {} {}", figure.text, figure.detail)
    }));
    if let Some(p50) = latency.token_p50_s {
        let too_few = || "not estimable".to_owned();
        let show = |time: Option<f64>| time.map_or_else(too_few, format::seconds);
        said.push(format!(
            "token p50 {}, p90 {}, p99 {}, longest {}",
            format::seconds(p50),
            show(latency.token_p90_s),
            show(latency.token_p99_s),
            show(latency.token_max_s)
        ));
    }
    if !said.is_empty() {
        sheet.row("latency", &said.join("; "));
    }
    if let Some(worst) = latency.stalls.first() {
        sheet.row(
            "stalls",
            &format!(
                "{} took more than three times the median, the longest {} ({}×)",
                format::plural(latency.stalls.len(), "token"),
                format::seconds(worst.took_s),
                format::three(worst.times_median)
            ),
        );
    }
}

fn verdict(sheet: &mut Sheet, bottleneck: &Bottleneck) {
    let share = if bottleneck.share > 0.0 {
        format!(", {} of a request", format::whole_percent(bottleneck.share))
    } else {
        String::new()
    };
    sheet.heading(&format!(
        "{} is {} ({} sure){share}",
        capitalised(bottleneck.stretch),
        bottleneck.bound.words(),
        format::whole_percent(bottleneck.confidence)
    ));
    for (at, text) in bottleneck.evidence.iter().enumerate() {
        sheet.row(if at == 0 { "because" } else { "" }, text);
    }
    for (at, text) in bottleneck.remedies.iter().enumerate() {
        sheet.row(if at == 0 { "helps" } else { "" }, text);
    }
}

fn roofline(sheet: &mut Sheet, rooflines: &[Roofline]) {
    if rooflines.is_empty() {
        return;
    }
    sheet.heading("Roofline");
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), format::tenth_percent);
    let rows = rooflines.iter().map(|roof| {
        vec![
            roof.stretch.word().to_owned(),
            format::three(roof.bytes_per_token / 1e6),
            format::three(roof.operations_per_token / 1e9),
            format::three(roof.intensity),
            format::three(roof.bytes_per_s.value / 1e9),
            share(roof.bandwidth_share),
            format::three(roof.operations_per_s.value / 1e9),
            share(roof.arithmetic_share),
        ]
    });
    let right = Side::Right;
    let head = [
        ("", Side::Left),
        ("MB/token", right),
        ("Gop/token", right),
        ("op/byte", right),
        ("GB/s", right),
        ("MBU", right),
        ("Gop/s", right),
        ("MFU", right),
    ];
    sheet.table(&head, rows.collect());
}

fn components(sheet: &mut Sheet, table: &ComponentTable) {
    let of = match table.stretch {
        Stretch::Decode if table.tokens == 1 => "one token".to_owned(),
        Stretch::Decode => format!("one token of {} sequences", table.tokens),
        _ => format!("{} tokens", table.tokens),
    };
    sheet.heading(&format!(
        "Where {} goes: {of}, {}",
        table.stretch.word(),
        format::seconds(table.pass_ms / 1e3)
    ));
    let per_second = |count: u64, ms: f64| match count {
        0 => "–".to_owned(),
        count => format::three(count as f64 / (ms / 1e3) / 1e9),
    };
    let shown = table.parts.iter().filter(|part| part.ms > 0.0);
    let rows = shown.map(|part| {
        vec![
            part.name.clone(),
            format::three(part.ms),
            format::tenth_percent(part.share),
            per_second(part.bytes, part.ms),
            per_second(part.arithmetic, part.ms),
        ]
    });
    let right = Side::Right;
    let head =
        [("part", Side::Left), ("ms", right), ("share", right), ("GB/s", right), ("Gop/s", right)];
    sheet.table(&head, rows.collect());
    sheet.row(
        "",
        &format!(
            "looking made {} {} and was taken off each piece; {}",
            format::plural(table.passes as usize, "pass"),
            longer(table.disturbance),
            "times are scaled to passes that nobody looked at"
        )
        .replace("passs", "passes"),
    );
    let rows = table.detail.iter().map(|row| {
        vec![
            row.layer.map_or_else(|| "–".to_owned(), |layer| layer.to_string()),
            row.part.words().to_owned(),
            row.operation.clone(),
            format::three(row.ms),
        ]
    });
    let head = [("layer", right), ("part", Side::Left), ("operation", Side::Left), ("ms", right)];
    sheet.table(&head, rows.collect());
}

fn longer(disturbance: f64) -> String {
    if disturbance > 0.0 {
        format!("{} longer", format::tenth_percent(disturbance))
    } else {
        "no longer".to_owned()
    }
}

fn functions(sheet: &mut Sheet, model: &ModelProfile) {
    let Some(sampling) = &model.sampling else { return };
    hot(sheet, "Hot functions in", &model.functions);
    hot(sheet, "Loads that missed the last cache in", &model.cache_misses);
    let cost = sampling.overhead.map_or_else(
        || "what that cost is not known from so few repetitions".to_owned(),
        |overhead| {
            let ends = overhead.low.zip(overhead.high);
            let ends = ends.map_or_else(String::new, |(low, high)| {
                format!(" [{}, {}]", format::ratio(low), format::ratio(high))
            });
            format!("processor time changed by {}{ends}", format::ratio(overhead.value))
        },
    );
    sheet.row(
        "",
        &format!(
            "{} samples by {}, {} a second and thread asked for, {} lost; {cost}",
            format::count(sampling.samples),
            sampling.event,
            sampling.hz,
            format::count(sampling.lost)
        ),
    );
}

fn hot(sheet: &mut Sheet, title: &str, functions: &[FunctionShare]) {
    for stretch in [Stretch::Decode, Stretch::Prefill] {
        let own = |one: &&FunctionShare| one.stretch == stretch && one.share >= LEAST_SHARE;
        let shown: Vec<&FunctionShare> = functions.iter().filter(own).take(FUNCTIONS).collect();
        if shown.is_empty() {
            continue;
        }
        sheet.heading(&format!("{title} {}", stretch.word()));
        let row = |one: &&FunctionShare| {
            vec![format::tenth_percent(one.share), plain(&one.function), one.module.clone()]
        };
        let head = [("share", Side::Right), ("function", Side::Left), ("file", Side::Left)];
        sheet.table(&head, shown.iter().map(row).collect());
    }
}

/// A function's name without what C++ writes around it: the type that comes back, the arguments,
/// namespaces without a name.
pub(super) fn plain(name: &str) -> String {
    let name = name.replace("(anonymous namespace)::", "");
    let name = name.strip_prefix("void ").unwrap_or(&name);
    let mut depth = 0_u32;
    let end = name.char_indices().find(|(at, letter)| {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *letter == '(' && depth == 0 && *at > 0
    });
    name[..end.map_or(name.len(), |(at, _)| at)].to_owned()
}

fn phases(sheet: &mut Sheet, phases: &[PhaseProfile]) {
    sheet.heading("Counters");
    let none = || "–".to_owned();
    let number = |value: Option<u64>| value.map_or_else(none, format::count);
    let rows = phases.iter().map(|phase| {
        vec![
            phase.stretch.word().to_owned(),
            format::seconds(phase.elapsed_s.value),
            phase.tok_per_s.map_or_else(none, |rate| format::three(rate.value)),
            format::three(phase.cores_busy),
            number(phase.kernel.minor_faults),
            number(phase.kernel.major_faults),
            number(phase.kernel.voluntary_switches),
            number(phase.kernel.involuntary_switches),
        ]
    });
    let right = Side::Right;
    let head = [
        ("", Side::Left),
        ("time", right),
        ("tok/s", right),
        ("cores", right),
        ("faults", right),
        ("from disk", right),
        ("waits", right),
        ("preempted", right),
    ];
    sheet.table(&head, rows.collect());
    let joules: Vec<String> = phases
        .iter()
        .filter_map(|phase| Some((phase, phase.joules_per_token?)))
        .map(|(phase, joules)| {
            format!("{} {} J per token", phase.stretch.word(), format::three(joules))
        })
        .collect();
    if !joules.is_empty() {
        sheet.row("energy", &joules.join(", "));
    }
    for phase in phases {
        let own: Vec<Metric> =
            phase.metrics.iter().filter(|metric| !counters::by_kernel(metric)).cloned().collect();
        if !own.is_empty() {
            sheet.heading(&format!("Events in {}", phase.stretch.word()));
            counters::metrics(sheet, &own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_without_its_arguments() {
        for (name, wanted) in [
            ("ggml_vec_dot_q4_K_q8_K", "ggml_vec_dot_q4_K_q8_K"),
            ("void gemm<4, (type)8>(float*, long)", "gemm<4, (type)8>"),
            ("void (anonymous namespace)::tiles<1, 2>::run(int)", "tiles<1, 2>::run"),
            ("(anonymous)", "(anonymous)"),
        ] {
            assert_eq!(plain(name), wanted);
        }
    }
}
