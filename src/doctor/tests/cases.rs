//! One fact spoiled, one finding; one fact almost spoiled, none.

use std::collections::BTreeSet;

use autotune_engine::api::{Bytes, Sum, VariantFault, VariantVerdict};

use super::room::{Room, card, cpus, kind, module, node, variant, words};
use crate::doctor::{CHECKS, TrialResult, trials};
use crate::model::{
    CheckOutcome, Cost, CounterUnit, KindName, PowerSource, StorageKind, Switch, ThrottleEvents,
    Turbo, UnusableIsa,
};

type Change = fn(&mut Room);

/// A check, what makes it find, a word of what it then says, and what just does not.
const CASES: &[(&str, Change, &str, Change)] = &[
    ("cpu-quota", |r| quota(r, 0.5, 1), "0.50", |r| quota(r, 8.0, 8)),
    ("cpu-quota", |r| r.machine.limits.usable_threads = Some(7), "7 may run", |_| {}),
    ("hybrid-threads", |r| hybrid(r, 8, "0-7"), "4 threads", |r| hybrid(r, 16, "0-15")),
    ("hybrid-threads", big_little, "slow cores", |r| r.machine.cpu.cores = Some(4)),
    (
        "smt-siblings",
        |r| r.condition.allowed_cores = Some(4),
        "share 4 cores",
        |r| {
            r.machine.cpu.smt = Some(1);
            r.condition.allowed_cores = Some(4);
        },
    ),
    ("isa-unusable", amx_dies, "amx-int8", |_| {}),
    ("engine-variant", |r| variants(r, true), "icelake", |r| variants(r, false)),
    ("governor", |r| governor(r, "schedutil"), "schedutil", |r| governor(r, "performance")),
    ("governor", |r| r.condition.clocks.driver_mode = None, "powersave", |_| {}),
    ("energy-preference", |r| wish(r, "balance_power"), "balance_power", |r| wish(r, "0")),
    ("turbo", |r| r.machine.cpu.turbo = Some(Turbo::Off), "switched off", |_| {}),
    ("throttled", |r| heat(r, 0), "since the system started", |_| {}),
    ("throttled", |r| heat(r, 2), "this moment", |_| {}),
    (
        "power-limited",
        |r| r.condition.power_caps[0].limit_microwatts = 1,
        "limited",
        |r| {
            r.condition.power_caps[0].limit_microwatts = 200_000_000;
        },
    ),
    ("battery", |r| discharging(r, 0), "battery", |r| discharging(r, 1)),
    ("low-power-mode", |r| profile(r, "low-power"), "low-power", |r| profile(r, "performance")),
    (
        "steal",
        |r| r.condition.stolen_share = Some(0.05),
        "5.0 %",
        |r| {
            r.condition.stolen_share = Some(0.005);
        },
    ),
    (
        "background-load",
        |r| r.condition.busy_processors = Some(1.25),
        "1.2 proc",
        |r| {
            r.condition.busy_processors = Some(0.49);
        },
    ),
    ("memory-short", |r| r.model = Some(card(100)), "100 GiB", |r| r.model = Some(card(80))),
    ("memory-short", |r| needs(r, 80, 20), "needs 100 GiB", |r| needs(r, 80, 1)),
    (
        "swap-in-use",
        |r| r.condition.swap_used_bytes = Some(Bytes(2 << 30)),
        "2.00 GiB",
        |r| {
            r.condition.swap_used_bytes = Some(Bytes(600 << 20));
        },
    ),
    (
        "swap-in-use",
        |r| r.condition.swapped_pages = Some(1),
        "now",
        |r| {
            r.machine.memory.swap_total_bytes = Some(Bytes(0));
            r.condition.swapped_pages = Some(1);
        },
    ),
    (
        "memory-channels",
        |r| r.machine.memory.slots = Some(8),
        "2 of 8",
        |r| {
            r.machine.memory.slots = Some(2);
        },
    ),
    ("memory-channels", |r| channels(r, 0), "CHANNEL B", |r| channels(r, 16)),
    (
        "memory-speed",
        |r| r.machine.memory.speed_mt_per_s = Some(4800),
        "4800",
        |r| {
            r.machine.memory.speed_mt_per_s = Some(5599);
        },
    ),
    ("transparent-huge-pages", |r| pages(r, "never"), "switched off", |r| pages(r, "always")),
    ("transparent-huge-pages", |r| pages(r, "madvise"), "ask", |_| {}),
    ("locked-memory", |r| lock(r, 8 << 20), "8.00 MiB", |r| lock(r, 64 << 20)),
    (
        "locked-memory",
        |r| {
            r.model = Some(card(8));
            lock(r, 4 << 30);
        },
        "4.00 GiB",
        |r| {
            lock(r, 0);
            r.condition.capabilities = Some(1 << 14);
        },
    ),
    ("single-node", two_nodes, "2 memory nodes", |_| {}),
    (
        "single-node",
        |r| {
            two_nodes(r);
            r.condition.allowed_cpus = Some(cpus("8-9"));
        },
        "node 1 of 2",
        |_| {},
    ),
    (
        "numa-balancing",
        |r| {
            two_nodes(r);
            r.condition.numa_balancing = Some(1);
        },
        "moves pages",
        |r| {
            two_nodes(r);
            r.condition.numa_balancing = Some(2);
        },
    ),
    ("container-limits", |r| memory_limit(r, 8), "8.00 GiB", |r| memory_limit(r, 32)),
    (
        "container-limits",
        |r| r.machine.limits.cpuset = Some(cpus("0-3")),
        "4 of 16",
        |r| {
            r.machine.limits.cpuset = Some(cpus("0-15"));
        },
    ),
    (
        "model-storage",
        |r| r.machine.storage.kind = Some(StorageKind::Network),
        "another",
        |r| {
            r.machine.storage.kind = Some(StorageKind::Network);
            r.model = Some(card(1));
            r.model_storage = Some(StorageKind::Ssd);
        },
    ),
    (
        "gpu-no-backend",
        |r| r.machine.gpus[0].backend = None,
        "595.1",
        |r| {
            r.machine.gpus[0].backend = None;
            r.machine.gpus[0].integrated = Some(true);
        },
    ),
    (
        "graph-splits",
        |r| {
            r.model = Some(card(1));
            r.trials = vec![TrialResult { check: "graph-splits", cost: Cost::Unknown }];
        },
        "attention",
        |r| r.model = Some(card(1)),
    ),
    (
        "gpu-memory-taken",
        |r| r.machine.gpus[0].free_bytes = Some(Bytes(20 << 30)),
        "4.00 GiB",
        |_| {},
    ),
    ("pcie-link", |r| link(r, 4), "4 of 16", |r| link(r, 16)),
    (
        "gpu-throttled",
        |r| {
            r.machine.gpus[0].throttle_reasons = Some(words(&["temperature"]));
        },
        "temperature",
        |r| r.machine.gpus[0].throttle_reasons = None,
    ),
    (
        "gpu-power-limit",
        |r| r.machine.gpus[0].power_limit_watts = Some(300.0),
        "300 W of 450 W",
        |r| {
            r.machine.gpus[0].power_limit_watts = Some(449.5);
        },
    ),
    (
        "gpu-persistence",
        |r| r.machine.gpus[0].persistence = Some(Switch::Off),
        "unloads",
        |r| {
            r.machine.gpus[0].persistence = Some(Switch::Off);
            r.machine.gpus[0].vendor = "AMD".to_owned();
        },
    ),
    (
        "perf-counters",
        |r| r.condition.perf_event_paranoid = Some(4),
        "locked",
        |r| {
            r.condition.perf_event_paranoid = Some(4);
            r.condition.counter_unit = Some(CounterUnit::Absent);
        },
    ),
];

