//! Memory nodes: where threads and weights lie.

use super::{Fault, Look, Rule, Subject, figure, not_applicable, unseen, unseen_now};
use crate::model::{Machine, Node};

pub(super) const SINGLE_NODE: Rule = Rule {
    id: "single-node",
    title: "how threads and weights spread over the memory nodes",
    figure: Some(&figure::NUMA),
    look: single_node,
};

pub(super) const NUMA_BALANCING: Rule = Rule {
    id: "numa-balancing",
    title: "whether the kernel moves pages between memory nodes",
    figure: None,
    look: numa_balancing,
};

/// Nodes that have CPUs and memory: only between these a run can lie badly.
fn whole_nodes(machine: &Machine) -> Vec<&Node> {
    let whole =
        |node: &&Node| !node.cpus.is_empty() && node.memory_bytes.is_none_or(|memory| memory.0 > 0);
    machine.numa.nodes.iter().filter(whole).collect()
}

/// Why a check of several nodes has nothing to judge.
fn too_few(machine: &Machine) -> Option<Look> {
    if machine.numa.nodes.is_empty() {
        return Some(unseen(machine, "numa.nodes"));
    }
    (whole_nodes(machine).len() < 2).then(|| not_applicable("one memory node has all processors"))
}

fn single_node(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    if let Some(look) = too_few(machine) {
        return look;
    }
    let nodes = whole_nodes(machine);
    let count = nodes.len();
    let Some(cpus) = &subject.condition.allowed_cpus else {
        return unseen_now(subject.condition, "allowed_cpus");
    };
    let runs_on: Vec<u32> = nodes
        .iter()
        .filter(|node| !node.cpus.intersection(cpus).is_empty())
        .map(|node| node.id)
        .collect();
    let memory = subject.condition.allowed_nodes.as_ref();
    let keeps_on: Vec<u32> = nodes
        .iter()
        .filter(|node| memory.is_none_or(|allowed| allowed.contains(node.id)))
        .map(|node| node.id)
        .collect();
    let bound = runs_on.len() < 2 || keeps_on.len() < 2;
    let what = match (runs_on.as_slice(), keeps_on.as_slice()) {
        ([node], _) => format!("this process may run on node {node} of {count} alone"),
        (_, [node]) => format!("this process may take memory of node {node} of {count} alone"),
        _ => format!(
            "{count} memory nodes: by default weights lie where they were first read, and threads \
             of the other nodes fetch them from there"
        ),
    };
    let fault = Fault::new(what)
        .shown("numa.nodes", format!("{count} with processors and memory"))
        .shown("/proc/self/status: Cpus_allowed_list", cpus);
    let fault = match memory {
        Some(memory) => fault.shown("/proc/self/status: Mems_allowed_list", memory),
        None => fault,
    };
    if bound {
        let remedy = "start it with all nodes: numactl --all --interleave=all llama-server …";
        return fault.unpublished().remedy(remedy).found();
    }
    fault
        .root_remedy("sync; echo 3 | sudo tee /proc/sys/vm/drop_caches    # once, before the next")
        .remedy("llama-server --numa distribute")
        .found()
}

fn numa_balancing(subject: &Subject<'_>) -> Look {
    if let Some(look) = too_few(subject.machine) {
        return look;
    }
    let Some(mode) = subject.condition.numa_balancing else {
        return unseen_now(subject.condition, "numa_balancing");
    };
    if mode & 1 == 0 {
        return Look::Fine;
    }
    Fault::new("the kernel moves pages between memory nodes while a model runs")
        .shown("/proc/sys/kernel/numa_balancing", mode)
        .root_remedy("sudo sysctl kernel.numa_balancing=0")
        .found()
}
