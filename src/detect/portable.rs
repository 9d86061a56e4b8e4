//! What `sysinfo` tells of this machine where the kernel has no files for it, as on macOS.

use std::collections::BTreeMap;

use autotune_engine::api::Bytes;
use sysinfo::{CpuRefreshKind, System};

use crate::model::Machine;

/// Fills facts that no file told, and strikes them off the list of what was not seen.
pub(super) fn fill(machine: &mut Machine) {
    let Ok(mut system) = System::new() else { return };
    system.refresh_memory();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let bytes = |count: u64| (count > 0).then_some(Bytes(count));
    let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
    let threads = u32::try_from(system.cpus().len()).ok().filter(|count| *count > 0);
    let cores = System::physical_core_count().ok().and_then(|count| u32::try_from(count).ok());
    let Machine { os, cpu, memory, unseen, .. } = machine;
    put(&mut os.name, "os.name", System::name().ok(), unseen);
    put(&mut os.version, "os.version", System::os_version().ok(), unseen);
    put(&mut os.kernel, "os.kernel", System::kernel_version().ok(), unseen);
    put(&mut os.architecture, "os.architecture", Some(System::cpu_arch()), unseen);
    put(&mut cpu.model, "cpu.model", brand.filter(|brand| !brand.is_empty()), unseen);
    put(&mut cpu.cores, "cpu.cores", cores, unseen);
    put(&mut cpu.threads, "cpu.threads", threads, unseen);
    put(&mut cpu.threads_online, "cpu.threads_online", threads, unseen);
    put(&mut memory.total_bytes, "memory.total_bytes", bytes(system.total_memory()), unseen);
    let available = bytes(system.available_memory());
    put(&mut memory.available_bytes, "memory.available_bytes", available, unseen);
}

fn put<T>(
    fact: &mut Option<T>,
    path: &str,
    told: Option<T>,
    unseen: &mut BTreeMap<String, String>,
) {
    if fact.is_none() && told.is_some() {
        *fact = told;
        unseen.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_filled() {
        let mut machine = Machine::default();
        machine.cpu.model = Some("as the processor names itself".to_owned());
        machine.unseen.insert("memory.total_bytes".to_owned(), "no such file".to_owned());
        fill(&mut machine);
        assert_eq!(machine.cpu.model.as_deref(), Some("as the processor names itself"));
        assert!(machine.memory.total_bytes.is_some() && machine.unseen.is_empty());
    }
}