fn quota(room: &mut Room, cores: f64, usable: u32) {
    room.machine.limits.cpu_quota_cores = Some(cores);
    room.machine.limits.usable_threads = Some(usable);
}

/// A model of that many GiB, and scratch and cache beside it.
fn needs(room: &mut Room, weights: u64, beside: u64) {
    let gib = |count: u64| Bytes(count << 30);
    room.model = Some(card(weights));
    room.need = Some(Sum { weights_bytes: gib(weights), kv_bytes: gib(beside), ..Sum::default() });
}

/// Eight fast cores with this many threads, and four slow ones.
fn hybrid(room: &mut Room, threads: u32, list: &str) {
    room.machine.cpu.kinds = vec![
        kind(KindName::Performance, 8, threads, list),
        kind(KindName::Efficiency, 4, 4, "20-23"),
    ];
}

fn big_little(room: &mut Room) {
    hybrid(room, 8, "0-7");
    room.machine.os.architecture = Some("aarch64".to_owned());
    room.machine.cpu.vendor = Some("ARM".to_owned());
}

fn amx_dies(room: &mut Room) {
    let (name, reason) = ("amx-int8".to_owned(), "SIGILL".to_owned());
    room.machine.cpu.isa_unusable = Some(vec![UnusableIsa { name, reason }]);
}

fn variants(room: &mut Room, announced: bool) {
    let failed =
        VariantVerdict::Failed { fault: VariantFault::default(), reason: "SIGILL".to_owned() };
    let first = if announced { failed } else { VariantVerdict::Unsupported };
    let variants =
        vec![variant("sapphirerapids", first), variant("icelake", VariantVerdict::Usable)];
    room.machine.engine.as_mut().unwrap().variants = variants;
}

fn governor(room: &mut Room, name: &str) {
    room.machine.cpu.governor = Some(name.to_owned());
}

fn wish(room: &mut Room, word: &str) {
    room.condition.clocks.energy_preferences = words(&[word]);
}

