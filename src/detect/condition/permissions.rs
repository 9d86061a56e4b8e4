//! Where this process may run and what it may look at.

use std::collections::BTreeSet;

use super::keep;
use crate::detect::host::{cpus, value};
use crate::detect::topology::CPUS;
use crate::detect::{Host, Unread};
use crate::model::{Condition, CounterUnit, CpuList};

const STATUS: &str = "/proc/self/status";
const COUNTERS: &str = "/sys/bus/event_source/devices";

/// Fills what the kernel lets this process do.
pub(super) fn fill(host: &dyn Host, found: &mut Condition) {
    let text = host.read(STATUS);
    let list = |key: &str| text.clone().and_then(|text| list(&text, key));
    let unseen = &mut found.unseen;
    let allowed = keep(unseen, "allowed_cpus", list("Cpus_allowed_list:"));
    let online = cpus(host, &format!("{CPUS}/online"));
    found.allowed_cpus = allowed.map(|allowed| match &online {
        Ok(online) => allowed.intersection(online),
        Err(_) => allowed,
    });
    found.allowed_cores = found.allowed_cpus.as_ref().and_then(|allowed| cores(host, allowed));
    if found.allowed_cores.is_none() {
        let why = "the kernel does not tell which CPUs are threads of one core";
        unseen.insert("allowed_cores".to_owned(), why.to_owned());
    }
    found.allowed_nodes = keep(unseen, "allowed_nodes", list("Mems_allowed_list:"));
    let bits = text.and_then(|text| {
        let word = field(&text, "CapEff:")?;
        u64::from_str_radix(word, 16).map_err(|_| Unread::strange(STATUS, word))
    });
    found.capabilities = keep(unseen, "capabilities", bits);
    let paranoid = value(host, "/proc/sys/kernel/perf_event_paranoid");
    found.perf_event_paranoid = keep(unseen, "perf_event_paranoid", paranoid);
    found.counter_unit = keep(unseen, "counter_unit", counters(host));
}

fn field<'a>(text: &'a str, key: &str) -> Result<&'a str, Unread> {
    let found = text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    found.ok_or_else(|| Unread::strange(STATUS, &format!("no {key}")))
}

fn list(text: &str, key: &str) -> Result<CpuList, Unread> {
    let word = field(text, key)?;
    let list: CpuList = word.parse().map_err(|_| Unread::strange(STATUS, word))?;
    if list.is_empty() { Err(Unread::strange(STATUS, word)) } else { Ok(list) }
}

/// Physical cores among these CPUs, each known by its list of threads.
fn cores(host: &dyn Host, allowed: &CpuList) -> Option<u32> {
    let threads = |cpu: u32| {
        let folder = format!("{CPUS}/cpu{cpu}/topology");
        cpus(host, &format!("{folder}/core_cpus_list"))
            .or_else(|_| cpus(host, &format!("{folder}/thread_siblings_list")))
    };
    let cores: Result<BTreeSet<String>, Unread> =
        allowed.iter().map(|cpu| threads(cpu).map(|list| list.to_string())).collect();
    u32::try_from(cores.ok()?.len()).ok().filter(|count| *count > 0)
}

/// Units of the processor's cores: `cpu`, one for each kind of core, and on Arm the design's name.
fn counters(host: &dyn Host) -> Result<CounterUnit, String> {
    let units = host.list(COUNTERS);
    if units.is_empty() {
        return Err(format!("{COUNTERS} lists nothing"));
    }
    let of_cores = |name: &String| {
        matches!(name.as_str(), "cpu" | "cpu_core" | "cpu_atom")
            || ["armv7_", "armv8_", "armv9_", "apple_"].iter().any(|start| name.starts_with(start))
    };
    Ok(if units.iter().any(of_cores) { CounterUnit::Present } else { CounterUnit::Absent })
}
