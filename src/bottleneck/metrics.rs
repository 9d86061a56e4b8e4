//! What follows from counters, each value with its formula.

use std::collections::BTreeSet;

use autotune_engine::api::{Count, Event};

use crate::model::Metric;

/// Bytes that one miss of a cache moves, on every processor that ggml has kernels for but Apple's.
const LINE_BYTES: f64 = 64.0;

/// A ratio of two events of the same unit.
struct Ratio {
    name: &'static str,
    above: Event,
    below: Event,
    factor: f64,
    unit: &'static str,
    formula: &'static str,
}

const RATIOS: &[Ratio] = &[
    Ratio {
        name: "instructions per cycle",
        above: Event::Instructions,
        below: Event::Cycles,
        factor: 1.0,
        unit: "",
        formula: "instructions / cycles",
    },
    Ratio {
        name: "branches mispredicted",
        above: Event::BranchMisses,
        below: Event::Branches,
        factor: 100.0,
        unit: "%",
        formula: "branch-misses / branches",
    },
    Ratio {
        name: "first cache missed",
        above: Event::L1dLoadMisses,
        below: Event::L1dLoads,
        factor: 100.0,
        unit: "%",
        formula: "L1-dcache-load-misses / L1-dcache-loads",
    },
    Ratio {
        name: "last cache missed",
        above: Event::LlcLoadMisses,
        below: Event::LlcLoads,
        factor: 100.0,
        unit: "%",
        formula: "LLC-load-misses / LLC-loads",
    },
    Ratio {
        name: "cache missed",
        above: Event::CacheMisses,
        below: Event::CacheReferences,
        factor: 100.0,
        unit: "%",
        formula: "cache-misses / cache-references",
    },
    Ratio {
        name: "translations missed",
        above: Event::DtlbLoadMisses,
        below: Event::DtlbLoads,
        factor: 100.0,
        unit: "%",
        formula: "dTLB-load-misses / dTLB-loads",
    },
    Ratio {
        name: "last-cache misses per 1000 instructions",
        above: Event::LlcLoadMisses,
        below: Event::Instructions,
        factor: 1000.0,
        unit: "",
        formula: "1000 × LLC-load-misses / instructions",
    },
    Ratio {
        name: "cycles without an instruction to begin",
        above: Event::StalledFrontend,
        below: Event::Cycles,
        factor: 100.0,
        unit: "%",
        formula: "stalled-cycles-frontend / cycles",
    },
    Ratio {
        name: "cycles without an instruction that ended",
        above: Event::StalledBackend,
        below: Event::Cycles,
        factor: 100.0,
        unit: "%",
        formula: "stalled-cycles-backend / cycles",
    },
    Ratio {
        name: "clock",
        above: Event::Cycles,
        below: Event::TaskClock,
        factor: 1.0,
        unit: "GHz",
        formula: "cycles / task-clock",
    },
];

/// An event for each second of the wall.
const RATES: &[(&str, Event, f64, &str, &str)] = &[
    ("processors busy", Event::TaskClock, 1e-9, "", "task-clock / elapsed"),
    ("memory read", Event::MemoryReads, 1e-9, "GB/s", "memory-read-bytes / elapsed"),
    ("memory written", Event::MemoryWrites, 1e-9, "GB/s", "memory-write-bytes / elapsed"),
    (
        "loads from memory",
        Event::LlcLoadMisses,
        LINE_BYTES * 1e-9,
        "GB/s",
        "64 B × LLC-load-misses / elapsed, without prefetches",
    ),
    ("page faults", Event::PageFaults, 1.0, "/s", "page-faults / elapsed"),
    ("page faults from disk", Event::MajorFaults, 1.0, "/s", "major-faults / elapsed"),
    ("context switches", Event::ContextSwitches, 1.0, "/s", "context-switches / elapsed"),
    ("migrations", Event::Migrations, 1.0, "/s", "cpu-migrations / elapsed"),
    ("package power", Event::PackageEnergy, 1e-6, "W", "energy-pkg / elapsed"),
    ("memory power", Event::MemoryEnergy, 1e-6, "W", "energy-ram / elapsed"),
];

