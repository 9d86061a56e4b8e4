//! Cores, caches and sharing among CPUs: by hwloc where it answers, else from the kernel's files.

use std::collections::{BTreeMap, BTreeSet};

use super::cpu::field;
use super::host::{cpus, mask, value};
use super::{Gaps, Host, cache};
use crate::model::{Cache, CpuList, Node};

/// How CPUs hang together. Counts are those of the online CPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Whether this is the machine that the host is.
    pub this_system: bool,
    /// Sockets.
    pub packages: Option<u32>,
    /// CPUs of each physical core; empty where unknown.
    pub cores: Vec<CpuList>,
    /// Caches, nearest first.
    pub caches: Vec<Cache>,
    /// CPUs behind each cache of the last level; empty where unknown.
    pub last_caches: Vec<CpuList>,
    /// Memory nodes, where the source tells.
    pub nodes: Vec<Node>,
    /// CPUs that are online.
    pub online: CpuList,
}

/// Where the kernel tells about CPUs.
pub(super) const CPUS: &str = "/sys/devices/system/cpu";

/// How CPUs hang together; `None` where nothing tells.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Option<Topology> {
    let found = host.topology().filter(|found| !found.cores.is_empty()).or_else(|| files(host));
    if found.as_ref().is_none_or(|found| found.cores.is_empty()) {
        let why = "neither hwloc nor the kernel's files tell which CPUs share a core";
        for fact in ["cpu.cores", "cpu.smt", "cpu.kinds"] {
            gaps.missing(fact, why);
        }
    }
    if found.as_ref().is_none_or(|found| found.packages.is_none()) {
        gaps.missing("cpu.packages", "neither hwloc nor the kernel's files tell");
    }
    if found.as_ref().is_none_or(|found| found.caches.is_empty()) {
        gaps.missing("cpu.caches", "neither hwloc nor the kernel's files list any");
    }
    found
}

/// From `/sys/devices/system/cpu`.
pub(super) fn files(host: &dyn Host) -> Option<Topology> {
    let online = online(host)?;
    let described = described(host, &online);
    let places: Vec<Place> = described.iter().map(|cpu| place(host, cpu, &online)).collect();
    let packages: BTreeSet<_> = places.iter().filter_map(|place| place.package).collect();
    let caches = cache::find(host, &described, &online);
    Some(Topology {
        this_system: true,
        packages: u32::try_from(packages.len()).ok().filter(|count| *count > 0),
        cores: cores(&places, &online, modules(host)),
        last_caches: cache::last(&caches),
        caches: cache::instances(caches.into_iter()),
        nodes: Vec::new(),
        online,
    })
}

/// Where one CPU is.
struct Place {
    cpu: u32,
    /// Drawer and book, which mainframes have, then the socket.
    package: Option<[i64; 3]>,
    /// Die, cluster and core.
    core: Option<[i64; 3]>,
    siblings: Option<CpuList>,
}

fn place(host: &dyn Host, cpu: u32, online: &CpuList) -> Place {
    let file = |name: &str| format!("{CPUS}/cpu{cpu}/topology/{name}");
    let number = |name: &str| value::<i64>(host, &file(name)).ok();
    let siblings = cpus(host, &file("core_cpus_list"))
        .or_else(|_| cpus(host, &file("thread_siblings_list")))
        .or_else(|_| mask(host, &file("core_cpus")))
        .or_else(|_| mask(host, &file("thread_siblings")));
    let package = number("physical_package_id");
    let part = |name: &str| number(name).unwrap_or(-1);
    Place {
        cpu,
        package: package.map(|package| [part("drawer_id"), part("book_id"), package]),
        core: number("core_id").map(|core| [part("die_id"), part("cluster_id"), core]),
        siblings: siblings.ok().filter(|list| list.contains(cpu)).map(|l| l.intersection(online)),
    }
}

/// CPUs of each core, by the kernel's lists or else by the numbers; none where some CPU has no
/// core, because every count would be wrong.
fn cores(places: &[Place], online: &CpuList, modules: bool) -> Vec<CpuList> {
    let mut found: BTreeMap<CoreKey, Vec<u32>> = BTreeMap::new();
    for place in places {
        let numbers = place.core.map(|core| (place.package, core));
        let key = match (&place.siblings, numbers) {
            (Some(list), Some(numbers)) if modules => (list.iter().next(), Some(numbers)),
            (Some(list), _) => (list.iter().next(), None),
            (None, Some(numbers)) => (None, Some(numbers)),
            (None, None) => return Vec::new(),
        };
        found.entry(key).or_default().push(place.cpu);
    }
    let mut cores: Vec<CpuList> =
        found.into_values().map(|cpus| cpus.into_iter().collect()).collect();
    let whole: u32 = cores.iter().map(CpuList::len).sum();
    if whole != online.len() {
        return Vec::new();
    }
    cores.sort_by_key(|core| core.iter().next());
    cores
}

/// The first of the siblings, and the numbers where there are no siblings or they are not enough.
type CoreKey = (Option<u32>, Option<(Option<[i64; 3]>, [i64; 3])>);

/// AMD's processors of 2011 to 2017 pair two cores into a module, which the kernel lists as if
/// they were threads of one; their core numbers differ.
fn modules(host: &dyn Host) -> bool {
    let cpuinfo = host.read("/proc/cpuinfo").unwrap_or_default();
    field(&cpuinfo, &["vendor_id"]).as_deref() == Some("AuthenticAMD")
        && field(&cpuinfo, &["cpu family"]).as_deref() == Some("21")
}

/// CPUs that are online, by the file that lists them or by their folders.
pub(super) fn online(host: &dyn Host) -> Option<CpuList> {
    if let Ok(list) = cpus(host, &format!("{CPUS}/online")) {
        return Some(list).filter(|list| !list.is_empty());
    }
    let folders = folders(host).into_iter();
    let online: CpuList = folders
        .filter(|cpu| value::<u32>(host, &format!("{CPUS}/cpu{cpu}/online")) != Ok(0))
        .collect();
    Some(online).filter(|list| !list.is_empty())
}

/// Those CPUs that have a folder: a list may name more than files were captured for.
pub(super) fn described(host: &dyn Host, online: &CpuList) -> CpuList {
    folders(host).into_iter().collect::<CpuList>().intersection(online)
}

fn folders(host: &dyn Host) -> Vec<u32> {
    let names = host.list(CPUS);
    names.iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok()).collect()
}
