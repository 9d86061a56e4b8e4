//! The machine document for people: one screen of text, or Markdown tables.
//!
//! Both place the same groups of rows; JSON is the document itself. Text from outside (processor
//! strings, cards, paths) loses its control characters.

mod peaks;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use autotune_engine::api::{Bytes, VariantVerdict};

use crate::model::{Cache, CacheKind, Gpu, KindName, Machine, Provenance, SizeClass};

/// Columns of a plain terminal.
const WIDTH: usize = 80;
/// Columns of the labels.
const LABEL: usize = 14;
/// Graphics cards and memory nodes of one kind are listed up to here, then counted.
const MOST_ROWS: usize = 8;

/// A headline and its rows.
struct Group {
    title: &'static str,
    rows: Vec<(String, String)>,
}

impl Group {
    fn new(title: &'static str, rows: Vec<(&str, Option<String>)>) -> Self {
        let known = rows.into_iter().filter_map(|(label, text)| Some((label.to_owned(), text?)));
        Self { title, rows: known.map(|(label, text)| (label, clean(&text))).collect() }
    }
}

/// One screen of plain text, 80 columns wide.
#[must_use]
pub fn text(machine: &Machine) -> String {
    let mut out = String::new();
    for group in groups(machine).into_iter().filter(|group| !group.rows.is_empty()) {
        out.push_str(group.title);
        out.push('\n');
        for (label, text) in &group.rows {
            // A label that is too long for its column takes the line, and the text follows it.
            let (mut label, text) = if label.chars().count() < LABEL {
                (format!("{label:<LABEL$}"), text.clone())
            } else {
                (String::new(), format!("{label}: {text}"))
            };
            for line in wrap(&text, WIDTH - 2 - label.chars().count()) {
                out.push_str(format!("  {label}{line}").trim_end());
                out.push('\n');
                label = " ".repeat(label.len());
            }
        }
    }
    out
}

/// Markdown, one table per group.
#[must_use]
pub fn markdown(machine: &Machine) -> String {
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            if "\\|`*_<>[]&".contains(c) {
                out.push('\\');
            }
            out.push(c);
            out
        })
    };
    let mut out = String::new();
    for group in groups(machine).into_iter().filter(|group| !group.rows.is_empty()) {
        let _ = write!(out, "## {}\n\n| fact | value |\n|---|---|\n", group.title);
        for (label, text) in &group.rows {
            let _ = writeln!(out, "| {} | {} |", escape(label), escape(text));
        }
        out.push('\n');
    }
    out
}

fn groups(machine: &Machine) -> Vec<Group> {
    vec![
        system(machine),
        processor(machine),
        memory(machine),
        peaks::group(machine),
        limits(machine),
        cards(machine),
        engine(machine),
        suits(machine),
        unseen(machine),
    ]
}