/// Everything that these counters allow to say, unit by unit of the cores. `elapsed_s`: seconds
/// on the wall that were counted.
#[must_use]
pub fn metrics(counts: &[Count], elapsed_s: Option<f64>) -> Vec<Metric> {
    let units: BTreeSet<Option<&String>> = counts.iter().map(|count| count.unit.as_ref()).collect();
    let mut found = Vec::new();
    for unit in units {
        let own = |event: Event| {
            counts.iter().find(|count| count.event == event && count.unit.as_ref() == unit)
        };
        for ratio in RATIOS {
            let (Some(above), Some(below)) = (own(ratio.above), own(ratio.below)) else { continue };
            let (Some(over), Some(under)) = (above.scaled(), below.scaled()) else { continue };
            if under == 0 {
                continue;
            }
            found.push(Metric {
                name: ratio.name.to_owned(),
                unit_of_cores: unit.cloned(),
                value: ratio.factor * over as f64 / under as f64,
                unit: ratio.unit.to_owned(),
                formula: ratio.formula.to_owned(),
                counted_share: share(above).min(share(below)),
            });
        }
        let Some(elapsed) = elapsed_s.filter(|elapsed| *elapsed > 0.0) else { continue };
        for (name, event, factor, measure, formula) in RATES {
            let Some(count) = own(*event) else { continue };
            let Some(value) = count.scaled() else { continue };
            found.push(Metric {
                name: (*name).to_owned(),
                unit_of_cores: unit.cloned(),
                value: factor * value as f64 / elapsed,
                unit: (*measure).to_owned(),
                formula: (*formula).to_owned(),
                counted_share: share(count),
            });
        }
    }
    found
}

fn share(count: &Count) -> f64 {
    count.counted_share().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(event: Event, value: u64) -> Count {
        Count { event, unit: None, value, enabled_ns: 1000, running_ns: 1000 }
    }

    fn value(metrics: &[Metric], name: &str) -> Option<f64> {
        metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    #[test]
    fn ratios_follow_from_recorded_counts() {
        let counts = [
            count(Event::Cycles, 8_000_000_000),
            count(Event::Instructions, 12_000_000_000),
            count(Event::Branches, 1_000_000_000),
            count(Event::BranchMisses, 5_000_000),
            count(Event::LlcLoadMisses, 30_000_000),
            count(Event::TaskClock, 2_500_000_000),
            count(Event::PackageEnergy, 130_000_000),
        ];
        let found = metrics(&counts, Some(2.0));
        let near = |name: &str, wanted: f64| {
            let got = value(&found, name).unwrap_or_else(|| panic!("{name}: {found:?}"));
            assert!((got - wanted).abs() < 1e-9 * wanted.max(1.0), "{name}: {got}");
        };
        near("instructions per cycle", 1.5);
        near("branches mispredicted", 0.5);
        near("last-cache misses per 1000 instructions", 2.5);
        near("clock", 3.2);
        near("processors busy", 1.25);
        near("loads from memory", 0.96);
        near("package power", 65.0);
        assert_eq!(value(&found, "first cache missed"), None, "nothing was counted");
    }

    #[test]
    fn multiplexed_events_are_scaled_and_say_how_much_was_counted() {
        let half = Count { running_ns: 500, ..count(Event::Instructions, 600) };
        let found = metrics(&[half, count(Event::Cycles, 800)], None);
        let [ipc] = found.as_slice() else { panic!("{found:?}") };
        assert!((ipc.value - 1.5).abs() < 1e-12);
        assert!((ipc.counted_share - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_was_never_counted_gives_no_ratio() {
        let never = Count { running_ns: 0, ..count(Event::Cycles, 0) };
        assert!(metrics(&[never, count(Event::Instructions, 5)], None).is_empty());
        assert!(
            metrics(&[count(Event::Cycles, 0), count(Event::Instructions, 5)], None).is_empty()
        );
        assert!(metrics(&[], Some(1.0)).is_empty());
    }

    #[test]
    fn kinds_of_cores_are_kept_apart() {
        let of =
            |unit: &str, event, value| Count { unit: Some(unit.to_owned()), ..count(event, value) };
        let counts = [
            of("cpu_core", Event::Cycles, 100),
            of("cpu_core", Event::Instructions, 300),
            of("cpu_atom", Event::Cycles, 100),
            of("cpu_atom", Event::Instructions, 100),
            count(Event::TaskClock, 50),
        ];
        let found = metrics(&counts, None);
        let ipc: Vec<(Option<&str>, f64)> = found
            .iter()
            .filter(|metric| metric.name == "instructions per cycle")
            .map(|metric| (metric.unit_of_cores.as_deref(), metric.value))
            .collect();
        assert_eq!(ipc, [(Some("cpu_atom"), 1.0), (Some("cpu_core"), 3.0)]);
        assert_eq!(value(&found, "clock"), None, "the clock of both together is nobody's");
    }
}
