//! Samples through `perf_event_open`: one ring of memory per thread.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use perf_event::data::Record;
use perf_event::events::{Hardware, Software};
use perf_event::{Builder, Clock, SampleFlag};

use super::{Mark, Sampled, Samples, names};
use crate::api::Stretch;

/// Between two visits to the rings. At a thousand samples a second a visit finds some 100 of 40
/// bytes in each.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a ring: room for a second at the highest rate.
const RING: usize = 64 << 10;
/// Threads that are sampled at most.
const MOST_THREADS: usize = 512;
/// Samples that are kept at most: an hour on 30 threads at 100 a second, 160 MB.
const MOST_SAMPLES: usize = 10_000_000;

/// Samples the threads that this process has when it is opened; paused at first.
#[derive(Debug)]
pub struct Sampler {
    orders: Sender<Order>,
    thread: JoinHandle<Collected>,
    event: &'static str,
}

enum Order {
    /// Sample from now on, and say when it has begun.
    Resume(Sender<()>),
    /// Stop sampling, and say when it has ended.
    Pause(Sender<()>),
}

#[derive(Debug, Default)]
struct Collected {
    /// Time and instruction of each sample.
    samples: Vec<(u64, u64)>,
    lost: u64,
}

impl Sampler {
    /// Opens a ring for each thread of this process; why there is none, in one sentence.
    pub fn open(what: Sampled, hz: u32) -> Result<Self, String> {
        let threads = threads();
        let (mut rings, mut event) = (Vec::new(), "");
        let mut refused = None;
        let events = match what {
            Sampled::Time => vec![
                ("cycles", Builder::new(Hardware::CPU_CYCLES)),
                ("cpu-clock", Builder::new(Software::CPU_CLOCK)),
            ],
            Sampled::CacheMisses => {
                vec![("cache-misses", Builder::new(Hardware::CACHE_MISSES))]
            }
        };
        for (word, builder) in events {
            match open(&builder, &threads, hz) {
                Ok(open) if !open.is_empty() => {
                    (rings, event) = (open, word);
                    break;
                }
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        if rings.is_empty() {
            let reason = refused.map_or_else(|| "no thread".to_owned(), |error| error.to_string());
            return Err(format!(
                "functions are not sampled: the kernel refuses ({reason}); \
                 kernel.perf_event_paranoid of 2 or less allows it"
            ));
        }
        let (orders, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || collect(rings, &received))
            .map_err(|error| format!("functions are not sampled: {error}"))?;
        Ok(Self { orders, thread, event })
    }

    /// What lies between two samples of a thread: so many cycles, or so much time on a processor.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.event
    }

    /// Begins to sample.
    pub fn resume(&self) {
        self.order(Order::Resume);
    }

    /// Leaves off.
    pub fn pause(&self) {
        self.order(Order::Pause);
    }

    fn order(&self, order: fn(Sender<()>) -> Order) {
        let (done, is_done) = mpsc::channel();
        if self.orders.send(order(done)).is_ok() {
            // An error says that the thread is gone, and so is sampling.
            let _ = is_done.recv();
        }
    }

    /// Ends, and names the functions that ran in those stretches.
    #[must_use]
    pub fn finish(self, marks: &[Mark]) -> Samples {
        drop(self.orders);
        let collected = self.thread.join().unwrap_or_default();
        let counted = by_stretch(&collected.samples, marks);
        Samples { functions: names::functions(&counted), lost: collected.lost }
    }
}

/// Samples by stretch and instruction; those outside every stretch are nobody's.
fn by_stretch(samples: &[(u64, u64)], marks: &[Mark]) -> HashMap<(Stretch, u64), u64> {
    let mut marks = marks.to_vec();
    marks.sort_by_key(|mark| mark.from_ns);
    let mut counted = HashMap::new();
    for (time, instruction) in samples {
        let place = marks.partition_point(|mark| mark.from_ns <= *time);
        let mark = place.checked_sub(1).map(|place| marks[place]);
        if let Some(mark) = mark.filter(|mark| *time < mark.until_ns) {
            *counted.entry((mark.stretch, *instruction)).or_insert(0) += 1;
        }
    }
    counted
}

fn threads() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let numbers = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    numbers.take(MOST_THREADS).collect()
}

