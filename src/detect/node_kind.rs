//! What the memory of a node is made of: by who claims the node, by the firmware's table of
//! bandwidths, by the kernel's tiers, or by processors whose memory is known.

use std::collections::BTreeSet;

use super::host::{line, value};
use super::numa::NODES;
use super::{Gaps, Host};
use crate::model::{Cpu, CpuList, Node, NodeKind};

/// Memory of this many times the bandwidth of a node with CPUs is on the package; of its inverse,
/// behind a link. Two kinds of memory of one machine differ by more than this.
const OTHER_KIND: f64 = 1.5;
/// The Xeon Max of 2023 has four stacks of 16 GiB on its package.
const XEON_MAX_STACKS: u64 = 64 << 30;
/// The Xeon Phi of 2016 has 16 GiB on its package.
const XEON_PHI_STACKS: u64 = 16 << 30;

/// Fills the kinds, and notes why one cannot be told.
pub(super) fn fill(host: &dyn Host, nodes: &mut [Node], cpu: &Cpu, gaps: &mut Gaps) {
    let claims = Claims::find(host, nodes);
    let alone = nodes.iter().all(|node| !node.cpus.is_empty() || !has_memory(node));
    let sockets = u64::from(cpu.packages.unwrap_or(1));
    let main: u64 = nodes.iter().filter_map(|node| node.memory_bytes).map(|bytes| bytes.0).sum();
    let package_alone = package_memory(cpu)
        .filter(|(size, always)| alone && (*always || main <= size * sockets && !claims.cached));
    for (index, node) in nodes.iter_mut().enumerate() {
        let kind = if !has_memory(node) {
            Err("it has no memory")
        } else if !node.cpus.is_empty() {
            Ok(package_alone.map_or(NodeKind::Dram, |_| NodeKind::Hbm))
        } else {
            claims.kind(host, node, cpu).ok_or(
                "memory without a CPU: on the package, behind a link or on a card; nothing tells",
            )
        };
        match kind {
            Ok(kind) => node.kind = Some(kind),
            Err(why) => gaps.missing(format!("numa.nodes.{index}.kind"), why),
        }
    }
}

/// A node whose size is unknown is taken to have memory.
fn has_memory(node: &Node) -> bool {
    node.memory_bytes.is_none_or(|bytes| bytes.0 > 0)
}

/// Memory on the package of processors that have it, and whether they have no other.
fn package_memory(cpu: &Cpu) -> Option<(u64, bool)> {
    let model = cpu.model.as_deref().unwrap_or_default();
    let design = cpu.microarchitecture.as_deref().unwrap_or_default();
    if model.contains("Xeon(R) CPU Max") || model.contains("Xeon(R) Max") {
        Some((XEON_MAX_STACKS, false))
    } else if model.contains("Xeon Phi") {
        Some((XEON_PHI_STACKS, false))
    } else if model.contains("MI300A") || design == "A64FX" {
        Some((u64::MAX, true))
    } else {
        None
    }
}

/// Nodes that somebody claims, and what the firmware says of speeds.
#[derive(Debug, Default)]
struct Claims {
    gpu: BTreeSet<u32>,
    cxl: BTreeSet<u32>,
    /// Nodes that hold something other than a CPU that reaches into memory.
    initiators: BTreeSet<u32>,
    /// Whether there are CXL memory devices at all.
    any_cxl: bool,
    /// Whether memory on the package works as a cache for other memory.
    cached: bool,
    /// Bandwidth of the fastest node with CPUs, in MB/s.
    main_bandwidth: Option<f64>,
    /// The kernel's tiers, fastest first.
    tiers: Vec<CpuList>,
    /// A node with CPUs.
    main: Option<u32>,
}

