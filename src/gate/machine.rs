//! What a machine is known by: facts that stay, never readings of the moment.

use std::collections::BTreeMap;

use crate::model::{FactDifference, GateMachine, Machine};

/// The facts of a machine, and the key that sessions are stored under.
///
/// Strict facts make it another machine; soft ones may move a level, and are told. Clocks of the
/// moment, free memory and bogomips are neither: a key that holds them changes from day to day.
#[must_use]
pub fn facts(machine: &Machine) -> GateMachine {
    let mut strict = Facts::default();
    strict.put("architecture", machine.os.architecture.as_ref());
    strict.put("system", machine.os.name.as_ref());
    strict.put("hypervisor", Some(machine.os.hypervisor.as_deref().unwrap_or("none")));
    strict.put("processor", machine.cpu.model.as_ref());
    strict.put("vendor", machine.cpu.vendor.as_ref());
    strict.put("instruction sets", Some(machine.cpu.isa.join(" ")));
    strict.put("packages", machine.cpu.packages);
    strict.put("cores", machine.cpu.cores);
    strict.put("threads", machine.cpu.threads);
    strict.put("usable threads", machine.limits.usable_threads);
    for kind in &machine.cpu.kinds {
        let name = format!("{:?} cores", kind.name).to_lowercase();
        strict.put(&name, Some(kind.cores));
    }
    strict.put("memory nodes", Some(machine.numa.nodes.len()));
    // Kernels reserve a little more or less at each start.
    let gibibytes = machine.memory.total_bytes.map(|bytes| (bytes.0 + (1 << 29)) >> 30);
    strict.put("memory GiB", gibibytes);
    strict.put("memory channels", machine.memory.channels);
    strict.put("memory MT/s", machine.memory.speed_mt_per_s);
    for (place, gpu) in machine.gpus.iter().enumerate() {
        let named = |what: &str| format!("GPU {place} {what}");
        strict.put(&named("name"), gpu.name.as_ref());
        strict.put(&named("memory bytes"), gpu.memory_bytes.map(|bytes| bytes.0));
        strict.put(&named("power limit W"), gpu.power_limit_watts);
    }
    let mut soft = Facts::default();
    soft.put("kernel", machine.os.kernel.as_ref());
    soft.put("system version", machine.os.version.as_ref());
    soft.put("container", machine.os.container.as_ref());
    soft.put("governor", machine.cpu.governor.as_ref());
    soft.put("turbo", machine.cpu.turbo.map(|turbo| format!("{turbo:?}").to_lowercase()));
    soft.put("huge pages", machine.memory.transparent_huge_pages.as_ref());
    for (place, gpu) in machine.gpus.iter().enumerate() {
        soft.put(&format!("GPU {place} driver"), gpu.driver.as_ref());
    }
    let json = serde_json::to_vec(&strict.0).expect("facts are texts");
    let key = blake3::hash(&json).to_hex()[..16].to_owned();
    GateMachine { key, strict: strict.0, soft: soft.0 }
}

/// Known facts by name.
#[derive(Default)]
struct Facts(BTreeMap<String, String>);

impl Facts {
    fn put(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.to_string());
        }
    }
}

/// The facts in which two machines differ, the strict ones first.
#[must_use]
pub fn differences(base: &GateMachine, head: &GateMachine) -> Vec<FactDifference> {
    let of = |base: &BTreeMap<String, String>, head: &BTreeMap<String, String>, strict: bool| {
        let mut names: Vec<&String> = base.keys().chain(head.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.into_iter().filter(|name| base.get(*name) != head.get(*name));
        let all = names.map(|name| FactDifference {
            fact: name.clone(),
            base: base.get(name).cloned(),
            head: head.get(name).cloned(),
            strict,
        });
        all.collect::<Vec<_>>()
    };
    let mut all = of(&base.strict, &head.strict, true);
    all.extend(of(&base.soft, &head.soft, false));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use autotune_engine::api::Bytes;

    fn machine() -> Machine {
        let mut machine = Machine::default();
        machine.cpu.model = Some("Example 9000".to_owned());
        machine.memory.total_bytes = Some(Bytes(16 << 30));
        machine.os.kernel = Some("6.1".to_owned());
        machine
    }

    #[test]
    fn a_machine_keeps_its_key_with_another_kernel_and_a_little_less_memory() {
        let first = facts(&machine());
        let mut later = machine();
        later.memory.total_bytes = Some(Bytes((16 << 30) - (200 << 20)));
        later.os.kernel = Some("6.2".to_owned());
        let second = facts(&later);
        assert_eq!(first.key, second.key);
        let differences = differences(&first, &second);
        assert_eq!(differences.len(), 1);
        assert!(!differences[0].strict && differences[0].fact == "kernel");
    }

    #[test]
    fn another_processor_is_another_machine() {
        let mut other = machine();
        other.cpu.model = Some("Example 9001".to_owned());
        let (first, second) = (facts(&machine()), facts(&other));
        assert_ne!(first.key, second.key);
        let found = differences(&first, &second);
        assert_eq!(found[0].base.as_deref(), Some("Example 9000"));
        assert!(found[0].strict);
    }
}
