//! What all processors did since the system started, cheap enough to read around every visit.

use std::time::Duration;

/// Counters of the whole machine; only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorTimes {
    /// Processor time that anything used, over all processors.
    pub busy: Duration,
    /// Processor time that the hypervisor gave to others, over all processors.
    pub stolen: Duration,
    /// Online processors.
    pub processors: u32,
}

/// The counters now; `None` where the system has no `/proc/stat`.
#[must_use]
pub fn processor_times() -> Option<ProcessorTimes> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    parse(&text, rustix::param::clock_ticks_per_second())
}

/// The first line sums all processors: user, nice, system, idle, iowait, irq, softirq, steal, in
/// clock ticks (`proc_stat(5)`).
fn parse(text: &str, ticks_per_second: u64) -> Option<ProcessorTimes> {
    let mut lines = text.lines();
    let all = lines.next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return None;
    };
    let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / ticks_per_second.max(1) as f64);
    let busy = [user, nice, system, irq, softirq].into_iter().fold(0, u64::saturating_add);
    let processors = lines.take_while(|line| line.starts_with("cpu")).count();
    Some(ProcessorTimes {
        busy: time(busy),
        stolen: time(steal),
        processors: u32::try_from(processors).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_line_is_read_in_seconds() {
        let text = "cpu  100 20 30 900 5 6 4 50 0 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 77\n";
        let times = parse(text, 100).unwrap();
        assert_eq!(times.busy, Duration::from_millis(1600));
        assert_eq!(times.stolen, Duration::from_millis(500));
        assert_eq!(times.processors, 2);
    }

    #[test]
    fn a_strange_file_has_no_counters() {
        for text in ["", "cpu", "cpu  1 2 3", "cpu  a b c d e f g h", "intr 5"] {
            assert_eq!(parse(text, 100), None, "{text}");
        }
    }
}
