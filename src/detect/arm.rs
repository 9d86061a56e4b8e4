//! Names of Arm cores by the numbers in `/proc/cpuinfo`.

use super::cpu::field;
use super::names::Names;

/// A design of Arm cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Design {
    implementer: u32,
    part: u32,
    pub(super) name: &'static str,
    /// Made to be paired with larger ones.
    pub(super) small: bool,
}

const fn large(implementer: u32, part: u32, name: &'static str) -> Design {
    Design { implementer, part, name, small: false }
}

const fn small(implementer: u32, part: u32, name: &'static str) -> Design {
    Design { implementer, part, name, small: true }
}

/// Makers of Arm cores by the number in `CPU implementer`.
const MAKERS: &[(u32, &str)] = &[
    (0x41, "ARM"),
    (0x42, "Broadcom"),
    (0x43, "Cavium"),
    (0x46, "Fujitsu"),
    (0x48, "HiSilicon"),
    (0x4e, "NVIDIA"),
    (0x50, "APM"),
    (0x51, "Qualcomm"),
    (0x53, "Samsung"),
    (0x56, "Marvell"),
    (0x61, "Apple"),
    (0x6d, "Microsoft"),
    (0x70, "Phytium"),
    (0xc0, "Ampere"),
];

/// Designs by maker and part, from the makers' manuals and Linux's list.
const DESIGNS: &[Design] = &[
    small(0x41, 0xc07, "Cortex-A7"),
    large(0x41, 0xc09, "Cortex-A9"),
    large(0x41, 0xc0f, "Cortex-A15"),
    small(0x41, 0xd02, "Cortex-A34"),
    small(0x41, 0xd03, "Cortex-A53"),
    small(0x41, 0xd04, "Cortex-A35"),
    small(0x41, 0xd05, "Cortex-A55"),
    large(0x41, 0xd06, "Cortex-A65"),
    large(0x41, 0xd07, "Cortex-A57"),
    large(0x41, 0xd08, "Cortex-A72"),
    large(0x41, 0xd09, "Cortex-A73"),
    large(0x41, 0xd0a, "Cortex-A75"),
    large(0x41, 0xd0b, "Cortex-A76"),
    large(0x41, 0xd0c, "Neoverse-N1"),
    large(0x41, 0xd0d, "Cortex-A77"),
    large(0x41, 0xd0e, "Cortex-A76AE"),
    large(0x41, 0xd40, "Neoverse-V1"),
    large(0x41, 0xd41, "Cortex-A78"),
    large(0x41, 0xd42, "Cortex-A78AE"),
    large(0x41, 0xd44, "Cortex-X1"),
    small(0x41, 0xd46, "Cortex-A510"),
    large(0x41, 0xd47, "Cortex-A710"),
    large(0x41, 0xd48, "Cortex-X2"),
    large(0x41, 0xd49, "Neoverse-N2"),
    large(0x41, 0xd4a, "Neoverse-E1"),
    large(0x41, 0xd4b, "Cortex-A78C"),
    large(0x41, 0xd4c, "Cortex-X1C"),
    large(0x41, 0xd4d, "Cortex-A715"),
    large(0x41, 0xd4e, "Cortex-X3"),
    large(0x41, 0xd4f, "Neoverse-V2"),
    small(0x41, 0xd80, "Cortex-A520"),
    large(0x41, 0xd81, "Cortex-A720"),
    large(0x41, 0xd82, "Cortex-X4"),
    large(0x41, 0xd83, "Neoverse-V3AE"),
    large(0x41, 0xd84, "Neoverse-V3"),
    large(0x41, 0xd85, "Cortex-X925"),
    large(0x41, 0xd87, "Cortex-A725"),
    small(0x41, 0xd88, "Cortex-A520AE"),
    large(0x41, 0xd89, "Cortex-A720AE"),
    large(0x41, 0xd8e, "Neoverse-N3"),
    large(0x42, 0x516, "ThunderX2"),
    large(0x43, 0x0a1, "ThunderX"),
    large(0x43, 0x0af, "ThunderX2"),
    large(0x43, 0x0b8, "ThunderX3"),
    large(0x46, 0x001, "A64FX"),
    large(0x46, 0x003, "Monaka"),
    large(0x48, 0xd01, "TaiShan v110 (Kunpeng 920)"),
    large(0x48, 0xd02, "TaiShan v120"),
    large(0x48, 0xd40, "Cortex-A76"),
    large(0x4e, 0x003, "Denver 2"),
    large(0x4e, 0x004, "Carmel"),
    large(0x4e, 0x010, "Olympus"),
    large(0x51, 0x001, "Oryon"),
    large(0x51, 0x800, "Kryo 2xx Gold"),
    small(0x51, 0x801, "Kryo 2xx Silver"),
    large(0x51, 0x802, "Kryo 3xx Gold"),
    small(0x51, 0x803, "Kryo 3xx Silver"),
    large(0x51, 0x804, "Kryo 4xx Gold"),
    small(0x51, 0x805, "Kryo 4xx Silver"),
    large(0x51, 0xc00, "Falkor"),
    small(0x61, 0x022, "Icestorm"),
    large(0x61, 0x023, "Firestorm"),
    small(0x61, 0x024, "Icestorm"),
    large(0x61, 0x025, "Firestorm"),
    small(0x61, 0x028, "Icestorm"),
    large(0x61, 0x029, "Firestorm"),
    small(0x61, 0x032, "Blizzard"),
    large(0x61, 0x033, "Avalanche"),
    small(0x61, 0x034, "Blizzard"),
    large(0x61, 0x035, "Avalanche"),
    small(0x61, 0x038, "Blizzard"),
    large(0x61, 0x039, "Avalanche"),
    large(0x6d, 0xd49, "Cobalt 100 (Neoverse-N2)"),
    large(0x70, 0x660, "FTC660"),
    large(0x70, 0x661, "FTC661"),
    large(0x70, 0x662, "FTC662"),
    large(0x70, 0x663, "FTC663"),
    large(0x70, 0x862, "FTC862"),
    large(0xc0, 0xac3, "Ampere-1"),
    large(0xc0, 0xac4, "Ampere-1a"),
    large(0xc0, 0xac5, "Ampere-1b"),
];

