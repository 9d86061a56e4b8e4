//! The rows of everything but graphics cards.

use autotune_engine::api::{Bytes, VariantVerdict};

use super::peaks::{bytes, operations};
use super::{Group, clean, gigahertz, listed};
use crate::model::{
    Cache, CacheKind, Ceilings, Cpu, KindName, Limits, Machine, Node, NodeKind, Provenance,
    SizeClass,
};

/// Memory nodes are listed up to here, then two to a row.
const MOST_NODES: usize = 4;
/// Most rows of nodes.
const MOST_NODE_ROWS: usize = 8;
/// What each level of x86-64 says already, by the levels' definition.
const LEVELS: &[(&str, &[&str])] = &[
    ("x86-64-v2", &["ssse3", "sse4_1", "sse4_2"]),
    ("x86-64-v3", &["avx", "avx2", "f16c", "fma", "bmi1", "bmi2"]),
    ("x86-64-v4", &["avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"]),
];

pub(super) fn system(machine: &Machine) -> Group {
    let os = &machine.os;
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
    let words = [
        os.name.clone(),
        os.version.clone(),
        os.kernel.as_ref().map(|kernel| format!("· kernel {kernel}")),
        os.architecture.clone(),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    Group::new(
        "System",
        vec![("source", source), ("system", listed(&words, " ")), ("runs in", inside)],
    )
}

pub(super) fn processor(machine: &Machine) -> Group {
    let cpu = &machine.cpu;
    let name = cpu.model.clone().map(|model| match &cpu.microarchitecture {
        Some(name) => format!("{model} ({name})"),
        None => model,
    });
    let clocks: Vec<String> = [
        cpu.base_hz.map(|hz| format!("base {}", gigahertz(hz))),
        cpu.max_hz.map(|hz| format!("up to {}", gigahertz(hz))),
        cpu.governor.as_ref().map(|governor| format!("governor {governor}")),
        cpu.turbo.map(|turbo| format!("turbo {turbo:?}").to_lowercase()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let caches: Vec<String> =
        cpu.caches.iter().filter(|cache| cache.kind != CacheKind::Instruction).map(cache).collect();
    let broken = cpu.isa_unusable.iter().flatten();
    let broken: Vec<String> =
        broken.map(|isa| format!("{} announced, not usable: {}", isa.name, isa.reason)).collect();
    let mut rows = vec![("model", name), ("cores", listed(&counts(cpu), ", "))];
    rows.extend(kinds(cpu).into_iter().map(|kind| ("", Some(kind))));
    rows.push(("usable", usable(machine)));
    rows.push(("ISA", instructions(cpu)));
    rows.extend(broken.into_iter().map(|text| ("", Some(text))));
    rows.push(("caches", listed(&caches, ", ")));
    rows.push(("clocks", listed(&clocks, ", ")));
    Group::new("Processor", rows)
}

fn counts(cpu: &Cpu) -> Vec<String> {
    let counted = |count: Option<u32>, one: &str, many: &str| {
        count.map(|count| format!("{count} {}", if count == 1 { one } else { many }))
    };
    let mut counts: Vec<String> = [
        counted(cpu.cores, "core", "cores"),
        counted(cpu.threads_online, "thread", "threads"),
        counted(cpu.packages, "socket", "sockets"),
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
    counts
}

/// Kinds of cores, where there are several, one to a row.
fn kinds(cpu: &Cpu) -> Vec<String> {
    let several = cpu.kinds.iter().filter(|kind| kind.name != KindName::Uniform);
    let text = several.map(|kind| {
        let name = match kind.name {
            KindName::Performance => "performance",
            KindName::Efficiency => "efficiency",
            KindName::LowPower => "low-power",
            KindName::Uniform => "uniform",
        };
        let threads = if kind.threads == kind.cores {
            String::new()
        } else {
            format!(", {} threads", kind.threads)
        };
        let clock = kind.max_hz.map(|hz| format!(", up to {}", gigahertz(hz)));
        let clock = clock.unwrap_or_default();
        format!("{} {name}{threads} (CPUs {}){clock}", kind.cores, kind.cpus)
    });
    text.collect()
}

/// Threads that a program may use, and what keeps it from using all.
fn usable(machine: &Machine) -> Option<String> {
    let limits = &machine.limits;
    let usable = limits.usable_threads?;
    let noun = if usable == 1 { "thread" } else { "threads" };
    let why: Vec<String> = [cpu_set(limits), quota(limits)].into_iter().flatten().collect();
    let online = machine.cpu.threads_online.filter(|online| *online > usable);
    Some(match (online, why.is_empty()) {
        (None, true) => format!("{usable} {noun} at once"),
        (None, false) => format!("{usable} {noun} at once ({})", why.join(", ")),
        (Some(online), true) => {
            format!("{usable} of {online} threads: this process may run on no others")
        }
        (Some(online), false) => format!("{usable} of {online} threads: {}", why.join(", ")),
    })
}

fn quota(limits: &Limits) -> Option<String> {
    let version = limits.cgroup_version.map(|version| format!(" (cgroup v{version})"));
    let version = version.unwrap_or_default();
    let hundredths = |quota: f64| (quota * 100.0).round() / 100.0;
    limits.cpu_quota_cores.map(|quota| format!("quota of {} CPUs{version}", hundredths(quota)))
}

fn cpu_set(limits: &Limits) -> Option<String> {
    limits.cpuset.as_ref().map(|set| format!("CPU set {set}"))
}

/// The level, and what is announced beyond it and works as far as is known.
fn instructions(cpu: &Cpu) -> Option<String> {
    let mut implied: Vec<&str> = Vec::new();
    if let Some(level) = &cpu.isa_level
        && let Some(place) = LEVELS.iter().position(|(name, _)| name == level)
    {
        implied.extend(LEVELS[..=place].iter().flat_map(|(_, names)| *names));
    }
    let broken = |name: &str| cpu.isa_unusable.iter().flatten().any(|isa| isa.name == name);
    let beyond = cpu.isa.iter().map(String::as_str);
    let beyond: Vec<&str> =
        beyond.filter(|name| !implied.contains(name) && !broken(name)).collect();
    match (&cpu.isa_level, beyond.is_empty()) {
        (None, true) => None,
        (Some(level), true) => Some(level.clone()),
        (None, false) => Some(beyond.join(" ")),
        (Some(level), false) => Some(format!("{level} + {}", beyond.join(" "))),
    }
}

fn cache(cache: &Cache) -> String {
    let letter = if cache.kind == CacheKind::Data { "d" } else { "" };
    let times =
        if cache.instances > 1 { format!("{} × ", cache.instances) } else { String::new() };
    let shared = match cache.shared_by_threads {
        ..=1 => String::new(),
        threads => format!(" per {threads} threads"),
    };
    format!("L{}{letter} {times}{}{shared}", cache.level, size(cache.size_bytes))
}

/// Without the zeros that a size which is whole in its unit would show.
fn size(bytes: Bytes) -> String {
    let text = bytes.to_string();
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

pub(super) fn memory(machine: &Machine) -> Group {
    let memory = &machine.memory;
    let total = memory.total_bytes.map(|total| {
        let free = memory.available_bytes.map(|free| format!(", {free} available"));
        let swap = memory.swap_total_bytes.map(|swap| match swap {
            Bytes(0) => ", no swap".to_owned(),
            swap => format!(", {} swap", size(swap)),
        });
        format!("{total}{}{}", free.unwrap_or_default(), swap.unwrap_or_default())
    });
    let speed = memory.speed_mt_per_s.map(|speed| format!("{speed} MT/s"));
    let channels = memory.channels.map(|channels| match channels {
        1 => "1 channel".to_owned(),
        channels => format!("{channels} channels"),
    });
    let modules = match (channels, speed) {
        (Some(channels), Some(speed)) => Some(format!("{channels} × {speed}")),
        (channels, speed) => channels.or(speed),
    };
    let modules: Vec<String> = [memory.kind.clone(), modules].into_iter().flatten().collect();
    let pools = memory.huge_pages.iter().filter(|pool| pool.total > 0);
    let pools: Vec<String> = pools
        .map(|pool| format!("{} of {} free of {}", pool.free, pool.total, size(pool.size_bytes)))
        .collect();
    let transparent =
        memory.transparent_huge_pages.as_ref().map(|mode| format!("transparent {mode}"));
    let pages: Vec<String> = transparent.into_iter().chain(pools).collect();
    let mut group = Group::new(
        "Memory",
        vec![
            ("size", total),
            ("modules", listed(&modules, ", ")),
            ("huge pages", listed(&pages, ", ")),
        ],
    );
    group.rows.extend(nodes(&machine.numa.nodes));
    group
}

/// One node to a row, several where there are many.
fn nodes(nodes: &[Node]) -> Vec<(String, String)> {
    if nodes.len() < 2 {
        return Vec::new();
    }
    if nodes.len() <= MOST_NODES {
        let row = |node: &Node| (format!("node {}", node.id), clean(&long(node)));
        return nodes.iter().map(row).collect();
    }
    let mut rows: Vec<(String, String)> = nodes
        .chunks(2)
        .take(MOST_NODE_ROWS)
        .map(|pair| {
            let label = match pair {
                [one] => format!("node {}", one.id),
                [first, .., last] => format!("nodes {}, {}", first.id, last.id),
                [] => String::new(),
            };
            (label, clean(&pair.iter().map(short).collect::<Vec<_>>().join(" | ")))
        })
        .collect();
    if let Some(more) = nodes.len().checked_sub(2 * MOST_NODE_ROWS).filter(|more| *more > 0) {
        rows.push((String::new(), format!("and {more} more nodes")));
    }
    rows
}

fn long(node: &Node) -> String {
    let free = node.free_bytes.map(|free| format!(", {free} free")).unwrap_or_default();
    let memory = node.memory_bytes.map_or("no memory".to_owned(), |memory| memory.to_string());
    format!("{memory}{}{free}, {}", made_of(node), cpus_of(node))
}

fn short(node: &Node) -> String {
    let memory = node.memory_bytes.map_or("no memory".to_owned(), |memory| memory.to_string());
    format!("{memory}{} {}", made_of(node), cpus_of(node))
}

/// Ordinary memory goes without saying.
fn made_of(node: &Node) -> &'static str {
    match node.kind {
        Some(NodeKind::Hbm) => " HBM",
        Some(NodeKind::Cxl) => " CXL",
        Some(NodeKind::Gpu) => " of a graphics card",
        Some(NodeKind::Dram) | None => "",
    }
}

fn cpus_of(node: &Node) -> String {
    if node.cpus.is_empty() { "no CPUs".to_owned() } else { format!("CPUs {}", node.cpus) }
}

/// The highest of each peak; JSON has them by threads and node, with intervals.
pub(super) fn ceilings(machine: &Machine) -> Group {
    let Some(peaks) = &machine.ceilings else {
        return Group { title: "Measured peaks", rows: Vec::new() };
    };
    let read = peaks.best_read_bandwidth().map(|rate| format!("{} read", bytes(rate)));
    let memory = [read, slowest_load(peaks)];
    let compute = [
        peaks.best_f32().map(|rate| format!("{} 32-bit float", operations(rate))),
        peaks.best_int8().map(|rate| format!("{} 8-bit integer", operations(rate))),
    ];
    let disk = [
        peaks.storage_read_bytes_per_s.map(|rate| format!("{} read", bytes(rate))),
        peaks.storage_cached_read_bytes_per_s.map(|rate| format!("{} once cached", bytes(rate))),
    ];
    let joined = |parts: [Option<String>; 2]| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        listed(&parts, ", ")
    };
    let cards: Vec<String> = peaks
        .gpu
        .iter()
        .map(|gpu| {
            let read = gpu.read_bandwidth_bytes_per_s.map(bytes);
            let multiply = gpu.f16_flops.map(|rate| format!("{} 16-bit float", operations(rate)));
            let parts: Vec<String> = [read, multiply].into_iter().flatten().collect();
            format!("{}: {}", gpu.device, parts.join(", "))
        })
        .collect();
    Group::new(
        "Measured peaks",
        vec![
            ("memory", joined(memory)),
            ("compute", joined(compute)),
            ("models' disk", joined(disk)),
            ("cards", listed(&cards, "; ")),
        ],
    )
}

/// The load from the largest range that was walked through: main memory.
fn slowest_load(peaks: &Ceilings) -> Option<String> {
    let largest = peaks.latency_s.iter().max_by_key(|latency| latency.size_bytes)?;
    Some(format!("{:.0} ns a load", largest.time.value * 1e9))
}

pub(super) fn limits(machine: &Machine) -> Group {
    let limits = &machine.limits;
    let known = !machine.unseen.contains_key("limits.locked_memory_bytes");
    let locked = known.then(|| match limits.locked_memory_bytes {
        Some(limit) => format!("{} may be locked", size(limit)),
        None => "no limit on locking".to_owned(),
    });
    let memory = limits.memory_limit_bytes.map(|limit| format!("{} at most", size(limit)));
    let memory: Vec<String> = memory.into_iter().chain(locked).collect();
    let kind = machine.storage.kind.map(|kind| format!("{kind:?}").to_lowercase());
    let models = machine
        .storage
        .model_cache_path_device
        .as_ref()
        .map(|device| kind.map_or(device.clone(), |kind| format!("{device} ({kind})")));
    Group::new("Limits", vec![("memory", listed(&memory, ", ")), ("models on", models)])
}

pub(super) fn engine(machine: &Machine) -> Group {
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

pub(super) fn suits(machine: &Machine) -> Group {
    let recommendation = &machine.recommendation;
    let class = recommendation.class.map(|class| match class {
        SizeClass::Small => "small models (below 3 B parameters)",
        SizeClass::Medium => "medium models (3 to 13 B parameters)",
        SizeClass::Large => "large models (above 13 B parameters)",
    });
    let largest = recommendation
        .largest_q4_parameters
        .map(|parameters| format!("up to about {:.1} B in Q4_K_M", parameters as f64 / 1e9));
    let fits: Vec<String> = class.map(str::to_owned).into_iter().chain(largest).collect();
    Group::new(
        "Suits",
        vec![("fits", listed(&fits, ", ")), ("advice", recommendation.advice.clone())],
    )
}
