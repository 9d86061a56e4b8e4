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

/// Processor time that this process and its children, the engine's workers, used; `None` where
/// the system does not tell.
#[must_use]
pub fn own_processor_time() -> Option<Duration> {
    let ticks = |path: &str, fields: usize| {
        let text = std::fs::read_to_string(path).ok()?;
        used_ticks(&text, fields)
    };
    // With the children that have ended and were waited for.
    let mut all = ticks("/proc/self/stat", 4)?;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).ok()?;
        for child in children.split_whitespace() {
            // One that ends meanwhile is counted the next time.
            all = all.saturating_add(ticks(&format!("/proc/{child}/stat"), 2).unwrap_or(0));
        }
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_secs_f64(all as f64 / per_second as f64))
}

/// The sum of so many of user time, system time and both of ended children, in ticks: fields 14 to
/// 17 of `proc_pid_stat(5)`, counted behind the name, which may hold anything.
fn used_ticks(text: &str, fields: usize) -> Option<u64> {
    let (_, behind) = text.rsplit_once(')')?;
    let ticks: Vec<u64> = behind
        .split_whitespace()
        .skip(11)
        .take(fields)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    (ticks.len() == fields).then(|| ticks.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_read_behind_its_name() {
        let text = "77 (a ) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 9\n";
        assert_eq!(used_ticks(text, 2), Some(120));
        assert_eq!(used_ticks(text, 4), Some(127));
        for text in ["", "77 (a) S 1 2", "77 (a) S 1 2 3 4 5 6 7 8 9 10 x y"] {
            assert_eq!(used_ticks(text, 2), None, "{text}");
        }
    }

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