fn heat(room: &mut Room, now: u64) {
    room.condition.throttled = Some(ThrottleEvents { core: 3, package: 0, now });
}

fn discharging(room: &mut Room, plugged: u32) {
    room.condition.power_sources[0].status = Some("Discharging".to_owned());
    room.condition.power_sources.push(PowerSource {
        name: "AC".to_owned(),
        kind: "Mains".to_owned(),
        status: None,
        online: Some(plugged),
    });
}

fn profile(room: &mut Room, name: &str) {
    room.condition.platform_profile = Some(name.to_owned());
}

fn channels(room: &mut Room, second: u64) {
    room.machine.memory.modules =
        vec![module("ChannelA-DIMM0", 16), module("ChannelB-DIMM0", second)];
}

fn pages(room: &mut Room, mode: &str) {
    room.machine.memory.transparent_huge_pages = Some(mode.to_owned());
}

fn lock(room: &mut Room, bytes: u64) {
    room.machine.limits.locked_memory_bytes = Some(Bytes(bytes));
}

fn two_nodes(room: &mut Room) {
    room.machine.numa.nodes = vec![node(0, "0-7"), node(1, "8-15")];
}

fn memory_limit(room: &mut Room, gib: u64) {
    room.machine.limits.memory_limit_bytes = Some(Bytes(gib << 30));
}

fn link(room: &mut Room, width: u32) {
    room.machine.gpus[0].pcie.as_mut().unwrap().width = Some(width);
}

#[test]
fn a_healthy_machine_has_no_findings_and_every_check_is_listed() {
    let diagnosis = Room::healthy().examine();
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.checked.len(), CHECKS.len());
    let unseen: Vec<_> = diagnosis
        .checked
        .iter()
        .filter(|checked| matches!(checked.outcome, CheckOutcome::Unseen { .. }))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn one_fact_decides_each_check() {
    for (index, (check, spoil, word, almost)) in CASES.iter().enumerate() {
        let room = Room::with(spoil);
        let finding = room.finding(check).unwrap_or_else(|| panic!("{check}, case {index}"));
        assert!(finding.what.contains(word), "{check}, case {index}: {}", finding.what);
        assert!(!finding.evidence.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
        let sudo = finding.remedy.iter().any(|line| line.contains("sudo "));
        assert!(finding.needs_root || !sudo, "{check}: root is asked for unannounced");
        assert_eq!(room.outcome(check), CheckOutcome::Found);
        let room = Room::with(almost);
        assert_eq!(room.finding(check), None, "{check}, case {index}");
    }
    let covered: BTreeSet<&str> = CASES.iter().map(|(check, ..)| *check).collect();
    let all: BTreeSet<&str> = CHECKS.iter().map(|check| check.id()).collect();
    assert_eq!(covered, all, "a check without a case, or a case without a check");
}

#[test]
fn a_public_figure_is_given_for_its_own_fault_alone() {
    let published = |change: Change, check: &str| {
        matches!(Room::with(change).finding(check).unwrap().cost, Cost::Published { .. })
    };
    assert!(published(|r| quota(r, 0.5, 1), "cpu-quota"));
    assert!(!published(|r| r.machine.limits.usable_threads = Some(7), "cpu-quota"));
    assert!(published(two_nodes, "single-node"));
    assert!(!published(big_little, "hybrid-threads"));
}

#[test]
fn a_quota_is_tried_with_the_threads_that_it_carries_whole() {
    for (cores, usable, wanted) in [(2.5, 3, 2), (3.0, 3, 3), (0.5, 1, 1)] {
        let room = Room::with(|room| quota(room, cores, usable));
        let found = trials(&room.machine, &room.condition);
        let trial = found.iter().find(|trial| trial.check == "cpu-quota").unwrap();
        assert_eq!(trial.after, wanted, "{cores}");
        let remedy = room.finding("cpu-quota").unwrap().remedy.concat();
        assert!(remedy.contains(&format!("--threads {wanted} ")), "{remedy}");
    }
}

#[test]
fn splits_of_a_graph_are_unseen_until_something_ran_on_the_card() {
    let room = Room::with(|room| room.model = Some(card(1)));
    let outcome = room.outcome("graph-splits");
    assert!(matches!(outcome, CheckOutcome::Unseen { .. }), "{outcome:?}");
}

#[test]
fn the_mask_of_a_hybrid_has_one_bit_for_each_fast_core() {
    let remedy = |threads: u32, list: &str| {
        let room = Room::with(|room| {
            hybrid(room, threads, list);
            room.machine.cpu.vendor = None;
        });
        room.finding("hybrid-threads").unwrap().remedy.concat()
    };
    assert!(remedy(16, "0-15").contains("--cpu-mask 0x5555 "));
    assert!(remedy(8, "0-7").contains("--cpu-mask 0xff "));
    assert!(remedy(8, "0-1,10-13,18-19").contains("--cpu-mask 0xc3c03 "));
}
