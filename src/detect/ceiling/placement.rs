//! In which order threads take CPUs.

use std::collections::BTreeMap;

use crate::detect::{Host, Topology};
use crate::model::{CpuList, Machine};

/// One CPU of each physical core first, fast cores before small ones, taking turns between memory
/// nodes; then the cores' further threads in the same order. No more than may run at once.
pub(super) fn order(host: &dyn Host, machine: &Machine, topology: Option<&Topology>) -> Vec<u32> {
    let online = topology.map(|topology| topology.online.clone()).unwrap_or_default();
    let allowed =
        allowed(host).map(|list| if online.is_empty() { list } else { list.intersection(&online) });
    let Some(allowed) = allowed else { return Vec::new() };
    let cores = topology.map(|topology| topology.cores.clone()).unwrap_or_default();
    // Without cores every CPU is one.
    let cores = if cores.is_empty() {
        allowed.iter().map(|cpu| CpuList::from_iter([cpu])).collect()
    } else {
        cores
    };
    let usable = machine.limits.usable_threads.unwrap_or(1).max(1) as usize;
    let mut cpus = spread(machine, &cores, &allowed);
    cpus.truncate(usable);
    cpus
}

/// CPUs that this process may run on.
fn allowed(host: &dyn Host) -> Option<CpuList> {
    let status = host.read("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.parse().ok()
}

fn spread(machine: &Machine, cores: &[CpuList], allowed: &CpuList) -> Vec<u32> {
    let kind = |cpu: u32| {
        let place = machine.cpu.kinds.iter().position(|kind| kind.cpus.contains(cpu));
        place.unwrap_or(usize::MAX)
    };
    let node = |cpu: u32| machine.numa.nodes.iter().position(|node| node.cpus.contains(cpu));
    let mut turns: BTreeMap<(usize, usize, Option<usize>), usize> = BTreeMap::new();
    let mut placed = Vec::new();
    for core in cores {
        for (sibling, cpu) in core.intersection(allowed).iter().enumerate() {
            let (kind, node) = (kind(cpu), node(cpu));
            let turn = turns.entry((sibling, kind, node)).or_default();
            placed.push((sibling, kind, *turn, node, cpu));
            *turn += 1;
        }
    }
    placed.sort_unstable();
    placed.into_iter().map(|(_, _, _, _, cpu)| cpu).collect()
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::Bytes;

    use super::*;
    use crate::model::{CoreKind, KindName, Node};

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    fn node(id: u32, cpus: &str) -> Node {
        let (memory_bytes, free_bytes) = (Some(Bytes(1 << 30)), None);
        Node { id, memory_bytes, free_bytes, cpus: list(cpus), kind: None, huge_pages: Vec::new() }
    }

    #[test]
    fn nodes_take_turns_and_siblings_come_last() {
        let mut machine = Machine::default();
        machine.numa.nodes = vec![node(0, "0-1,4-5"), node(1, "2-3,6-7")];
        let cores = [list("0,4"), list("1,5"), list("2,6"), list("3,7")];
        assert_eq!(spread(&machine, &cores, &list("0-7")), [0, 2, 1, 3, 4, 6, 5, 7]);
        // A CPU set that leaves one sibling of a core takes it as the core.
        assert_eq!(spread(&machine, &cores, &list("1,5,6")), [1, 6, 5]);
    }

    #[test]
    fn fast_cores_come_before_small_ones_and_their_siblings_after_both() {
        let mut machine = Machine::default();
        let kind =
            |name, cpus| CoreKind { name, cores: 2, threads: 2, max_hz: None, cpus: list(cpus) };
        machine.cpu.kinds =
            vec![kind(KindName::Performance, "0-3"), kind(KindName::Efficiency, "4-5")];
        let cores = [list("4"), list("5"), list("0-1"), list("2-3")];
        assert_eq!(spread(&machine, &cores, &list("0-5")), [0, 2, 4, 5, 1, 3]);
    }
}
