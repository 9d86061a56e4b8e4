//! The machine document as lines of text. Read by the names of its public schema, so that reports
//! of documents with more or fewer facts say what is there and are silent about the rest.

use autotune_engine::api::Bytes;
use serde_json::Value;

use super::format;
use super::view::FactView;

/// The machine in one line: processor, cores, memory.
pub(super) fn one_line(machine: &Value) -> String {
    let mut parts = vec![processor(machine)];
    parts.extend(cores(machine));
    parts.extend(bytes(machine, "/memory/total_bytes"));
    parts.extend(gpus(machine));
    parts.join(", ")
}

/// The machine as named facts.
pub(super) fn facts(machine: &Value) -> Vec<FactView> {
    let facts = [
        ("Processor", Some(processor(machine))),
        ("Cores", cores(machine)),
        ("Instruction sets", level(machine)),
        ("Caches", caches(machine)),
        ("Memory", memory(machine)),
        ("NUMA nodes", numa(machine)),
        ("GPUs", Some(gpus(machine).unwrap_or_else(|| "none found".into()))),
        ("Limits", limits(machine)),
        ("Governor", text(machine, "/cpu/governor")),
        ("System", system(machine)),
        ("Virtualization", virtualization(machine)),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| FactView { name: name.into(), value }).collect()
}

/// Main memory that was free, as far as the document tells.
pub(super) fn available_bytes(machine: &Value) -> Option<u64> {
    number(machine, "/memory/available_bytes")
}

/// Why facts could not be seen, one line each.
pub(super) fn unseen(machine: &Value) -> Vec<(String, String)> {
    let Some(unseen) = machine.get("unseen").and_then(Value::as_object) else {
        return Vec::new();
    };
    unseen.iter().filter_map(|(fact, why)| Some((fact.clone(), why.as_str()?.into()))).collect()
}

/// Whether the document came from a captured machine rather than this one.
pub(super) fn captured(machine: &Value) -> bool {
    text(machine, "/provenance").is_some_and(|word| word == "captured")
}

fn processor(machine: &Value) -> String {
    text(machine, "/cpu/model").unwrap_or_else(|| "unknown processor".into())
}

fn cores(machine: &Value) -> Option<String> {
    let cores = number(machine, "/cpu/cores")?;
    let threads = number(machine, "/cpu/threads").unwrap_or(cores);
    Some(format!("{} / {threads} threads", format::plural(usize::try_from(cores).ok()?, "core")))
}

fn level(machine: &Value) -> Option<String> {
    let listed = machine.pointer("/cpu/isa").and_then(Value::as_array);
    let names: Vec<_> = listed.into_iter().flatten().filter_map(Value::as_str).collect();
    match (text(machine, "/cpu/isa_level"), names.is_empty()) {
        (Some(level), true) => Some(level),
        (Some(level), false) => Some(format!("{level}: {}", names.join(" "))),
        (None, true) => None,
        (None, false) => Some(names.join(" ")),
    }
}

fn caches(machine: &Value) -> Option<String> {
    let caches = machine.pointer("/cpu/caches")?.as_array()?;
    let lines: Vec<_> = caches
        .iter()
        .filter_map(|cache| {
            let level = number(cache, "/level")?;
            let letter = match cache.get("kind").and_then(Value::as_str) {
                Some("data") => "d",
                Some("instruction") => "i",
                _ => "",
            };
            let instances = number(cache, "/instances").unwrap_or(1);
            let each = bytes(cache, "/size_bytes")?;
            Some(format!("L{level}{letter} {instances} × {each}"))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn memory(machine: &Value) -> Option<String> {
    let mut text_parts = vec![bytes(machine, "/memory/total_bytes")?];
    text_parts.extend(text(machine, "/memory/kind"));
    text_parts.extend(number(machine, "/memory/channels").map(|n| format!("{n} channels")));
    text_parts.extend(number(machine, "/memory/speed_mt_per_s").map(|n| format!("{n} MT/s")));
    let free = bytes(machine, "/memory/available_bytes");
    text_parts.extend(free.map(|free| format!("{free} available")));
    Some(text_parts.join(", "))
}

fn numa(machine: &Value) -> Option<String> {
    let nodes = machine.pointer("/numa/nodes")?.as_array()?;
    (!nodes.is_empty()).then(|| nodes.len().to_string())
}

pub(super) fn gpus(machine: &Value) -> Option<String> {
    let gpus = machine.get("gpus")?.as_array()?;
    let names: Vec<_> = gpus
        .iter()
        .filter_map(|gpu| {
            let name = text(gpu, "/name")?;
            Some(match bytes(gpu, "/memory_bytes") {
                Some(memory) => format!("{name} ({memory})"),
                None => name,
            })
        })
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn limits(machine: &Value) -> Option<String> {
    let quota = machine.pointer("/limits/cpu_quota_cores").and_then(Value::as_f64);
    let usable = number(machine, "/limits/usable_threads").map(|n| format!("{n} usable threads"));
    let parts: Vec<_> = [
        usable,
        quota.map(|cores| format!("CPU quota {} cores", format::three(cores))),
        text(machine, "/limits/cpuset").map(|set| format!("CPU set {set}")),
        bytes(machine, "/limits/memory_limit_bytes").map(|limit| format!("memory {limit}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn system(machine: &Value) -> Option<String> {
    let parts: Vec<_> = ["/os/name", "/os/version", "/os/kernel", "/os/architecture"]
        .iter()
        .filter_map(|path| text(machine, path))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn virtualization(machine: &Value) -> Option<String> {
    let parts: Vec<_> =
        ["/os/hypervisor", "/os/container"].iter().filter_map(|path| text(machine, path)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn text(value: &Value, path: &str) -> Option<String> {
    let text = value.pointer(path)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(value: &Value, path: &str) -> Option<u64> {
    value.pointer(path)?.as_u64()
}

fn bytes(value: &Value, path: &str) -> Option<String> {
    number(value, path).map(|count| Bytes(count).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_silent_and_does_not_fail() {
        let nothing = serde_json::json!({});
        assert_eq!(one_line(&nothing), "unknown processor");
        assert_eq!(facts(&nothing).len(), 2);
        assert!(unseen(&nothing).is_empty() && !captured(&nothing));
    }
}
