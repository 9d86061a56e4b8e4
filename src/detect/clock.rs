//! Clocks: base, highest, who chooses them, and whether turbo is allowed.

use std::collections::BTreeSet;

use super::cpu::field;
use super::host::{line, value};
use super::topology::{CPUS, described};
use super::{Gaps, Host, Registers, kinds};
use crate::model::{Cpu, CpuList, Turbo};

/// Fills the facts about clocks.
pub(super) fn fill(
    host: &dyn Host,
    cpu: &mut Cpu,
    online: &CpuList,
    (registers, cpuinfo): (Option<&Registers>, &str),
    gaps: &mut Gaps,
) {
    let online = described(host, online);
    let base = highest(host, &online, "cpufreq/base_frequency", 1000)
        .or_else(|| registers.and_then(|registers| registers.base_hz))
        .or_else(|| highest(host, &online, "acpi_cppc/nominal_freq", 1_000_000))
        .or_else(|| written(cpuinfo, cpu.model.as_deref()));
    let hidden = "neither the processor nor the kernel tells; virtual machines hide it";
    cpu.base_hz = gaps.or("cpu.base_hz", base, hidden);
    let max = kinds::max_hz(host, &online).or_else(|| megahertz(cpuinfo, "cpu MHz dynamic"));
    cpu.max_hz = gaps.or("cpu.max_hz", max, hidden);
    let file = |cpu: u32| format!("{CPUS}/cpu{cpu}/cpufreq/scaling_governor");
    let governors: BTreeSet<String> =
        online.iter().filter_map(|cpu| line(host, &file(cpu)).ok()).collect();
    let why = line(host, &file(online.iter().next().unwrap_or(0))).err();
    let governor = (!governors.is_empty()).then(|| governors.into_iter().collect::<Vec<_>>());
    let governor = governor.map(|names| names.join(", "));
    let why = why.map(|why| why.to_string()).unwrap_or_default();
    cpu.governor = gaps.or("cpu.governor", governor, why);
    cpu.turbo = gaps.or("cpu.turbo", turbo(host), "the kernel has no switch for it here");
}

/// The highest of all CPUs' values, in units of this many hertz.
fn highest(host: &dyn Host, online: &CpuList, file: &str, unit: u64) -> Option<u64> {
    let values = online.iter().filter_map(|cpu| {
        value::<u64>(host, &format!("{CPUS}/cpu{cpu}/{file}")).ok().filter(|value| *value > 0)
    });
    values.max().and_then(|value| value.checked_mul(unit))
}

/// The clock that a processor's name or the kernel's description of it promises: Intel writes its
/// base clock into the name, POWER and mainframes have a line for it.
fn written(cpuinfo: &str, model: Option<&str>) -> Option<u64> {
    let named = || {
        let (_, clock) = model?.rsplit_once("@ ")?;
        hertz(clock.trim().strip_suffix("GHz")?, 1e9)
    };
    let power = || hertz(field(cpuinfo, &["clock"])?.strip_suffix("MHz")?, 1e6);
    named().or_else(power).or_else(|| megahertz(cpuinfo, "cpu MHz static"))
}

fn megahertz(cpuinfo: &str, key: &str) -> Option<u64> {
    hertz(&field(cpuinfo, &[key])?, 1e6)
}

/// In whole megahertz, as such numbers are written.
fn hertz(text: &str, unit: f64) -> Option<u64> {
    let value: f64 = text.trim().parse().ok()?;
    let megahertz = (value * unit / 1e6).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1..1e6")]
    (1.0..1e6).contains(&megahertz).then(|| megahertz as u64 * 1_000_000)
}

/// `intel_pstate/no_turbo` says it upside down, `boost` straight, once or for each policy.
fn turbo(host: &dyn Host) -> Option<Turbo> {
    let switch = |path: &str, on: u32| {
        let state: u32 = value(host, path).ok()?;
        Some(if state == on { Turbo::On } else { Turbo::Off })
    };
    let folder = format!("{CPUS}/cpufreq");
    let policies = || {
        let names = host.list(&folder);
        let states = names.iter().filter(|name| name.starts_with("policy")).filter_map(|name| {
            let file = |switch: &str| format!("{folder}/{name}/{switch}");
            switch(&file("boost"), 1).or_else(|| switch(&file("cpb"), 1))
        });
        // One that may is enough to go above the base clock.
        states.max_by_key(|state| *state == Turbo::On)
    };
    switch(&format!("{CPUS}/intel_pstate/no_turbo"), 0)
        .or_else(|| switch(&format!("{folder}/boost"), 1))
        .or_else(policies)
}
