//! How the kernel sets clocks.

use std::collections::BTreeSet;

use super::keep;
use crate::detect::host::{cpus, line};
use crate::detect::topology::CPUS;
use crate::detect::{Host, Unread};
use crate::model::{Condition, CpuList};

/// Fills what the machine document does not say about clocks.
pub(super) fn fill(host: &dyn Host, found: &mut Condition) {
    let online = cpus(host, &format!("{CPUS}/online")).unwrap_or_default();
    let each = |file: &str| of_all(host, &online, file);
    let governors = each("scaling_available_governors").unwrap_or_default();
    let governors: BTreeSet<&str> =
        governors.iter().flat_map(|list| list.split_whitespace()).collect();
    found.clocks.governors = governors.into_iter().map(str::to_owned).collect();
    let unseen = &mut found.unseen;
    let drivers = keep(unseen, "clocks.drivers", each("scaling_driver"));
    found.clocks.drivers = drivers.unwrap_or_default();
    let wishes = keep(unseen, "clocks.energy_preferences", each("energy_performance_preference"));
    found.clocks.energy_preferences = wishes.unwrap_or_default();
    let mode = ["intel_pstate", "amd_pstate"]
        .iter()
        .find_map(|driver| line(host, &format!("{CPUS}/{driver}/status")).ok());
    let why = "neither intel_pstate nor amd_pstate sets the clocks";
    found.clocks.driver_mode = keep(unseen, "clocks.driver_mode", mode.ok_or(why));
}

/// What the file says for any CPU, each word once.
fn of_all(host: &dyn Host, online: &CpuList, file: &str) -> Result<Vec<String>, Unread> {
    let path = |cpu: u32| format!("{CPUS}/cpu{cpu}/cpufreq/{file}");
    let words: BTreeSet<String> =
        online.iter().filter_map(|cpu| line(host, &path(cpu)).ok()).collect();
    if words.is_empty() {
        let first = path(online.iter().next().unwrap_or(0));
        return Err(line(host, &first).err().unwrap_or(Unread::Absent(first)));
    }
    Ok(words.into_iter().collect())
}
