//! Counters of the kernel's `perf_event_open`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Dynamic, Hardware, Software};
use perf_event::{Builder, Counter, ReadFormat};

use super::Whom;
use super::units::{self, Shared, UNITS};
use crate::api::{Count, Event};

/// Events of a core that are counted at the same time, so that their ratios mean something. The
/// units have four to eight counters; what does not fit takes turns with the others.
const GROUPS: &[&[Event]] = &[
    &[Event::Cycles, Event::Instructions, Event::Branches, Event::BranchMisses],
    &[Event::LlcLoads, Event::LlcLoadMisses, Event::CacheReferences, Event::CacheMisses],
    &[Event::L1dLoads, Event::L1dLoadMisses, Event::DtlbLoads, Event::DtlbLoadMisses],
    &[Event::StalledFrontend, Event::StalledBackend],
];
/// Events that the kernel itself counts.
const OF_KERNEL: [Event; 5] = [
    Event::TaskClock,
    Event::PageFaults,
    Event::MajorFaults,
    Event::ContextSwitches,
    Event::Migrations,
];
/// Threads of a process that are counted at most.
const MOST_THREADS: usize = 256;
/// Share of the descriptors that this process may have, which counters leave to others.
const SPARE: u64 = 2;

/// Open counters, which count from the beginning.
#[derive(Debug)]
pub struct Counters {
    open: Vec<Open>,
    unseen: Vec<String>,
}

#[derive(Debug)]
struct Open {
    event: Event,
    unit: Option<String>,
    counter: Counter,
    /// What one count stands for.
    scale: f64,
}

impl Counters {
    /// Opens whatever can be opened, and notes the rest.
    #[must_use]
    pub fn open(whom: Whom) -> Self {
        let mut counters = Self { open: Vec::new(), unseen: Vec::new() };
        let threads = match whom {
            Whom::Caller => vec![None],
            Whom::Process(process) => threads(process).into_iter().map(Some).collect(),
        };
        let cores = units::of_cores(Path::new(UNITS));
        let mut refused: Option<io::Error> = None;
        let mut user_only = false;
        let each = cores.len() * GROUPS.iter().map(|group| group.len()).sum::<usize>();
        let each = each + OF_KERNEL.len();
        let room = descriptors() / each.max(1);
        if threads.len() > room {
            counters.unseen.push(format!(
                "{room} of {} threads are counted, with those that they start: more would take too \
                 many file descriptors (`ulimit -n`)",
                threads.len()
            ));
        }
        for thread in threads.into_iter().take(room) {
            for unit in &cores {
                for group in GROUPS {
                    let error = counters.group(thread, unit.as_ref(), group, &mut user_only);
                    refused = refused.or(error);
                }
            }
            for event in OF_KERNEL {
                let made = of_kernel(event, thread, user_only);
                let made = made.or_else(|error| match error.kind() {
                    // Without that right the kernel's own doings are none of ours.
                    io::ErrorKind::PermissionDenied => of_kernel(event, thread, true),
                    _ => Err(error),
                });
                if let Ok(counter) = made {
                    counters.open.push(Open { event, unit: None, counter, scale: 1.0 });
                }
            }
        }
        let counted = counters.open.iter().any(|open| !OF_KERNEL.contains(&open.event));
        if let Some(error) = refused.filter(|_| !counted) {
            counters.unseen.push(why(&error));
        } else if user_only {
            counters.unseen.push(format!(
                "the kernel's own share is not counted: kernel.perf_event_paranoid is {}, and it \
                 takes 1 or less",
                paranoid().unwrap_or_else(|| "above 1".to_owned())
            ));
        }
        counters.shared(&units::shared(Path::new(UNITS)));
        counters
    }

