//! What the processor's counters add: whether a program that computes waits for memory meanwhile.

use autotune_engine::api::Count;

use super::evidence::percent;
use crate::model::Metric;
use crate::model::activity::{Class, CommandProfile};

/// Share of the memory's measured peak from which on memory is what bounds.
const BOUND: f64 = 0.5;
/// Processors of others above which the traffic of the whole machine is not the program's.
const OTHERS: f64 = 0.3;
/// What the traffic of the whole machine is called among the metrics, and that of the program.
const MACHINE: &str = "memory read";
const PROGRAM: &str = "loads from memory";

/// What was counted of a command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    /// The events.
    pub counts: Vec<Count>,
    /// What follows from them.
    pub metrics: Vec<Metric>,
    /// What was not counted and why, one sentence each.
    pub unseen: Vec<String>,
    /// The most that this machine reads from memory, bytes per second, where that was measured.
    pub peak_bytes_per_s: Option<f64>,
}

/// Adds what was counted to a profile. Memory is named as what bounds only where its traffic was
/// counted and is near the measured peak.
pub fn add_counters(profile: &mut CommandProfile, counted: Counted) {
    if matches!(profile.class, Class::CpuOneThread | Class::CpuParallel) {
        let alone = profile.cpu.others_cores.is_some_and(|others| others < OTHERS);
        let of_machine = traffic(&counted.metrics, MACHINE).filter(|_| alone);
        let traffic = of_machine.or_else(|| traffic(&counted.metrics, PROGRAM));
        let said = match (traffic, counted.peak_bytes_per_s) {
            (Some(traffic), Some(peak)) => {
                let share = traffic.value * 1e9 / peak.max(1.0);
                if share >= BOUND {
                    profile.class = Class::MemoryBandwidth;
                }
                format!(
                    "It reads {:.1} GB/s from memory ({}), {} of the {:.1} GB/s that this machine \
                     reads at most.",
                    traffic.value,
                    traffic.formula,
                    percent(share),
                    peak / 1e9
                )
            }
            (Some(traffic), None) => format!(
                "It reads {:.1} GB/s from memory ({}); `autotune detect --ceilings` measures how \
                 much there could be.",
                traffic.value, traffic.formula
            ),
            (None, _) => {
                "CPU-bound, memory or compute not separable here: the traffic of memory was not \
                 counted."
                    .to_owned()
            }
        };
        profile.evidence.push(said);
    }
    profile.counts = counted.counts;
    profile.metrics = counted.metrics;
    profile.unseen.extend(counted.unseen);
}

/// Traffic by that name, of all kinds of cores together.
fn traffic(metrics: &[Metric], name: &str) -> Option<Metric> {
    let own = metrics.iter().filter(|metric| metric.name == name && metric.unit == "GB/s");
    own.cloned().reduce(|sum, one| Metric { value: sum.value + one.value, ..sum })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Stretch, series};
    use super::super::judge;
    use super::*;
    use crate::model::activity::{Begin, End};

    fn loads(value: f64) -> Metric {
        Metric {
            name: "loads from memory".to_owned(),
            unit_of_cores: None,
            value,
            unit: "GB/s".to_owned(),
            formula: "64 B × LLC-load-misses / elapsed".to_owned(),
            counted_share: 1.0,
        }
    }

    #[test]
    fn memory_is_named_only_where_its_traffic_was_counted_and_is_near_its_peak() {
        let judged = |metrics: Vec<Metric>, peak_bytes_per_s| {
            let series = series(&[Stretch::new(200, 1.0, None)]);
            let end = End::Exited { code: 0 };
            let mut profile = judge(vec!["spin".to_owned()], Begin::Launched, end, &series);
            assert_eq!(profile.class, Class::CpuOneThread);
            let counted = Counted { metrics, peak_bytes_per_s, ..Counted::default() };
            add_counters(&mut profile, counted);
            (profile.class, profile.evidence.last().cloned().unwrap())
        };
        let (class, said) = judged(vec![loads(16.0)], Some(20e9));
        assert_eq!(class, Class::MemoryBandwidth);
        assert!(said.contains("80 %"), "{said}");
        assert_eq!(judged(vec![loads(2.0)], Some(20e9)).0, Class::CpuOneThread);
        let kinds = vec![loads(1.0), loads(15.0)];
        assert_eq!(judged(kinds, Some(20e9)).0, Class::MemoryBandwidth, "two kinds of cores");
        assert_eq!(judged(vec![loads(16.0)], None).0, Class::CpuOneThread);
        let (class, said) = judged(Vec::new(), Some(20e9));
        assert_eq!(class, Class::CpuOneThread);
        assert!(said.contains("not separable"), "{said}");
    }
}
