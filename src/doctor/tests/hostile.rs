//! Facts that no sane machine has.

use autotune_engine::api::{Bytes, VariantVerdict};
use proptest::prelude::*;

use super::room::{Room, card, cpus, kind, module, node, variant};
use crate::detect::GpuProcess;
use crate::doctor::{CHECKS, Subject, examine};
use crate::model::{
    CheckOutcome, Condition, KindName, Machine, Pcie, PowerCap, PowerSource, ThrottleEvents,
};

#[test]
fn a_machine_of_which_nothing_is_known_has_no_findings_and_says_so() {
    let diagnosis = examine(&Subject {
        machine: &Machine::default(),
        condition: &Condition::default(),
        model: None,
        need: None,
        model_storage: None,
        gpu_memory: &[],
        trials: &[],
    });
    assert_eq!(diagnosis.findings, []);
    for checked in &diagnosis.checked {
        match &checked.outcome {
            CheckOutcome::Unseen { reason } | CheckOutcome::NotApplicable { reason } => {
                assert!(!reason.is_empty(), "{}", checked.check);
            }
            // Without a limit in sight there is none.
            other => assert!(checked.check == "locked-memory", "{}: {other:?}", checked.check),
        }
    }
}

/// Every number of a machine is this one.
fn flooded(number: u64, share: f64, word: &str) -> Room {
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    Room::with(|room| {
        let machine = &mut room.machine;
        machine.cpu.cores = Some(small);
        machine.cpu.smt = Some(small);
        machine.cpu.governor = Some(word.to_owned());
        machine.cpu.kinds = vec![
            kind(KindName::Performance, small, small, "0-3,8191"),
            kind(KindName::Efficiency, small, small, ""),
            kind(KindName::LowPower, small, small, ""),
        ];
        machine.numa.nodes = vec![node(small, "0-3"), node(0, "4-7")];
        machine.memory.total_bytes = Some(Bytes(number));
        machine.memory.available_bytes = Some(Bytes(number));
        machine.memory.transparent_huge_pages = Some(word.to_owned());
        machine.memory.slots = Some(small);
        machine.memory.speed_mt_per_s = Some(small);
        let mut strange = module(word, 1);
        strange.size_bytes = Some(Bytes(number));
        machine.memory.modules = vec![strange.clone(), module("CHANNEL", 1), strange];
        machine.limits.cpu_quota_cores = Some(share);
        machine.limits.memory_limit_bytes = Some(Bytes(number));
        machine.limits.locked_memory_bytes = Some(Bytes(number));
        machine.limits.cpuset = Some(cpus("8191"));
        let gpu = &mut machine.gpus[0];
        gpu.free_bytes = Some(Bytes(number));
        gpu.power_limit_watts = Some(share);
        gpu.pcie = Some(Pcie { width: Some(small), max_width: Some(1), ..Pcie::default() });
        machine.engine.as_mut().unwrap().variants =
            vec![variant(word, VariantVerdict::Unsupported)];
        let twin = machine.gpus[0].clone();
        machine.gpus.push(twin);
        flood(&mut room.condition, number, share, word);
        room.model = Some(card(1));
        room.model.as_mut().unwrap().file_bytes = Bytes(number);
        let holder = GpuProcess {
            card: small,
            pci_address: Some(word.to_owned()),
            pid: small,
            name: None,
            memory_bytes: Some(Bytes(number)),
        };
        room.gpu_memory = vec![holder.clone(), holder];
    })
}

fn flood(condition: &mut Condition, number: u64, share: f64, word: &str) {
    condition.busy_processors = Some(share);
    condition.stolen_share = Some(share);
    condition.processor_pressure = Some(share);
    condition.throttled = Some(ThrottleEvents { core: number, package: number, now: number });
    let word = word.to_owned();
    condition.power_caps =
        vec![PowerCap { zone: word.clone(), maximum_microwatts: number, ..PowerCap::default() }];
    condition.swap_used_bytes = Some(Bytes(number));
    condition.swapped_pages = Some(number);
    condition.capabilities = Some(number);
    condition.platform_profile = Some(word.clone());
    condition.power_sources =
        vec![PowerSource { name: word.clone(), kind: "Battery".to_owned(), ..Default::default() }];
    condition.clocks.energy_preferences = vec![word];
}

proptest! {
    #[test]
    fn no_facts_make_a_check_panic(number: u64, share: f64, word in ".{0,20}") {
        let diagnosis = flooded(number, share, &word).examine();
        prop_assert_eq!(diagnosis.checked.len(), CHECKS.len());
    }
}

#[test]
fn the_ends_of_the_numbers_make_no_check_panic() {
    for (number, share) in
        [(0, 0.0), (u64::MAX, f64::NAN), (u64::MAX, f64::INFINITY), (1, -1.0), (u64::MAX, f64::MIN)]
    {
        assert_eq!(flooded(number, share, "").examine().checked.len(), CHECKS.len());
    }
}