fn system(machine: &Machine) -> Group {
    let os = &machine.os;
    let join = |parts: [&Option<String>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let inside = match (&os.hypervisor, &os.container) {
        (None, None) => None,
        (Some(vm), None) => Some(format!("virtual machine ({vm})")),
        (None, Some(container)) => Some(format!("container ({container})")),
        (Some(vm), Some(container)) => Some(format!("container ({container}) on {vm}")),
    };
    let source = match machine.provenance {
        Provenance::Live => None,
        Provenance::Captured => Some("captured: not the machine this ran on".to_owned()),
        Provenance::Simulated => Some("simulated: no real machine".to_owned()),
    };
    Group::new(
        "System",
        vec![
            ("source", source),
            ("system", join([&os.name, &os.version])),
            ("kernel", join([&os.kernel, &os.architecture])),
            ("runs in", inside),
        ],
    )
}

fn processor(machine: &Machine) -> Group {
    let cpu = &machine.cpu;
    let name = cpu.model.clone().map(|model| match &cpu.microarchitecture {
        Some(name) => format!("{model} ({name})"),
        None => model,
    });
    let counted = |count: Option<u32>, one: &str, many: &str| {
        count.map(|count| format!("{count} {}", if count == 1 { one } else { many }))
    };
    let mut counts: Vec<String> = [
        counted(cpu.packages, "socket", "sockets"),
        counted(cpu.cores, "core", "cores"),
        counted(cpu.threads_online, "thread", "threads"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let (Some(all), Some(online)) = (cpu.threads, cpu.threads_online)
        && all > online
    {
        counts.push(format!("{} offline", all - online));
    }
    counts.extend(cpu.smt.filter(|smt| *smt > 1).map(|smt| format!("SMT {smt}")));
    let clocks: Vec<String> = [
        cpu.base_hz.map(|hz| format!("base {}", gigahertz(hz))),
        cpu.max_hz.map(|hz| format!("up to {}", gigahertz(hz))),
        cpu.governor.as_ref().map(|governor| format!("governor {governor}")),
        cpu.turbo.map(|turbo| format!("turbo {turbo:?}").to_lowercase()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let isa: Vec<&str> = cpu.isa_level.iter().chain(&cpu.isa).map(String::as_str).collect();
    let caches: Vec<String> =
        cpu.caches.iter().filter(|cache| cache.kind != CacheKind::Instruction).map(cache).collect();
    let mut rows = vec![("model", name), ("count", listed(&counts, ", "))];
    let kinds: Vec<String> = cpu
        .kinds
        .iter()
        .filter(|kind| kind.name != KindName::Uniform)
        .map(|kind| {
            let name = match kind.name {
                KindName::Performance => "performance",
                KindName::Efficiency => "efficiency",
                KindName::LowPower => "low-power",
                KindName::Uniform => "uniform",
            };
            let clock = kind.max_hz.map(|hz| format!(", up to {}", gigahertz(hz)));
            let clock = clock.unwrap_or_default();
            format!("{} {name} (CPUs {}{clock})", kind.cores, kind.cpus)
        })
        .collect();
    rows.push(("kinds", listed(&kinds, "; ")));
    rows.push(("announces", (!isa.is_empty()).then(|| isa.join(" "))));
    let unusable = cpu.isa_unusable.iter().flatten();
    let unusable: Vec<String> =
        unusable.map(|isa| format!("{} ({})", isa.name, isa.reason)).collect();
    rows.push(("not usable", listed(&unusable, ", ")));
    rows.push(("caches", listed(&caches, "; ")));
    rows.push(("clocks", listed(&clocks, ", ")));
    Group::new("Processor", rows)
}

fn cache(cache: &Cache) -> String {
    let letter = if cache.kind == CacheKind::Data { "d" } else { "" };
    let times =
        if cache.instances > 1 { format!("{} × ", cache.instances) } else { String::new() };
    let shared = match cache.shared_by_threads {
        ..=1 => String::new(),
        threads => format!(" per {threads} threads"),
    };
    format!("L{}{letter} {times}{}{shared}", cache.level, cache.size_bytes)
}

fn memory(machine: &Machine) -> Group {
    let memory = &machine.memory;
    let size = memory.total_bytes.map(|total| {
        let free = memory.available_bytes.map(|free| format!(", {free} available"));
        format!("{total}{}", free.unwrap_or_default())
    });
    let modules: Vec<String> = [
        memory.kind.clone(),
        memory.speed_mt_per_s.map(|speed| format!("{speed} MT/s")),
        memory.channels.map(|channels| format!("{channels} channels")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let swap = memory.swap_total_bytes.map(|swap| match swap {
        Bytes(0) => "none".to_owned(),
        swap => swap.to_string(),
    });
    let pools = memory.huge_pages.iter().filter(|pool| pool.total > 0);
    let pools: Vec<String> = pools
        .map(|pool| format!("{} of {} free of {}", pool.free, pool.total, pool.size_bytes))
        .collect();
    let transparent =
        memory.transparent_huge_pages.as_ref().map(|mode| format!("transparent {mode}"));
    let pages: Vec<String> = transparent.into_iter().chain(pools).collect();
    let mut group = Group::new(
        "Memory",
        vec![
            ("size", size),
            ("modules", listed(&modules, ", ")),
            ("swap", swap),
            ("huge pages", listed(&pages, ", ")),
        ],
    );
    let nodes = &machine.numa.nodes;
    if nodes.len() > 1 {
        for node in nodes.iter().take(MOST_ROWS) {
            let size = node.memory_bytes.map_or("no memory".to_owned(), |size| size.to_string());
            let cpus = if node.cpus.is_empty() {
                "no CPUs".to_owned()
            } else {
                format!("CPUs {}", node.cpus)
            };
            let free = node.free_bytes.map(|free| format!(", {free} free")).unwrap_or_default();
            group.rows.push((format!("node {}", node.id), format!("{size}{free}, {cpus}")));
        }
        if let Some(more) = nodes.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
            group.rows.push((String::new(), format!("and {more} more nodes")));
        }
    }
    group
}

fn limits(machine: &Machine) -> Group {
    let limits = &machine.limits;
    let quota = limits.cpu_quota_cores.map(|quota| {
        let version = limits.cgroup_version.map(|version| format!(" (cgroup v{version})"));
        format!("{quota} CPUs of time{}", version.unwrap_or_default())
    });
    let known = !machine.unseen.contains_key("limits.locked_memory_bytes");
    let locked = || limits.locked_memory_bytes.map_or("no limit".to_owned(), |b| b.to_string());
    let kind = machine.storage.kind.map(|kind| format!("{kind:?}").to_lowercase());
    let models = machine
        .storage
        .model_cache_path_device
        .as_ref()
        .map(|device| kind.map_or(device.clone(), |kind| format!("{device} ({kind})")));
    Group::new(
        "Limits",
        vec![
            ("usable", limits.usable_threads.map(|threads| format!("{threads} threads at once"))),
            ("quota", quota),
            ("CPU set", limits.cpuset.as_ref().map(ToString::to_string)),
            ("memory", limits.memory_limit_bytes.map(|limit| limit.to_string())),
            ("locked memory", known.then(locked)),
            ("models on", models),
        ],
    )
}

fn cards(machine: &Machine) -> Group {
    let gpus = &machine.gpus;
    let mut group = Group { title: "Graphics", rows: Vec::new() };
    for (index, gpu) in gpus.iter().take(MOST_ROWS).enumerate() {
        group.rows.push((format!("card {index}"), clean(&card(gpu))));
    }
    if let Some(more) = gpus.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        group.rows.push((String::new(), format!("and {more} more")));
    }
    if gpus.is_empty() && !machine.unseen.contains_key("gpus") {
        group.rows.push(("cards".to_owned(), "none".to_owned()));
    }
    group
}

fn card(gpu: &Gpu) -> String {
    let mut parts = vec![gpu.name.clone().unwrap_or_else(|| gpu.vendor.clone())];
    if gpu.integrated == Some(true) {
        parts.push("integrated".to_owned());
    }
    parts.extend(gpu.memory_bytes.map(|total| match gpu.free_bytes {
        Some(free) => format!("{total} ({free} free)"),
        None => total.to_string(),
    }));
    parts.extend(gpu.compute_capability.as_ref().map(|found| format!("compute {found}")));
    parts.extend(gpu.driver.as_ref().map(|driver| format!("driver {driver}")));
    if let Some(link) = &gpu.pcie
        && let (Some(generation), Some(width)) = (link.generation, link.width)
    {
        parts.push(format!("PCIe {generation} ×{width}"));
    }
    parts.extend(gpu.power_limit_watts.map(|watts| format!("{watts:.0} W")));
    parts.join(", ")
}

fn engine(machine: &Machine) -> Group {
    let mut group = Group { title: "Engine", rows: Vec::new() };
    let Some(report) = &machine.engine else { return group };
    let identity = &report.identity;
    let name = format!("{} {}, ggml {}", identity.name, identity.version, identity.ggml_version);
    group.rows.push(("version".to_owned(), clean(&name)));
    let named = |wanted: fn(&VariantVerdict) -> bool| {
        let names = report.variants.iter().filter(|variant| wanted(&variant.verdict));
        names.map(|variant| clean(&variant.name)).collect::<Vec<_>>().join(" ")
    };
    let usable = named(|verdict| *verdict == VariantVerdict::Usable);
    group.rows.push(("usable".to_owned(), if usable.is_empty() { "none".into() } else { usable }));
    for variant in &report.variants {
        if let VariantVerdict::Failed { reason, .. } = &variant.verdict {
            group.rows.push(("fails".to_owned(), clean(&format!("{}: {reason}", variant.name))));
        }
    }
    let unsupported = named(|verdict| *verdict == VariantVerdict::Unsupported);
    if !unsupported.is_empty() {
        group.rows.push(("unsupported".to_owned(), unsupported));
    }
    group
}

fn suits(machine: &Machine) -> Group {
    let recommendation = &machine.recommendation;
    let class = recommendation.class.map(|class| match class {
        SizeClass::Small => "small models (below 3 B parameters)",
        SizeClass::Medium => "medium models (3 to 13 B parameters)",
        SizeClass::Large => "large models (above 13 B parameters)",
    });
    let size = recommendation
        .largest_q4_parameters
        .map(|parameters| format!("about {:.1} B parameters in Q4_K_M", parameters as f64 / 1e9));
    let offload = recommendation.offload.map(|offload| format!("{offload:?}").to_lowercase());
    Group::new(
        "Suits",
        vec![
            ("class", class.map(str::to_owned)),
            ("largest", size),
            ("offload", offload),
            ("advice", recommendation.advice.clone()),
        ],
    )
}

/// Facts with the same reason share a row.
fn unseen(machine: &Machine) -> Group {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, why) in &machine.unseen {
        reasons.entry(why).or_default().push(path);
    }
    let mut rows: Vec<(String, String)> =
        reasons.into_iter().map(|(why, paths)| (clean(&paths.join(", ")), clean(why))).collect();
    rows.sort();
    Group { title: "Not seen", rows }
}

fn gigahertz(hz: u64) -> String {
    format!("{:.2} GHz", hz as f64 / 1e9)
}

fn listed(parts: &[String], between: &str) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(between))
}

/// Control characters would let a device's name steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Lines of at most `width` characters, broken at spaces; a longer word is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let line = lines.last_mut().expect("it starts with one");
        let used = line.chars().count();
        if used > 0 && used + 1 + word.len() <= width {
            line.push(' ');
            line.extend(word);
            continue;
        }
        if used > 0 {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.last_mut().expect("it starts with one").extend(word);
            lines.push(String::new());
            word = rest;
        }
        lines.last_mut().expect("it starts with one").extend(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hostile_name_steers_neither_terminal_nor_table() {
        let mut machine = Machine::default();
        machine.cpu.model = Some("x\u{1b}[2J\n|evil| <b>".to_owned());
        machine.gpus = vec![Gpu { name: Some("\u{7}card".to_owned()), ..Gpu::default() }];
        machine.unseen.insert("os.name".to_owned(), "\u{1b}]0;title".to_owned());
        let text = text(&machine);
        assert!(text.contains("x\u{fffd}[2J\u{fffd}|evil| <b>"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        assert!(markdown(&machine).contains("\\|evil\\| \\<b\\>"));
    }

    #[test]
    fn facts_that_are_missing_for_one_reason_share_a_row() {
        let mut machine = Machine::default();
        for path in ["memory.channels", "memory.kind"] {
            machine.unseen.insert(path.to_owned(), "hidden".to_owned());
        }
        assert!(text(&machine).contains("memory.channels, memory.kind: hidden"));
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_a_terminal(model in "\\PC{0,200}", words in "[a-z ]{0,300}") {
            let mut machine = Machine::default();
            machine.cpu.model = Some(model);
            machine.recommendation.advice = Some(words);
            for line in text(&machine).lines() {
                prop_assert!(line.chars().count() <= WIDTH, "{}", line);
            }
        }
    }
}
