//! Clocks: base, highest, who chooses them, and whether turbo is allowed.

use std::collections::BTreeSet;

use super::host::{line, value};
use super::{Gaps, Host, Registers, kinds};
use crate::model::{Cpu, CpuList, Turbo};

/// Fills the facts about clocks.
pub(super) fn fill(
    host: &dyn Host,
    cpu: &mut Cpu,
    online: &CpuList,
    registers: Option<&Registers>,
    gaps: &mut Gaps,
) {
    let policy = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let why = line(host, policy).err().map(|why| why.to_string()).unwrap_or_default();
    let base = online
        .iter()
        .filter_map(|cpu| {
            value::<u64>(host, &format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/base_frequency"))
                .ok()
        })
        .max();
    let base = base
        .and_then(|khz| khz.checked_mul(1000))
        .or_else(|| registers.and_then(|registers| registers.base_hz));
    let hidden = "neither the processor nor the kernel tells; virtual machines hide it";
    cpu.base_hz = gaps.or("cpu.base_hz", base, hidden);
    cpu.max_hz = gaps.or("cpu.max_hz", kinds::max_hz(host, online), hidden);
    let governors: BTreeSet<String> = online
        .iter()
        .filter_map(|cpu| {
            line(host, &format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")).ok()
        })
        .collect();
    let governor = (!governors.is_empty()).then(|| governors.into_iter().collect::<Vec<_>>());
    let governor = governor.map(|names| names.join(", "));
    cpu.governor = gaps.or("cpu.governor", governor, &why);
    cpu.turbo = gaps.or("cpu.turbo", turbo(host), "the kernel has no switch for it here");
}

/// `intel_pstate/no_turbo` says it upside down, `cpufreq/boost` straight.
fn turbo(host: &dyn Host) -> Option<Turbo> {
    let switch = |path: &str, on: u32| {
        let state: u32 = value(host, path).ok()?;
        Some(if state == on { Turbo::On } else { Turbo::Off })
    };
    switch("/sys/devices/system/cpu/intel_pstate/no_turbo", 0)
        .or_else(|| switch("/sys/devices/system/cpu/cpufreq/boost", 1))
}