    /// Opens the events of a group that the unit knows; the error of the first where none opened.
    fn group(
        &mut self,
        thread: Option<i32>,
        unit: Option<&(String, u32)>,
        group: &[Event],
        user_only: &mut bool,
    ) -> Option<io::Error> {
        let mut refused = None;
        let mut leader: Option<usize> = None;
        for event in group {
            let Some(builder) = of_core(*event) else { continue };
            let mut builder = aimed(builder, thread, *user_only);
            if let Some((_, number)) = unit {
                // The kernel takes the unit in the upper half of the event's number.
                builder.attrs_mut().config |= u64::from(*number) << 32;
            }
            let build = |builder: &Builder<'_>, open: &mut Vec<Open>| match leader {
                Some(leader) => builder.build_with_group(&mut open[leader].counter),
                None => builder.build(),
            };
            let mut made = build(&builder, &mut self.open);
            let denied = |made: &io::Result<Counter>| {
                made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            };
            if denied(&made) && !*user_only {
                builder.exclude_kernel(true).exclude_hv(true);
                made = build(&builder, &mut self.open);
                *user_only = made.is_ok();
            }
            match made {
                Ok(counter) => {
                    leader = leader.or(Some(self.open.len()));
                    let unit = unit.map(|(name, _)| name.clone());
                    self.open.push(Open { event: *event, unit, counter, scale: 1.0 });
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if leader.is_some() { None } else { refused }
    }

    /// Opens what is counted for the whole machine.
    fn shared(&mut self, events: &[Shared]) {
        let mut denied = false;
        for event in events {
            for cpu in &event.cpus {
                match of_machine(event, *cpu) {
                    Ok(counter) => self.open.push(Open {
                        event: event.event,
                        unit: None,
                        counter,
                        scale: event.scale,
                    }),
                    Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
                }
            }
        }
        if denied {
            self.unseen.push(
                "memory traffic and energy are counted for the whole machine, which takes \
                 kernel.perf_event_paranoid 0 or the capability CAP_PERFMON"
                    .to_owned(),
            );
        }
    }

    /// What was counted so far, threads and packages summed.
    pub fn read(&mut self) -> Vec<Count> {
        let mut sums: BTreeMap<(Event, Option<String>), [u64; 3]> = BTreeMap::new();
        for open in &mut self.open {
            let Ok(read) = open.counter.read_count_and_time() else { continue };
            let sum = sums.entry((open.event, open.unit.clone())).or_default();
            let value = scaled(read.count, open.scale);
            for (sum, part) in sum.iter_mut().zip([value, read.time_enabled, read.time_running]) {
                *sum = sum.saturating_add(part);
            }
        }
        sums.into_iter()
            .map(|((event, unit), [value, enabled_ns, running_ns])| Count {
                event,
                unit,
                value,
                enabled_ns,
                running_ns,
            })
            .collect()
    }

    /// What is not counted, and why; one sentence each.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        &self.unseen
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn scaled(count: u64, scale: f64) -> u64 {
    if (scale - 1.0).abs() < f64::EPSILON { count } else { (count as f64 * scale) as u64 }
}

/// Descriptors that counters may take.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(1 << 16) / SPARE).unwrap_or(usize::MAX)
}

/// The threads of a process now.
fn threads(process: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let numbers = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    numbers.take(MOST_THREADS).collect()
}

/// An event of a core as the kernel's generic one.
fn of_core(event: Event) -> Option<Builder<'static>> {
    let read = |which: CacheId, result: CacheResult| {
        Builder::new(Cache { which, operation: CacheOp::READ, result })
    };
    Some(match event {
        Event::Cycles => Builder::new(Hardware::CPU_CYCLES),
        Event::Instructions => Builder::new(Hardware::INSTRUCTIONS),
        Event::Branches => Builder::new(Hardware::BRANCH_INSTRUCTIONS),
        Event::BranchMisses => Builder::new(Hardware::BRANCH_MISSES),
        Event::CacheReferences => Builder::new(Hardware::CACHE_REFERENCES),
        Event::CacheMisses => Builder::new(Hardware::CACHE_MISSES),
        Event::StalledFrontend => Builder::new(Hardware::STALLED_CYCLES_FRONTEND),
        Event::StalledBackend => Builder::new(Hardware::STALLED_CYCLES_BACKEND),
        Event::L1dLoads => read(CacheId::L1D, CacheResult::ACCESS),
        Event::L1dLoadMisses => read(CacheId::L1D, CacheResult::MISS),
        Event::LlcLoads => read(CacheId::LL, CacheResult::ACCESS),
        Event::LlcLoadMisses => read(CacheId::LL, CacheResult::MISS),
        Event::DtlbLoads => read(CacheId::DTLB, CacheResult::ACCESS),
        Event::DtlbLoadMisses => read(CacheId::DTLB, CacheResult::MISS),
        _ => return None,
    })
}

fn of_kernel(event: Event, thread: Option<i32>, user_only: bool) -> io::Result<Counter> {
    let event = match event {
        Event::TaskClock => Software::TASK_CLOCK,
        Event::PageFaults => Software::PAGE_FAULTS,
        Event::MajorFaults => Software::PAGE_FAULTS_MAJ,
        // Both happen in the kernel: without a look into it they would read 0.
        Event::ContextSwitches if !user_only => Software::CONTEXT_SWITCHES,
        Event::Migrations if !user_only => Software::CPU_MIGRATIONS,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    aimed(Builder::new(event), thread, user_only).build()
}

/// Counts a thread and whatever it starts, from now on.
fn aimed(mut builder: Builder<'static>, thread: Option<i32>, user_only: bool) -> Builder<'static> {
    builder
        .inherit(true)
        .enabled(true)
        .exclude_kernel(user_only)
        .exclude_hv(user_only)
        .read_format(ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING);
    if let Some(thread) = thread {
        builder.observe_pid(thread);
    }
    builder
}

fn of_machine(event: &Shared, cpu: usize) -> io::Result<Counter> {
    let mut unit = Dynamic::builder(&event.unit)?;
    unit.event(&event.name)?;
    // What the event's file does not name is 0.
    let unset: Vec<String> = unit.params().map(str::to_owned).collect();
    for field in unset {
        unit.field(&field, 0).map_err(io::Error::other)?;
    }
    let mut builder = Builder::new(unit.build().map_err(io::Error::other)?);
    builder
        .any_pid()
        .one_cpu(cpu)
        .enabled(true)
        .include_kernel()
        .include_hv()
        .read_format(ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING);
    builder.build()
}

fn paranoid() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().to_owned())
}

/// Why the processor's events are not counted, and what would help.
fn why(error: &io::Error) -> String {
    let level = paranoid();
    match (error.kind(), level) {
        (io::ErrorKind::PermissionDenied, Some(level))
            if level.parse().is_ok_and(|it: i32| it > 2) =>
        {
            format!(
                "the processor's events are locked (kernel.perf_event_paranoid is {level}): `sudo \
             sysctl kernel.perf_event_paranoid=1` opens them until the next start"
            )
        }
        (io::ErrorKind::PermissionDenied, Some(_)) => {
            "the processor's events are locked although kernel.perf_event_paranoid allows them: a \
             container's system call filter does that (Docker: `--security-opt seccomp=unconfined` \
             or `--cap-add PERFMON`)"
                .to_owned()
        }
        (_, None) => "the kernel was built without performance events".to_owned(),
        (io::ErrorKind::NotFound | io::ErrorKind::Unsupported, _) => {
            "the kernel drives no event counters of the processor here, which is usual in virtual \
             machines: the host has to pass them on (QEMU: `-cpu host,pmu=on`; clouds: a metal or \
             full-size instance)"
                .to_owned()
        }
        _ => format!("the processor's events cannot be counted: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_counts_grows_and_the_rest_has_a_reason() {
        let mut counters = Counters::open(Whom::Caller);
        let before = counters.read();
        let mut sum = 0_u64;
        for number in 0..3_000_000_u64 {
            sum = sum
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(std::hint::black_box(number));
        }
        std::hint::black_box(sum);
        let after = counters.read();
        if after.is_empty() {
            assert!(!counters.unseen().is_empty(), "nothing is counted and nobody says why");
            return;
        }
        let find = |counts: &[Count], event| counts.iter().find(|it| it.event == event).cloned();
        for event in [Event::TaskClock, Event::Instructions] {
            let (Some(now), Some(then)) = (find(&after, event), find(&before, event)) else {
                continue;
            };
            let added = now.since(&then).unwrap();
            assert!(added.value > 0 || added.running_ns == 0, "{event}: {added:?}");
        }
        let cycles = find(&after, Event::Cycles);
        assert!(cycles.is_some() || !counters.unseen().is_empty(), "cycles have no reason");
    }

    #[test]
    fn threads_that_begin_later_are_counted_too() {
        let mut counters = Counters::open(Whom::Process(std::process::id()));
        let clock = |counters: &mut Counters| {
            let counts = counters.read();
            counts.iter().find(|count| count.event == Event::TaskClock).map(|count| count.value)
        };
        let Some(before) = clock(&mut counters) else {
            assert!(!counters.unseen().is_empty());
            return;
        };
        std::thread::spawn(|| std::hint::black_box((0..2_000_000_u64).fold(0, u64::wrapping_add)))
            .join()
            .unwrap();
        assert!(clock(&mut counters) > Some(before));
    }

    #[test]
    fn every_refusal_has_a_sentence() {
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NotFound,
            io::ErrorKind::Unsupported,
            io::ErrorKind::Other,
        ] {
            assert!(why(&kind.into()).len() > 30);
        }
    }
}