impl Claims {
    fn find(host: &dyn Host, nodes: &[Node]) -> Self {
        let main = || nodes.iter().filter(|node| !node.cpus.is_empty() && has_memory(node));
        let initiators = line(host, &format!("{NODES}/has_generic_initiator"))
            .ok()
            .and_then(|text| text.parse::<CpuList>().ok())
            .unwrap_or_default();
        Self {
            gpu: gpu_nodes(host),
            cxl: cxl_nodes(host),
            initiators: initiators.iter().collect(),
            any_cxl: host.list("/sys/bus/cxl/devices").iter().any(|name| name.starts_with("mem")),
            cached: nodes.iter().any(|node| {
                !host.list(&format!("{NODES}/node{}/memory_side_cache", node.id)).is_empty()
            }),
            main_bandwidth: main()
                .filter_map(|node| bandwidth(host, node.id))
                .max_by(f64::total_cmp),
            tiers: tiers(host),
            main: main().next().map(|node| node.id),
        }
    }

    fn kind(&self, host: &dyn Host, node: &Node, cpu: &Cpu) -> Option<NodeKind> {
        if self.gpu.contains(&node.id) {
            return Some(NodeKind::Gpu);
        }
        if self.cxl.contains(&node.id) {
            return Some(NodeKind::Cxl);
        }
        if self.initiators.contains(&node.id) {
            return Some(NodeKind::Gpu);
        }
        let slower = self.any_cxl.then_some(NodeKind::Cxl);
        if let Some((own, main)) = bandwidth(host, node.id).zip(self.main_bandwidth) {
            if own >= main * OTHER_KIND {
                return Some(NodeKind::Hbm);
            }
            if own <= main / OTHER_KIND {
                return slower;
            }
        }
        let tier = |id: u32| self.tiers.iter().position(|tier| tier.contains(id));
        match tier(node.id).zip(self.main.and_then(tier)) {
            Some((own, main)) if own < main => return Some(NodeKind::Hbm),
            Some((own, main)) if own > main && slower.is_some() => return slower,
            _ => {}
        }
        // One stack, or all of them as one node.
        let (size, _) = package_memory(cpu)?;
        let fits = node.memory_bytes.is_some_and(|bytes| bytes.0 <= size);
        (fits && !self.any_cxl).then_some(NodeKind::Hbm)
    }
}

/// Bandwidth from the nearest initiator as the firmware's HMAT table has it, in MB/s.
fn bandwidth(host: &dyn Host, id: u32) -> Option<f64> {
    ["access0", "access1"].iter().find_map(|access| {
        let path = format!("{NODES}/node{id}/{access}/initiators/read_bandwidth");
        value::<u32>(host, &path).ok().filter(|speed| *speed > 0).map(f64::from)
    })
}

/// Nodes of memory that NVIDIA's driver brought online.
fn gpu_nodes(host: &dyn Host) -> BTreeSet<u32> {
    let folder = "/proc/driver/nvidia/gpus";
    let cards = host.list(folder).into_iter();
    cards
        .filter_map(|card| {
            let text = host.read(&format!("{folder}/{card}/numa_status")).ok()?;
            let node = text.lines().find_map(|line| line.trim().strip_prefix("Node:"))?;
            node.trim().parse().ok()
        })
        .collect()
}

/// Nodes that memory of CXL regions was given to.
fn cxl_nodes(host: &dyn Host) -> BTreeSet<u32> {
    let folder = "/sys/bus/cxl/devices";
    let mut nodes = BTreeSet::new();
    for region in host.list(folder) {
        let Some(number) = region.strip_prefix("region") else { continue };
        let inside = format!("{folder}/{region}/dax_region{number}");
        for device in host.list(&inside).iter().filter(|name| name.starts_with("dax")) {
            nodes.extend(value::<u32>(host, &format!("{inside}/{device}/target_node")));
        }
    }
    nodes
}

/// Nodes of each tier, fastest first.
fn tiers(host: &dyn Host) -> Vec<CpuList> {
    let folder = "/sys/devices/virtual/memory_tiering";
    let names = host.list(folder);
    let numbers = names.iter().filter_map(|name| name.strip_prefix("memory_tier")?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let list = |number| super::host::cpus(host, &format!("{folder}/memory_tier{number}/nodelist"));
    numbers.into_iter().filter_map(|number| list(number).ok()).collect()
}
