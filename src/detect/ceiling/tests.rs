//! What is measured on which machine, and what becomes of samples.

use autotune_engine::api::Bytes;
use autotune_engine::probe::{Kernel, Line};

use super::cells::{Layout, Subject, counts};
use super::result::{Heard, ceilings};
use crate::model::{Cache, CacheKind, Machine, Node};

fn cache(level: u32, size: u64, instances: u32, shared_by_threads: u32) -> Cache {
    let kind = if level == 1 { CacheKind::Data } else { CacheKind::Unified };
    Cache { level, kind, size_bytes: Bytes(size), instances, shared_by_threads }
}

/// Two nodes of four cores, each with a cache of its own.
fn two_nodes() -> Machine {
    let mut machine = Machine::default();
    machine.cpu.cores = Some(8);
    machine.cpu.caches =
        vec![cache(1, 48 << 10, 8, 1), cache(2, 2 << 20, 8, 1), cache(3, 32 << 20, 2, 4)];
    machine.memory.available_bytes = Some(Bytes(64 << 30));
    let node = |id, cpus: &str| Node {
        id,
        memory_bytes: None,
        free_bytes: None,
        cpus: cpus.parse().unwrap(),
        kind: None,
        huge_pages: Vec::new(),
    };
    machine.numa.nodes = vec![node(0, "0-3"), node(1, "4-7")];
    machine
}

const CPUS: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

#[test]
fn threads_double_up_to_all_and_meet_the_cores() {
    let mut machine = Machine::default();
    machine.cpu.cores = Some(6);
    assert_eq!(counts(&machine, 12), [1, 2, 4, 6, 8, 12]);
    assert_eq!(counts(&machine, 4), [1, 2, 4]);
    assert_eq!(counts(&machine, 1), [1]);
}

#[test]
fn memory_is_several_times_the_caches_that_threads_reach() {
    let layout = Layout::of(&two_nodes(), &CPUS);
    assert_eq!(layout.caveats, Vec::<String>::new());
    for (subject, cell) in layout.subjects.iter().zip(&layout.ask.cells) {
        let Subject::Memory { threads, node: None, .. } = subject else { continue };
        let caches = (32 << 20) * u64::from((*threads).min(2));
        assert!(cell.bytes * u64::from(*threads) >= 4 * caches, "{subject:?} {cell:?}");
        for thread in &cell.threads {
            assert!(layout.ask.buffer_bytes[*thread as usize] >= cell.bytes, "{subject:?}");
        }
    }
}

#[test]
fn every_pair_of_nodes_is_read_by_the_threads_of_the_first() {
    let layout = Layout::of(&two_nodes(), &CPUS);
    let cells = layout.subjects.iter().zip(&layout.ask.cells);
    let pairs: Vec<_> = cells
        .filter_map(|(subject, cell)| match subject {
            Subject::Memory { threads, node: Some(node), memory_node } => {
                assert_eq!(cell.kernel, Kernel::Read);
                Some((*node, memory_node.unwrap(), *threads, &cell.threads, &cell.memory))
            }
            _ => None,
        })
        .collect();
    let (even, odd) = (vec![0, 2, 4, 6], vec![1, 3, 5, 7]);
    assert_eq!(
        pairs,
        [
            (0, 0, 4, &even, &even),
            (0, 1, 4, &even, &odd),
            (1, 0, 4, &odd, &even),
            (1, 1, 4, &odd, &odd)
        ]
    );
}

#[test]
fn a_node_without_usable_cpus_is_a_caveat() {
    let layout = Layout::of(&two_nodes(), &[0, 1]);
    assert!(layout.caveats.iter().any(|caveat| caveat.starts_with("node 1 ")));
}

#[test]
fn short_memory_is_said_and_never_exceeded() {
    let mut machine = two_nodes();
    machine.memory.available_bytes = Some(Bytes(1 << 30));
    let layout = Layout::of(&machine, &CPUS);
    assert!(layout.ask.buffer_bytes.iter().sum::<u64>() <= 256 << 20);
    assert!(layout.caveats.iter().any(|caveat| caveat.contains("memory is short")));
    machine.memory.available_bytes = Some(Bytes(256 << 20));
    let layout = Layout::of(&machine, &CPUS);
    let memory = |subject: &Subject| matches!(subject, Subject::Memory { node: None, .. });
    assert!(!layout.subjects.iter().any(memory));
    assert!(layout.caveats.iter().any(|caveat| caveat.contains("no bandwidth of 8 threads")));
}

#[test]
fn each_cache_is_read_where_the_one_before_is_too_small() {
    let layout = Layout::of(&two_nodes(), &CPUS);
    let cells = layout.subjects.iter().zip(&layout.ask.cells);
    let caches: Vec<_> = cells
        .filter_map(|(subject, cell)| match subject {
            Subject::Cache { level, threads } => {
                assert!(cell.warm);
                Some((*level, *threads, cell.bytes))
            }
            _ => None,
        })
        .collect();
    let (l1, l2) = (24 << 10, 1 << 20);
    assert_eq!(
        caches,
        [(1, 1, l1), (2, 1, l2), (3, 1, 16 << 20), (1, 8, l1), (2, 8, l2), (3, 8, 4 << 20)]
    );
}

#[test]
fn visits_of_a_large_machine_shrink_to_the_budget() {
    let mut machine = two_nodes();
    machine.cpu.cores = Some(200);
    let cpus: Vec<u32> = (0..256).collect();
    let mut layout = Layout::of(&machine, &cpus);
    layout.ask.budget_ms = 2_000;
    layout.fit();
    let round: u64 = layout.ask.cells.iter().map(|cell| cell.visit_us).sum();
    assert!(round * 6 <= 2_000_000, "{round}");
}

#[test]
fn samples_become_medians_and_too_few_become_a_caveat() {
    let layout = Layout::of(&two_nodes(), &CPUS);
    let mut heard = Heard::new(layout.ask.cells.len());
    let walk = layout.subjects.iter().position(|s| matches!(s, Subject::Walk { .. })).unwrap();
    for at in [0, walk] {
        let cell = u32::try_from(at).unwrap();
        for per_second in [4e9, 1e9, 2e9, 6e9, 3e9, 5e9, 7e9] {
            heard.take(Line::Sample { cell, per_second });
        }
    }
    heard.take(Line::Sample { cell: u32::MAX, per_second: 1.0 });
    heard.take(Line::Sets { stream: "avx2".into(), float32: "avx2".into(), int8: "avx2".into() });
    let mut caveats = Vec::new();
    let found = ceilings(&layout, &heard, &mut caveats);
    let read = &found.read_bandwidth_bytes_per_s[..];
    assert_eq!(read.len(), 1);
    assert_eq!((read[0].threads, read[0].isa.as_deref()), (1, Some("avx2")));
    let rate = [read[0].rate.low, read[0].rate.value, read[0].rate.high];
    assert_eq!(rate.map(f64::to_bits), [1e9_f64, 4e9, 7e9].map(f64::to_bits));
    let time = found.latency_s[0].time;
    assert!((time.value - 0.25e-9).abs() < 1e-15 && time.low < time.value, "{time:?}");
    assert!(caveats[0].contains("too few samples"), "{caveats:?}");
}
