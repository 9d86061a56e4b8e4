//! The processors: who made them, what they can do, how many there are.

use std::collections::BTreeSet;

use super::host::cpus;
use super::{Gaps, Host, Registers, Topology, clock, isa, kinds, topology};
use crate::model::{Cpu, CpuList};

/// Intel family 6 by model number, AMD by family and first model of a range; from the vendors'
/// lists of processor signatures.
const INTEL: &[(&[u32], &str)] = &[
    (&[42, 45], "Sandy Bridge"),
    (&[58, 62], "Ivy Bridge"),
    (&[60, 63, 69, 70], "Haswell"),
    (&[61, 71, 79, 86], "Broadwell"),
    (&[78, 94], "Skylake"),
    (&[85], "Skylake-SP, Cascade Lake or Cooper Lake"),
    (&[142, 158], "Kaby Lake or Coffee Lake"),
    (&[165, 166], "Comet Lake"),
    (&[106, 108, 125, 126], "Ice Lake"),
    (&[140, 141], "Tiger Lake"),
    (&[167], "Rocket Lake"),
    (&[151, 154], "Alder Lake"),
    (&[183, 186, 191], "Raptor Lake"),
    (&[143], "Sapphire Rapids"),
    (&[207], "Emerald Rapids"),
    (&[173, 174], "Granite Rapids"),
    (&[175], "Sierra Forest"),
    (&[170, 172], "Meteor Lake"),
    (&[189], "Lunar Lake"),
    (&[197, 198], "Arrow Lake"),
    (&[204], "Panther Lake"),
];
/// Makers of Arm cores by the number in `CPU implementer`.
const ARM: &[(&str, &str)] = &[
    ("0x41", "ARM"),
    ("0x42", "Broadcom"),
    ("0x43", "Cavium"),
    ("0x46", "Fujitsu"),
    ("0x48", "HiSilicon"),
    ("0x4e", "NVIDIA"),
    ("0x51", "Qualcomm"),
    ("0x53", "Samsung"),
    ("0x61", "Apple"),
    ("0xc0", "Ampere"),
];

/// Everything about the processors but what this process may use of them.
pub(super) fn find(host: &dyn Host, topology: Option<&Topology>, gaps: &mut Gaps) -> Cpu {
    let cpuinfo = host.read("/proc/cpuinfo").unwrap_or_default();
    let registers = host.registers();
    let mut cpu = Cpu::default();
    name(&mut cpu, &cpuinfo, registers.as_ref(), gaps);
    count(host, &mut cpu, topology, &cpuinfo, gaps);
    let online = topology.map(|topology| topology.online.clone());
    let online = online.or_else(|| topology::online(host)).unwrap_or_default();
    clock::fill(host, &mut cpu, &online, registers.as_ref(), gaps);
    cpu
}

fn name(cpu: &mut Cpu, cpuinfo: &str, registers: Option<&Registers>, gaps: &mut Gaps) {
    let arm = field(cpuinfo, &["CPU implementer"]).map(|number| {
        let known = ARM.iter().find(|(implementer, _)| *implementer == number);
        known.map_or(number.clone(), |(_, name)| (*name).to_owned())
    });
    let vendor = registers
        .and_then(|registers| registers.vendor.clone())
        .or_else(|| field(cpuinfo, &["vendor_id"]))
        .or(arm);
    let model = registers
        .and_then(|registers| registers.model.clone())
        .or_else(|| field(cpuinfo, &["model name", "Model", "Hardware", "uarch"]));
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
    match microarchitecture(cpu, cpuinfo, registers) {
        Ok(name) => cpu.microarchitecture = Some(name.to_owned()),
        Err(why) => gaps.missing("cpu.microarchitecture", why),
    }
}

/// Virtual machines sometimes give the number of one processor and the instructions of another.
fn microarchitecture(
    cpu: &Cpu,
    cpuinfo: &str,
    registers: Option<&Registers>,
) -> Result<&'static str, String> {
    let number = |key: &str| field(cpuinfo, &[key]).and_then(|text| text.parse::<u32>().ok());
    let (family, model) = registers
        .and_then(|registers| registers.family_and_model)
        .or_else(|| Some((number("cpu family")?, number("model")?)))
        .ok_or("no family and model number to tell it by")?;
    let has = |word: &str| cpu.isa.iter().any(|name| name == word);
    let name = match cpu.vendor.as_deref() {
        Some("GenuineIntel") if family == 6 => {
            INTEL.iter().find(|(models, _)| models.contains(&model)).map(|(_, name)| *name)
        }
        Some("AuthenticAMD") => match (family, model) {
            (0x17, ..0x30) => Some("Zen or Zen+"),
            (0x17, _) => Some("Zen 2"),
            (0x19, ..0x10 | 0x20..0x60) => Some("Zen 3"),
            (0x19, _) => Some("Zen 4"),
            (0x1a, _) => Some("Zen 5"),
            _ => None,
        },
        _ => None,
    };
    let name = name.ok_or(format!("family {family}, model {model} is not in the table"))?;
    let rapids = ["Sapphire Rapids", "Emerald Rapids", "Granite Rapids"];
    if has("amx_tile") && !rapids.contains(&name) {
        return Err(format!("model {model} is {name}, but AMX is announced: the number is masked"));
    }
    Ok(name)
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
    cpu.kinds = kinds::find(host, &topology.cores);
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
