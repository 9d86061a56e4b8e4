//! Memory nodes: what each holds, and how far they are from each other.

use super::host::{cpus, line, mask};
use super::memory::{huge_pages, kilobytes};
use super::{Gaps, Host, Topology, node_kind};
use crate::model::{Cpu, Node, Numa};

/// Where the kernel tells about nodes.
pub(super) const NODES: &str = "/sys/devices/system/node";
/// No kernel is built for more.
const MOST_NODES: u32 = 1024;

/// Nodes from the kernel's files, else as the topology has them.
pub(super) fn find(
    host: &dyn Host,
    topology: Option<&Topology>,
    cpu: &Cpu,
    gaps: &mut Gaps,
) -> Numa {
    let mut ids: Vec<u32> = host
        .list(NODES)
        .iter()
        .filter_map(|name| name.strip_prefix("node")?.parse().ok())
        .filter(|id| *id < MOST_NODES)
        .collect();
    ids.sort_unstable();
    let mut nodes: Vec<Node> = ids.iter().map(|id| node(host, *id)).collect();
    if nodes.is_empty() {
        nodes = topology.map(|topology| topology.nodes.clone()).unwrap_or_default();
    }
    if nodes.is_empty() {
        gaps.missing("numa.nodes", format!("{NODES} lists none"));
    }
    node_kind::fill(host, &mut nodes, cpu, gaps);
    for (index, node) in nodes.iter().enumerate() {
        let why = format!("{NODES}/node{}/meminfo does not tell", node.id);
        gaps.or(&format!("numa.nodes.{index}.memory_bytes"), node.memory_bytes, &why);
        gaps.or(&format!("numa.nodes.{index}.free_bytes"), node.free_bytes, &why);
    }
    let distances = distances(host, &ids);
    if distances.is_empty() {
        gaps.missing("numa.distances", format!("{NODES} does not tell"));
    }
    Numa { nodes, distances }
}

fn node(host: &dyn Host, id: u32) -> Node {
    let folder = format!("{NODES}/node{id}");
    let info = host.read(&format!("{folder}/meminfo")).unwrap_or_default();
    let cpus = cpus(host, &format!("{folder}/cpulist"))
        .or_else(|_| mask(host, &format!("{folder}/cpumap")))
        .unwrap_or_default();
    Node {
        id,
        memory_bytes: kilobytes(&info, "MemTotal"),
        free_bytes: kilobytes(&info, "MemFree"),
        cpus,
        kind: None,
        huge_pages: huge_pages(host, &format!("{folder}/hugepages")),
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