/// One CPU of an Arm system; the design is `None` where it is not in the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Core {
    pub(super) cpu: u32,
    pub(super) design: Option<Design>,
}

/// Names of all designs in it, in the order in which they come.
pub(super) fn names(cpuinfo: &str) -> Names {
    let number = field(cpuinfo, &["CPU implementer"]);
    let known = number.as_deref().and_then(hexadecimal);
    let maker = MAKERS.iter().find(|(implementer, _)| Some(*implementer) == known);
    let mut names: Vec<&str> = Vec::new();
    for core in cores(cpuinfo) {
        match core.design {
            Some(design) if !names.contains(&design.name) => names.push(design.name),
            Some(_) => {}
            None => {
                names.clear();
                break;
            }
        }
    }
    let design = (!names.is_empty()).then(|| names.join(" + "));
    Names {
        vendor: maker.map(|(_, name)| (*name).to_owned()).or(number),
        model: field(cpuinfo, &["model name", "Hardware"]).or_else(|| design.clone()),
        design,
    }
}

/// All CPUs that an Arm system's `/proc/cpuinfo` describes.
pub(super) fn cores(cpuinfo: &str) -> Vec<Core> {
    let mut cores = Vec::new();
    let (mut cpu, mut implementer) = (None, None);
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "processor" => cpu = value.trim().parse().ok(),
            "CPU implementer" => implementer = hexadecimal(value.trim()),
            "CPU part" => {
                let part = hexadecimal(value.trim());
                let is = |design: &&Design| {
                    Some(design.implementer) == implementer && Some(design.part) == part
                };
                let design = DESIGNS.iter().find(is).copied();
                cores.extend(cpu.map(|cpu| Core { cpu, design }));
            }
            _ => {}
        }
    }
    cores
}

/// Whether a set of performance counters is that of cores made to be small: `armv8_cortex_a53`,
/// `apple_icestorm_pmu`.
pub(super) fn small_counters(name: &str) -> bool {
    let name = name.replace('_', "-");
    DESIGNS.iter().filter(|design| design.small).any(|design| {
        name.split_once(&design.name.to_lowercase())
            .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_small_cores_are_told_from_those_of_large_ones() {
        for small in
            ["armv8_cortex_a53", "armv8_cortex_a510", "armv9_cortex_a520", "apple_icestorm_pmu"]
        {
            assert!(small_counters(small), "{small}");
        }
        for large in
            ["armv8_cortex_a76", "armv8_cortex_a720", "apple_firestorm_pmu", "cpu", "arm_dsu_0"]
        {
            assert!(!small_counters(large), "{large}");
        }
    }

    #[test]
    fn no_design_is_named_twice_by_its_numbers() {
        for (index, design) in DESIGNS.iter().enumerate() {
            let same = |other: &Design| {
                (other.implementer, other.part) == (design.implementer, design.part)
            };
            assert!(!DESIGNS[..index].iter().any(same), "{}", design.name);
        }
    }
}
