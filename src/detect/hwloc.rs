//! Cores, caches and nodes by the system's hwloc, which also honours `HWLOC_XMLFILE`,
//! `HWLOC_SYNTHETIC` and their like; then it describes a machine that is not this one.

use autotune_engine::api::Bytes;
use hwlocality::cpu::cpuset::CpuSet;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::types::{CacheType, ObjectType};
use hwlocality::topology::Topology as Hwloc;
use hwlocality::topology::builder::{BuildFlags, TypeFilter};

use super::cache::{CacheUse, instances, last};
use super::topology::Topology;
use crate::model::{CacheKind, CpuList, Node};

const CACHES: [ObjectType; 8] = [
    ObjectType::L1Cache,
    ObjectType::L1ICache,
    ObjectType::L2Cache,
    ObjectType::L2ICache,
    ObjectType::L3Cache,
    ObjectType::L3ICache,
    ObjectType::L4Cache,
    ObjectType::L5Cache,
];

/// What hwloc sees; `None` where it fails.
pub(super) fn topology() -> Option<Topology> {
    let hwloc = Hwloc::builder()
        // The machine is described whole; what this process may use of it is a limit.
        .with_flags(BuildFlags::INCLUDE_DISALLOWED)
        .ok()?
        .with_cpu_icache_type_filter(TypeFilter::KeepAll)
        .ok()?
        .build()
        .ok()?;
    let sets = |kind: ObjectType| -> Vec<CpuList> {
        hwloc.objects_with_type(kind).filter_map(cpus).filter(|set| !set.is_empty()).collect()
    };
    let caches = CACHES.into_iter().flat_map(|kind| hwloc.objects_with_type(kind));
    let caches: Vec<CacheUse> = caches.filter_map(cache).collect();
    let online = sets(ObjectType::PU).iter().flat_map(CpuList::iter).collect();
    Some(Topology {
        this_system: hwloc.is_this_system(),
        packages: u32::try_from(sets(ObjectType::Package).len()).ok().filter(|count| *count > 0),
        cores: sets(ObjectType::Core),
        last_caches: last(&caches),
        caches: instances(caches.into_iter()),
        nodes: hwloc.objects_with_type(ObjectType::NUMANode).filter_map(node).collect(),
        online,
    })
}

fn list(set: &CpuSet) -> CpuList {
    set.iter_set()
        .map(usize::from)
        .take_while(|cpu| *cpu < CpuList::LIMIT as usize)
        .filter_map(|cpu| u32::try_from(cpu).ok())
        .collect()
}

fn cpus(object: &TopologyObject) -> Option<CpuList> {
    object.cpuset().map(|set| list(&set))
}

fn cache(object: &TopologyObject) -> Option<CacheUse> {
    let Some(ObjectAttributes::Cache(cache)) = object.attributes() else { return None };
    Some(CacheUse {
        level: u32::try_from(cache.depth()).ok()?,
        kind: match cache.cache_type() {
            CacheType::Unified => CacheKind::Unified,
            CacheType::Data => CacheKind::Data,
            CacheType::Instruction => CacheKind::Instruction,
            CacheType::Unknown(_) => return None,
        },
        size: Bytes(cache.size()?.get()),
        cpus: cpus(object)?,
    })
}

fn node(object: &TopologyObject) -> Option<Node> {
    let Some(ObjectAttributes::NUMANode(memory)) = object.attributes() else { return None };
    Some(Node {
        id: u32::try_from(object.os_index()?).ok()?,
        memory_bytes: memory.local_memory().map(|bytes| Bytes(bytes.get())),
        free_bytes: None,
        cpus: cpus(object)?,
        kind: None,
        huge_pages: Vec::new(),
    })
}
