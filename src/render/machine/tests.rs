use autotune_engine::api::{Bytes, DeviceKind, DeviceReport};
use proptest::prelude::*;

use super::*;
use crate::model::{
    Ceilings, CpuList, Gpu, GpuClocks, Interval, MigInstance, Node, NodeKind, Pcie, Peak, Switch,
    UnusableIsa,
};

fn plain(machine: &Machine) -> String {
    anstream::adapter::strip_str(&text(machine, Unseen::Counted, Peaks::Best)).to_string()
}

#[test]
fn a_hostile_name_steers_neither_terminal_nor_table() {
    let mut machine = Machine::default();
    machine.cpu.model = Some("x\u{1b}[2J\n|evil| <b>".to_owned());
    machine.gpus = vec![Gpu { name: Some("\u{7}ca\u{202e}rd".to_owned()), ..Gpu::default() }];
    machine.unseen.insert("os.name".to_owned(), "\u{1b}]0;title".to_owned());
    machine.unseen.insert("o\u{1b}s".to_owned(), "path".to_owned());
    let printed = plain(&machine);
    assert!(printed.contains("x\u{fffd}[2J\u{fffd}|evil| <b>"), "{printed}");
    assert!(!printed.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'));
    assert!(markdown(&machine).contains("\\|evil\\| \\<b\\>"));
}

#[test]
fn missing_facts_are_counted_or_listed_by_reason() {
    let mut machine = Machine::default();
    for path in ["memory.channels", "memory.kind", "gpus.0.mig"] {
        machine.unseen.insert(path.to_owned(), "hidden".to_owned());
    }
    machine.unseen.insert("engine".to_owned(), "the engine was not asked".to_owned());
    let listed = text(&machine, Unseen::Listed, Peaks::Every);
    assert!(listed.contains("gpus.0.mig, memory.channels, memory.kind: hidden"), "{listed}");
    let counted = plain(&machine);
    assert!(counted.contains("3 facts"), "{counted}");
    assert!(counted.contains("memory channels, memory kind, 1 of the cards"), "{counted}");
    assert!(!counted.contains("hidden"));
}

#[test]
fn what_keeps_threads_from_running_is_said() {
    let mut machine = Machine::default();
    machine.cpu.threads_online = Some(96);
    machine.limits.usable_threads = Some(2);
    machine.limits.cpu_quota_cores = Some(1.5);
    machine.limits.cgroup_version = Some(2);
    assert!(plain(&machine).contains("2 of 96 threads: quota of 1.5 CPUs (cgroup v2)"));
    machine.limits.cpu_quota_cores = None;
    machine.limits.cpuset = Some("0-1".parse().unwrap());
    assert!(plain(&machine).contains("2 of 96 threads: CPU set 0-1"));
}

#[test]
fn what_is_announced_and_dies_is_not_among_what_works() {
    let mut machine = Machine::default();
    machine.cpu.isa_level = Some("x86-64-v3".to_owned());
    machine.cpu.isa = ["avx", "avx2", "amx_int8", "avx_vnni"].map(str::to_owned).to_vec();
    machine.cpu.isa_unusable = Some(vec![UnusableIsa {
        name: "amx_int8".to_owned(),
        reason: "its self-test died of signal 4".to_owned(),
    }]);
    let printed = plain(&machine);
    assert!(printed.contains("x86-64-v3 + avx_vnni\n"), "{printed}");
    assert!(printed.contains("amx_int8 announced, not usable: its self-test died"), "{printed}");
}

/// Eight nodes, two cards, peaks, and everything else that takes room.
fn large() -> Machine {
    let mut machine = Machine::default();
    machine.cpu.model = Some("AMD EPYC 9654 96-Core Processor".to_owned());
    machine.numa.nodes = (0..8)
        .map(|id| Node {
            id,
            memory_bytes: Some(Bytes(96 << 30)),
            free_bytes: Some(Bytes(90 << 30)),
            cpus: format!("{}-{},{}-{}", id * 24, id * 24 + 23, 192 + id * 24, 215 + id * 24)
                .parse::<CpuList>()
                .unwrap(),
            kind: Some(if id == 7 { NodeKind::Hbm } else { NodeKind::Dram }),
            huge_pages: Vec::new(),
        })
        .collect();
    let card = Gpu {
        vendor: "NVIDIA".to_owned(),
        name: Some("NVIDIA H100 80GB HBM3".to_owned()),
        memory_bytes: Some(Bytes(80 << 30)),
        free_bytes: Some(Bytes(79 << 30)),
        pcie: Some(Pcie {
            generation: Some(1),
            width: Some(8),
            max_generation: Some(5),
            max_width: Some(16),
        }),
        power_limit_watts: Some(500.0),
        default_power_limit_watts: Some(700.0),
        clocks: GpuClocks { max_graphics_hz: Some(1_980_000_000), ..GpuClocks::default() },
        throttle_reasons: Some(vec!["power limit".to_owned()]),
        persistence: Some(Switch::Off),
        mig: Some(Switch::On),
        mig_instances: vec![MigInstance::default(); 2],
        ..Gpu::default()
    };
    machine.gpus = vec![card.clone(), Gpu { integrated: Some(true), ..card }];
    let rate = Interval { value: 4.2e11, low: 4.1e11, high: 4.3e11 };
    let peak = Peak { threads: 192, rate, ..Peak::default() };
    machine.ceilings =
        Some(Ceilings { read_bandwidth_bytes_per_s: vec![peak], ..Ceilings::default() });
    machine
}

#[test]
fn a_large_machine_fits_on_a_screen_and_tells_what_bounds_it() {
    let mut machine = large();
    machine.devices = Some(vec![DeviceReport {
        name: "CUDA0".to_owned(),
        description: String::new(),
        kind: DeviceKind::Gpu,
        backend: "CUDA".to_owned(),
        memory_bytes: None,
        free_bytes: None,
        pci_address: None,
    }]);
    let printed = plain(&machine);
    for words in [
        "420 GB/s ±2 % read",
        "PCIe 1 ×8 now (can PCIe 5 ×16)",
        "500 W (made for 700)",
        "slowed by power limit",
        "cut into 2 MIG instances",
        "no backend drives it",
        "shares 80.0 GiB of the system's memory",
        "CUDA0 (CUDA)",
    ] {
        let flat = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words} is not in\n{printed}");
    }
    assert!(printed.lines().count() <= 30, "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= WIDTH), "{printed}");
}

proptest! {
    #[test]
    fn no_line_is_wider_than_a_terminal(
        model in "\\PC{0,200}", words in "[a-z ]{0,300}", card in "\\PC{0,120}"
    ) {
        let mut machine = large();
        machine.cpu.model = Some(model.clone());
        machine.recommendation.advice = Some(words);
        machine.gpus[0].name = Some(card);
        machine.unseen.insert(model.clone(), model);
        for (unseen, peaks) in [(Unseen::Counted, Peaks::Best), (Unseen::Listed, Peaks::Every)] {
            let printed = text(&machine, unseen, peaks);
            let printed = anstream::adapter::strip_str(&printed).to_string();
            for line in printed.lines() {
                prop_assert!(line.chars().count() <= WIDTH, "{}", line);
            }
        }
    }
}
