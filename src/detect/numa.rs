//! Memory nodes: what each holds, and how far they are from each other.

use super::host::{cpus, line};
use super::memory::kilobytes;
use super::{Gaps, Host, Topology};
use crate::model::{Node, NodeKind, Numa};

const NODES: &str = "/sys/devices/system/node";

/// Nodes from the kernel's files, else as the topology has them.
pub(super) fn find(host: &dyn Host, topology: Option<&Topology>, gaps: &mut Gaps) -> Numa {
    let mut ids: Vec<u32> = host
        .list(NODES)
        .iter()
        .filter_map(|name| name.strip_prefix("node")?.parse().ok())
        .collect();
    ids.sort_unstable();
    let mut nodes: Vec<Node> = ids.iter().map(|id| node(host, *id)).collect();
    if nodes.is_empty() {
        nodes = topology.map(|topology| topology.nodes.clone()).unwrap_or_default();
    }
    if nodes.is_empty() {
        gaps.missing("numa.nodes", format!("{NODES} lists none"));
    }
    for (index, node) in nodes.iter().enumerate() {
        if node.kind.is_none() {
            let why =
                "memory without a CPU: on the package or behind a link, the kernel does not say";
            gaps.missing(format!("numa.nodes.{index}.kind"), why);
        }
    }
    let distances = distances(host, &ids);
    if distances.is_empty() {
        gaps.missing("numa.distances", format!("{NODES} does not tell"));
    }
    Numa { nodes, distances }
}

fn node(host: &dyn Host, id: u32) -> Node {
    let info = host.read(&format!("{NODES}/node{id}/meminfo")).unwrap_or_default();
    let cpus = cpus(host, &format!("{NODES}/node{id}/cpulist")).unwrap_or_default();
    Node {
        id,
        memory_bytes: kilobytes(&info, "MemTotal"),
        free_bytes: kilobytes(&info, "MemFree"),
        // Memory without a CPU may be on the package or behind a link: only CPUs make it certain.
        kind: (!cpus.is_empty()).then_some(NodeKind::Dram),
        cpus,
    }
}

/// A square of distances, or nothing.
fn distances(host: &dyn Host, ids: &[u32]) -> Vec<Vec<u32>> {
    let row = |id: &u32| -> Option<Vec<u32>> {
        let text = line(host, &format!("{NODES}/node{id}/distance")).ok()?;
        let row: Vec<u32> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        (row.len() == ids.len()).then_some(row)
    };
    ids.iter().map(row).collect::<Option<Vec<_>>>().unwrap_or_default()
}