fn open(
    builder: &Builder<'static>,
    threads: &[i32],
    hz: u32,
) -> io::Result<Vec<perf_event::Sampler>> {
    let mut builder = builder.clone();
    builder
        .sample_frequency(u64::from(hz))
        .sample(SampleFlag::IP | SampleFlag::TIME)
        .clockid(Clock::MONOTONIC)
        .exclude_kernel(false)
        .exclude_hv(false);
    let mut rings = Vec::new();
    for thread in threads {
        builder.observe_pid(*thread);
        let counter = builder.build().or_else(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            builder.exclude_kernel(true).exclude_hv(true);
            builder.build()
        });
        match counter.and_then(|counter| counter.sampled(RING)) {
            Ok(ring) => rings.push(ring),
            // It may have ended; the others are still to be seen.
            Err(_) if !rings.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rings)
}

/// Fetches what the kernel writes until nobody gives orders any more.
fn collect(mut rings: Vec<perf_event::Sampler>, orders: &Receiver<Order>) -> Collected {
    let mut collected = Collected::default();
    let mut samples = false;
    loop {
        // Nothing wakes this thread up while nothing is sampled.
        let order = if samples {
            orders.recv_timeout(PAUSE)
        } else {
            orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match order {
            Ok(Order::Resume(done)) => {
                for ring in &mut rings {
                    // One that cannot be enabled belongs to a thread that has ended.
                    let _ = ring.enable();
                }
                samples = true;
                let _ = done.send(());
            }
            Ok(Order::Pause(done)) => {
                for ring in &mut rings {
                    let _ = ring.disable();
                }
                fetch(&mut rings, &mut collected);
                samples = false;
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => fetch(&mut rings, &mut collected),
            Err(RecvTimeoutError::Disconnected) => {
                fetch(&mut rings, &mut collected);
                return collected;
            }
        }
    }
}

fn fetch(rings: &mut [perf_event::Sampler], collected: &mut Collected) {
    for ring in rings {
        while let Some(record) = ring.next_record() {
            match record.parse_record() {
                Ok(Record::Sample(sample)) => {
                    let (Some(time), Some(instruction)) = (sample.time(), sample.ip()) else {
                        continue;
                    };
                    if collected.samples.len() < MOST_SAMPLES {
                        collected.samples.push((time, instruction));
                    } else {
                        collected.lost += 1;
                    }
                }
                Ok(Record::Lost(lost)) => {
                    collected.lost = collected.lost.saturating_add(lost.lost);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::now;
    use super::*;

    #[test]
    fn samples_belong_to_the_stretch_that_they_fell_into() {
        let mark = |stretch, from_ns, until_ns| Mark { stretch, from_ns, until_ns };
        let marks = [mark(Stretch::Decode, 20, 30), mark(Stretch::Prefill, 10, 15)];
        let samples = [(9, 1), (10, 1), (14, 1), (15, 1), (20, 7), (29, 7), (30, 7)];
        let counted = by_stretch(&samples, &marks);
        assert_eq!(counted.len(), 2);
        assert_eq!(counted[&(Stretch::Prefill, 1)], 2);
        assert_eq!(counted[&(Stretch::Decode, 7)], 2);
    }

    #[inline(never)]
    fn spin_for_the_sampler(rounds: u64) -> u64 {
        (0..rounds).fold(1, |sum, number| std::hint::black_box(sum ^ (number << 1)))
    }

    #[test]
    fn a_function_that_spins_is_seen_by_its_name() {
        let sampler = match Sampler::open(Sampled::Time, 997) {
            Ok(sampler) => sampler,
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        };
        let from_ns = now();
        sampler.resume();
        // By its own processor time, so that a busy machine gives it as many samples.
        let clock = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let spent = |from: rustix::time::Timespec| {
            let to = clock();
            (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1_000_000
        };
        let begun = clock();
        while spent(begun) < 300 {
            std::hint::black_box(spin_for_the_sampler(10_000));
        }
        sampler.pause();
        let paused = now();
        std::hint::black_box(spin_for_the_sampler(1_000_000));
        let marks = [
            Mark { stretch: Stretch::Decode, from_ns, until_ns: paused },
            Mark { stretch: Stretch::Load, from_ns: paused, until_ns: u64::MAX },
        ];
        let seen = sampler.finish(&marks);
        let own = seen.functions.iter().find(|it| it.function.contains("spin_for_the_sampler"));
        let own = own.unwrap_or_else(|| panic!("{seen:?}"));
        // A tenth of what 300 ms give; the threads of other tests are sampled as well.
        assert!(own.samples > 30, "{own:?}");
        assert!(!seen.functions.iter().any(|it| it.stretch == Stretch::Load), "{seen:?}");
    }
}
