//! Names of processors that have no CPUID: Arm's by the numbers in `/proc/cpuinfo`, POWER,
//! mainframes, RISC-V and `LoongArch` by what the kernel writes there.

use super::arm;
use super::cpu::field;

/// Mainframes by the number in `machine = 3906`.
const MAINFRAMES: &[(&str, &str)] = &[
    ("2817", "z196"),
    ("2818", "z114"),
    ("2827", "zEC12"),
    ("2828", "zBC12"),
    ("2964", "z13"),
    ("2965", "z13s"),
    ("3906", "z14"),
    ("3907", "z14 ZR1"),
    ("8561", "z15"),
    ("8562", "z15 T02"),
    ("3931", "z16"),
    ("3932", "z16 A02"),
    ("9175", "z17"),
];
/// Makers of RISC-V cores by the number in `mvendorid`, which is that of their JEDEC entry.
const RISCV: &[(&str, &str)] = &[
    ("0x489", "SiFive"),
    ("0x5b7", "T-Head"),
    ("0x710", "SpacemiT"),
    ("0x31e", "Andes"),
    ("0x61f", "Ventana"),
];
/// `LoongArch` designs by a part of the processor's name.
const LOONGSON: &[(&str, &str)] = &[
    ("5000", "LA464"),
    ("3C6000", "LA664"),
    ("3D6000", "LA664"),
    ("3A6000", "LA664"),
    ("2K2000", "LA364"),
    ("2K3000", "LA364E"),
];

/// What a processor is called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) vendor: Option<String>,
    pub(super) model: Option<String>,
    pub(super) design: Option<String>,
}

/// Names from `/proc/cpuinfo`; all `None` on x86.
pub(super) fn find(cpuinfo: &str) -> Names {
    let value = |key: &str| field(cpuinfo, &[key]);
    if value("CPU implementer").is_some() {
        return arm::names(cpuinfo);
    }
    if let Some(power) = value("cpu").filter(|name| name.starts_with("POWER")) {
        let name = power.split([' ', ',']).next().map(str::to_owned);
        return Names { vendor: Some("IBM".to_owned()), model: name.clone(), design: name };
    }
    if value("vendor_id").as_deref() == Some("IBM/S390") {
        return mainframe(cpuinfo);
    }
    if value("CPU Family").is_some_and(|family| family.starts_with("Loongson")) {
        let model = value("Model Name");
        let design =
            LOONGSON.iter().find(|(part, _)| model.as_deref().is_some_and(|m| m.contains(part)));
        let design = design.map(|(_, name)| (*name).to_owned());
        return Names { vendor: Some("Loongson".to_owned()), model, design };
    }
    if value("isa").is_some_and(|isa| isa.starts_with("rv")) {
        return riscv(cpuinfo);
    }
    Names::default()
}

fn mainframe(cpuinfo: &str) -> Names {
    let numbers = cpuinfo.lines().find_map(|line| line.split_once("machine = "));
    let number = numbers.map(|(_, number)| number.trim().to_owned());
    let number = number.or_else(|| field(cpuinfo, &["machine"]));
    let known = MAINFRAMES.iter().find(|(machine, _)| number.as_deref() == Some(machine));
    let design = known.map(|(_, name)| (*name).to_owned());
    let model = design.as_ref().map(|name| format!("IBM {name}"));
    Names { vendor: Some("IBM/S390".to_owned()), model: model.or(number), design }
}

/// `uarch: sifive,u74-mc`.
fn riscv(cpuinfo: &str) -> Names {
    let design = field(cpuinfo, &["uarch"]);
    let number = field(cpuinfo, &["mvendorid"]);
    let known = RISCV.iter().find(|(maker, _)| number.as_deref() == Some(maker));
    let maker = known.map(|(_, name)| (*name).to_owned());
    let maker = maker.or_else(|| design.as_ref()?.split(',').next().map(str::to_owned));
    Names {
        vendor: maker.or(number),
        model: field(cpuinfo, &["model name"]).or_else(|| design.clone()),
        design,
    }
}
