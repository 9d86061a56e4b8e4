//! The processors: who made them, what they can do, how many there are.

use std::collections::BTreeSet;

use super::host::cpus;
use super::{Gaps, Host, Registers, Topology, clock, isa, kinds, names, topology, x86};
use crate::model::{Cpu, CpuList};

/// Everything about the processors but what this process may use of them.
pub(super) fn find(host: &dyn Host, topology: Option<&Topology>, gaps: &mut Gaps) -> Cpu {
    let cpuinfo = host.read("/proc/cpuinfo").unwrap_or_default();
    let registers = host.registers();
    let mut cpu = Cpu::default();
    name(&mut cpu, &cpuinfo, registers.as_ref(), gaps);
    count(host, &mut cpu, topology, &cpuinfo, gaps);
    let online = topology.map(|topology| topology.online.clone());
    let online = online.or_else(|| topology::online(host)).unwrap_or_default();
    clock::fill(host, &mut cpu, &online, (registers.as_ref(), &cpuinfo), gaps);
    cpu
}

fn name(cpu: &mut Cpu, cpuinfo: &str, registers: Option<&Registers>, gaps: &mut Gaps) {
    let names = names::find(cpuinfo);
    let vendor = registers
        .and_then(|registers| registers.vendor.clone())
        .or_else(|| names.vendor.clone())
        .or_else(|| field(cpuinfo, &["vendor_id"]));
    let model = registers
        .and_then(|registers| registers.model.clone())
        .or_else(|| names.model.clone())
        .or_else(|| field(cpuinfo, &["model name", "Model", "Hardware"]));
    cpu.vendor = gaps.or("cpu.vendor", vendor, "/proc/cpuinfo does not name it");
    cpu.model = gaps.or("cpu.model", model, "/proc/cpuinfo does not name it");
    let announced = isa::flags(cpuinfo)
        .or_else(|| registers.map(|found| found.flags.iter().cloned().collect::<BTreeSet<_>>()));
    if announced.is_none() {
        gaps.missing("cpu.isa", "/proc/cpuinfo does not list instruction sets");
    }
    let flags = announced.unwrap_or_default();
    cpu.isa = isa::words(&flags);
    let x86 = flags.contains("lm") || flags.contains("lahf_lm");
    let level = x86.then(|| isa::x86_level(&flags).to_owned());
    cpu.isa_level = gaps.or("cpu.isa_level", level, "levels are defined for x86-64 alone");
    let design = names.design.ok_or(());
    match design.or_else(|()| x86_design(cpu, cpuinfo, registers).map(str::to_owned)) {
        Ok(name) => cpu.microarchitecture = Some(name),
        Err(why) => gaps.missing("cpu.microarchitecture", why),
    }
}

fn x86_design(
    cpu: &Cpu,
    cpuinfo: &str,
    registers: Option<&Registers>,
) -> Result<&'static str, String> {
    let number = |key: &str| field(cpuinfo, &[key]).and_then(|text| text.parse::<u32>().ok());
    let (family, model) = registers
        .and_then(|registers| registers.family_and_model)
        .or_else(|| Some((number("cpu family")?, number("model")?)))
        .ok_or("neither a name nor a number in the table tells it")?;
    x86::design(cpu.vendor.as_deref(), (family, model, number("stepping")), &cpu.isa)
}

fn count(
    host: &dyn Host,
    cpu: &mut Cpu,
    topology: Option<&Topology>,
    cpuinfo: &str,
    gaps: &mut Gaps,
) {
    let described = u32::try_from(
        cpuinfo.lines().filter(|line| line.starts_with("processor") && line.contains(':')).count(),
    )
    .ok()
    .filter(|count| *count > 0);
    let online = topology.map(|topology| topology.online.len()).or(described).or(host.threads());
    cpu.threads_online = gaps.or("cpu.threads_online", online, "no file lists the CPUs");
    let present = cpus(host, "/sys/devices/system/cpu/present").ok().map(|list| list.len());
    let threads = present.filter(|count| *count >= online.unwrap_or(0)).or(online);
    cpu.threads = gaps.or("cpu.threads", threads, "no file lists the CPUs");
    let Some(topology) = topology else { return };
    cpu.packages = topology.packages;
    cpu.caches.clone_from(&topology.caches);
    cpu.cache_cpus.clone_from(&topology.last_caches);
    cpu.core_cpus.clone_from(&topology.cores);
    if topology.cores.is_empty() {
        return;
    }
    cpu.cores = u32::try_from(topology.cores.len()).ok();
    cpu.smt = topology.cores.iter().map(CpuList::len).max();
    cpu.kinds = kinds::find(host, &topology.cores, cpuinfo);
    // Older kernels count clusters of Arm cores as sockets; nobody sells cores of several kinds in
    // several sockets.
    if cpu.kinds.len() > 1 && field(cpuinfo, &["CPU implementer"]).is_some() {
        cpu.packages = cpu.packages.map(|_| 1);
    }
}

/// The first value of any of these keys in `/proc/cpuinfo`.
pub(super) fn field(cpuinfo: &str, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|wanted| {
        cpuinfo.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            let value = value.trim();
            (key.trim() == *wanted && !value.is_empty()).then(|| value.to_owned())
        })
    })
}
