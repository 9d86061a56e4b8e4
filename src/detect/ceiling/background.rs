//! What else the processors do while they are measured.

use std::thread;
use std::time::{Duration, Instant};

use crate::detect::{ProcessorTimes, processor_times};

/// How long others are watched before anything is measured.
const LOOK: Duration = Duration::from_millis(200);
/// Processor time of others, as a share of one processor, that is worth a word.
const BUSY: f64 = 0.2;
/// Share of all processor time that a hypervisor gave to others, worth a word.
const STOLEN: f64 = 0.01;

/// A caveat where others keep processors busy.
pub(super) fn watch(wanted: &dyn Fn() -> bool) -> Option<String> {
    let (before, began) = (processor_times()?, Instant::now());
    while wanted() && began.elapsed() < LOOK {
        thread::sleep(LOOK / 10);
    }
    let after = processor_times()?;
    busy_words(before, after, began.elapsed())
}

fn busy_words(before: ProcessorTimes, after: ProcessorTimes, time: Duration) -> Option<String> {
    let busy = after.busy.saturating_sub(before.busy).as_secs_f64() / time.as_secs_f64();
    (busy > BUSY).then(|| {
        let all = after.processors;
        format!("other programs kept {busy:.1} of {all} processors busy: the peaks may be low")
    })
}

/// The counters when measuring began.
#[derive(Debug)]
pub(super) struct Watch {
    before: Option<ProcessorTimes>,
    began: Instant,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { before: processor_times(), began: Instant::now() }
    }

    /// A caveat where a hypervisor gave processor time to others meanwhile.
    pub(super) fn stolen(&self) -> Option<String> {
        stolen_words(self.before?, processor_times()?, self.began.elapsed())
    }
}

fn stolen_words(before: ProcessorTimes, after: ProcessorTimes, time: Duration) -> Option<String> {
    let all = time.as_secs_f64() * f64::from(after.processors.max(1));
    let share = after.stolen.saturating_sub(before.stolen).as_secs_f64() / all;
    (share > STOLEN).then(|| {
        let percent = share * 100.0;
        format!("the hypervisor gave {percent:.0} % of the processors' time to others meanwhile")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(busy_ms: u64, stolen_ms: u64) -> ProcessorTimes {
        ProcessorTimes {
            busy: Duration::from_millis(busy_ms),
            stolen: Duration::from_millis(stolen_ms),
            processors: 4,
        }
    }

    #[test]
    fn only_what_could_move_a_peak_is_told() {
        let second = Duration::from_secs(1);
        assert_eq!(busy_words(times(5, 0), times(105, 0), second), None);
        let words = busy_words(times(5, 0), times(1505, 0), second).unwrap();
        assert!(words.contains("1.5 of 4"), "{words}");
        assert_eq!(stolen_words(times(0, 0), times(0, 20), second), None);
        let words = stolen_words(times(0, 0), times(0, 400), second).unwrap();
        assert!(words.contains("10 %"), "{words}");
    }
}
