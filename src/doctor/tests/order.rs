//! What a trial here showed decides the place of a finding.

use autotune_engine::api::Bytes;

use super::room::{Room, node};
use crate::doctor::TrialResult;
use crate::model::{Cost, Provenance, Turbo};
use crate::stats::{Change, Estimate, Separation};

fn tried(check: &'static str, ratio: f64, separation: Separation) -> TrialResult {
    let speed_ratio =
        Estimate { value: ratio, low: Some(ratio), high: Some(ratio), confidence: 0.95, n: 5 };
    TrialResult {
        check,
        cost: Cost::Measured {
            trial: "decode".to_owned(),
            before_tok_per_s: 1.0,
            after_tok_per_s: ratio,
            change: Change { speed_ratio, separation },
        },
    }
}

/// Five things the matter: a quota, two nodes, no turbo, swapping, no huge pages.
fn ill(trials: Vec<TrialResult>) -> Room {
    Room::with(|room| {
        room.machine.limits.cpu_quota_cores = Some(0.5);
        room.machine.limits.usable_threads = Some(1);
        room.machine.numa.nodes = vec![node(0, "0-7"), node(1, "8-15")];
        room.machine.cpu.turbo = Some(Turbo::Off);
        room.condition.swap_used_bytes = Some(Bytes(2 << 30));
        room.machine.memory.transparent_huge_pages = Some("never".to_owned());
        room.trials = trials;
    })
}

fn order(room: &Room) -> Vec<String> {
    room.examine().findings.into_iter().map(|finding| finding.check).collect()
}

#[test]
fn public_figures_come_by_size_and_the_rest_in_the_order_of_the_checks() {
    let expected = ["cpu-quota", "single-node", "turbo", "swap-in-use", "transparent-huge-pages"];
    assert_eq!(order(&ill(Vec::new())), expected);
}

#[test]
fn what_was_separated_here_is_first_and_what_was_not_is_last() {
    let room = ill(vec![
        tried("turbo", 1.3, Separation::Faster),
        tried("transparent-huge-pages", 1.05, Separation::Faster),
        tried("cpu-quota", 1.4, Separation::NotSeparated),
        tried("swap-in-use", f64::NAN, Separation::Slower),
    ]);
    let expected = ["turbo", "transparent-huge-pages", "single-node", "cpu-quota", "swap-in-use"];
    assert_eq!(order(&room), expected);
    let says = |check: &str| room.finding(check).unwrap().what;
    assert!(says("cpu-quota").ends_with("no difference was measured here"));
    assert!(says("swap-in-use").ends_with("slower when tried here"));
    assert!(!says("turbo").contains("measured here"));
    assert!(matches!(room.finding("cpu-quota").unwrap().cost, Cost::Measured { .. }));
}

#[test]
fn the_document_says_whose_facts_it_judged_and_when() {
    let mut room = ill(Vec::new());
    room.machine.provenance = Provenance::Live;
    let diagnosis = room.examine();
    assert_eq!(diagnosis.examined_at, "2026-01-02T03:04:05Z");
    assert_eq!(diagnosis.provenance, Provenance::Live);
    let text = serde_json::to_string(&diagnosis).unwrap();
    assert_eq!(serde_json::from_str::<crate::model::Diagnosis>(&text).unwrap(), diagnosis);
}
