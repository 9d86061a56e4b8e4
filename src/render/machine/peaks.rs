//! Measured peaks as rows: the median of one thread and of the most, and what the interval leaves
//! open.

use super::Group;
use crate::model::{Ceilings, Interval, Machine, Peak};

/// The rows, where anything was measured.
pub(super) fn group(machine: &Machine) -> Group {
    let Some(found) = &machine.ceilings else {
        return Group { title: "Measured", rows: Vec::new() };
    };
    let mut group = Group::new(
        "Measured",
        vec![
            ("when", Some(found.measured_at.clone()).filter(|when| !when.is_empty())),
            ("read", threads(&found.read_bandwidth_bytes_per_s, &bytes)),
            ("copy", threads(&found.copy_bandwidth_bytes_per_s, &bytes)),
            ("triad", threads(&found.triad_bandwidth_bytes_per_s, &bytes)),
            ("nodes", nodes(found)),
            ("caches", caches(found)),
            ("32-bit floats", threads(&found.f32_flops, &operations)),
            ("8-bit sums", threads(&found.int8_ops, &operations)),
            ("latency", latency(found)),
            ("disk", found.storage_read_bytes_per_s.map(bytes)),
            ("page cache", found.storage_cached_read_bytes_per_s.map(bytes)),
        ],
    );
    for card in &found.gpu {
        let parts = [card.read_bandwidth_bytes_per_s.map(bytes), card.f16_flops.map(operations)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            group.rows.push((super::clean(&card.device), parts.join(", ")));
        }
    }
    for caveat in &found.caveats {
        group.rows.push(("but".to_owned(), super::clean(caveat)));
    }
    group
}

/// The median in decimal units, and half of the interval's width as a share of it.
pub(super) fn bytes(rate: Interval) -> String {
    scaled(rate, 1e9, "GB/s")
}

pub(super) fn operations(rate: Interval) -> String {
    if rate.value < 1e12 { scaled(rate, 1e9, "G/s") } else { scaled(rate, 1e12, "T/s") }
}

fn scaled(rate: Interval, unit: f64, name: &str) -> String {
    let percent = (rate.high - rate.low) / rate.value / 2.0 * 100.0;
    let value = rate.value / unit;
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {name} ±{percent:.0} %")
}

/// One thread, then the thread count that reaches most.
fn threads(peaks: &[Peak], words: &dyn Fn(Interval) -> String) -> Option<String> {
    let whole = || peaks.iter().filter(|peak| peak.node.is_none());
    let one = whole().find(|peak| peak.threads == 1);
    let most = whole().max_by(|a, b| a.rate.value.total_cmp(&b.rate.value))?;
    let isa = most.isa.as_ref().map(|isa| format!(" ({isa})")).unwrap_or_default();
    let best = format!("{} with {} threads{isa}", words(most.rate), most.threads);
    Some(match one {
        Some(one) if one.threads == most.threads => {
            format!("{} with 1 thread{isa}", words(one.rate))
        }
        Some(one) => format!("{} with 1 thread, {best}", words(one.rate)),
        None => best,
    })
}

fn nodes(found: &Ceilings) -> Option<String> {
    let pairs = found.read_bandwidth_bytes_per_s.iter().filter_map(|peak| {
        Some(format!("{} reads {}: {}", peak.node?, peak.memory_node?, bytes(peak.rate)))
    });
    let pairs: Vec<String> = pairs.take(super::MOST_ROWS).collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

fn caches(found: &Ceilings) -> Option<String> {
    let ones = found.cache_bandwidth_bytes_per_s.iter().filter(|peak| peak.threads == 1);
    let ones: Vec<String> =
        ones.map(|peak| format!("L{} {}", peak.level, bytes(peak.rate))).collect();
    (!ones.is_empty()).then(|| format!("{} with 1 thread", ones.join(", ")))
}

fn latency(found: &Ceilings) -> Option<String> {
    let (first, last) = (found.latency_s.first()?, found.latency_s.last()?);
    let words = |latency: &crate::model::Latency| {
        format!("{:.1} ns in {}", latency.time.value * 1e9, latency.size_bytes)
    };
    Some(format!("{} to {}", words(first), words(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64) -> Interval {
        Interval { value, low: value * 0.9, high: value * 1.1 }
    }

    #[test]
    fn one_thread_and_the_best_count_are_shown_with_their_doubt() {
        let peak =
            |threads, node, value| Peak { threads, node, rate: rate(value), ..Peak::default() };
        let peaks =
            [peak(1, None, 1e10), peak(4, None, 3e10), peak(8, None, 2e10), peak(4, Some(0), 9e10)];
        let text = threads(&peaks, &bytes).unwrap();
        assert_eq!(text, "10.0 GB/s ±10 % with 1 thread, 30.0 GB/s ±10 % with 4 threads");
        assert_eq!(threads(&peaks[..1], &operations).unwrap(), "10.0 G/s ±10 % with 1 thread");
        assert_eq!(threads(&peaks[3..], &bytes), None);
    }

    #[test]
    fn what_was_not_measured_has_no_row() {
        let mut machine = Machine::default();
        assert!(group(&machine).rows.is_empty());
        let caveats = vec!["memory is short".to_owned()];
        machine.ceilings = Some(Ceilings { caveats, ..Ceilings::default() });
        assert_eq!(group(&machine).rows, [("but".to_owned(), "memory is short".to_owned())]);
    }
}
