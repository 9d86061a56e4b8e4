//! What would help, and by how much at most.
//!
//! Everything is Amdahl's law over the whole run: a part `p` of the time that becomes `n` times as
//! fast makes the whole `1 / ((1 - p) + p / n)` times as fast. The lower figure is for half of `p`.

use std::fmt::Write as _;

use super::evidence::{little, percent, seconds, takes_turns};
use super::split::{Part, Split};
use crate::model::activity::{Class, CommandProfile, Effort, Speedup, Strategy};
use crate::model::observation::{Series, Wait};

/// Requests in flight beyond which nobody's other end is taken for granted.
const MOST_IN_FLIGHT: f64 = 64.0;
/// What storage takes at once and gains by.
const MOST_TRANSFERS: f64 = 32.0;
/// Loops that vector instructions suit gain about so much with 256 bits of `f32` or `i32`, half of
/// the lanes: the rest goes to loading and to loops that do not divide.
const VECTOR_GAIN: f64 = 4.0;
/// A part of the run that is worth an advice of its own.
const WORTH: f64 = 0.15;

/// Waits at once.
struct Flight {
    /// Times as many as now.
    times: f64,
    /// How many that are.
    count: f64,
    /// Whether more would gain more, if the other side could take it.
    bounded: bool,
}

/// What is known of the run.
struct Case<'a> {
    profile: &'a CommandProfile,
    whole: &'a Split,
    series: &'a Series,
}

pub(super) fn of(profile: &CommandProfile, whole: &Split, series: &Series) -> Vec<Strategy> {
    let case = Case { profile, whole, series };
    match profile.class {
        Class::NetworkBound => case.network(),
        Class::DiskBound => case.disk(),
        Class::CpuOneThread => case.one_thread(),
        Class::CpuParallel | Class::MemoryBandwidth => case.parallel(),
        Class::GpuBound => case.card_full(),
        Class::GpuStarved => case.card_starved(),
        Class::Idle => case.idle(),
        Class::Mixed => case.mixed(),
    }
}

/// `1 / ((1 - p) + p / n)`.
pub(super) fn amdahl(part: f64, times: f64) -> f64 {
    1.0 / ((1.0 - part) + part / times)
}

fn gain(part: f64, times: f64) -> Speedup {
    let part = part.clamp(0.0, 0.999);
    Speedup {
        low: amdahl(part / 2.0, times),
        high: amdahl(part, times),
        formula: format!("1 / ((1 - {part:.2}) + {part:.2} / {times:.0})"),
    }
}

fn removed(part: f64) -> Speedup {
    let part = part.clamp(0.0, 0.999);
    Speedup {
        low: 1.0 / (1.0 - part / 2.0),
        high: 1.0 / (1.0 - part),
        formula: format!("1 / (1 - {part:.2})"),
    }
}

fn strategy(what: &str, why: String, speedup: Option<Speedup>, effort: Effort) -> Strategy {
    Strategy { what: what.to_owned(), why, speedup, effort }
}

impl Case<'_> {
    /// How many times as many as now can be in flight until the processor is the limit, which is
    /// `1 + wait / cpu`, and how many that are; no more than `most`, which the flag says.
    fn in_flight(&self, kind: Wait, most: f64) -> Flight {
        let (wait, cpu) = (self.whole.wait(kind), self.whole.cpu());
        let now = self.whole.waits.get(&kind).map_or(1.0, Part::in_flight).max(1.0);
        let wanted = if cpu > 0.0 { 1.0 + wait / cpu } else { f64::INFINITY };
        let times = wanted.clamp(2.0, (most / now).max(2.0));
        Flight { times, count: (now * times).ceil(), bounded: wanted > times }
    }

    fn network(&self) -> Vec<Strategy> {
        let wait = self.whole.wait(Wait::Network);
        let Flight { times, count, bounded } = self.in_flight(Wait::Network, MOST_IN_FLIGHT);
        let mut why = match little(Wait::Network, self.whole, self.series) {
            Some(rhythm) => format!(
                "By Little's law {:.0} answers a second at {} each keep {:.1} in flight; ",
                rhythm.per_s,
                seconds(rhythm.each_s),
                rhythm.per_s * rhythm.each_s
            ),
            None => String::new(),
        };
        let _ = write!(
            why,
            "waiting takes {} times the processor time, so {times:.0} times as many in flight {}, \
             as long as the other end keeps its pace",
            ratio(wait, self.whole.cpu()),
            if bounded {
                "still leave a processor idle"
            } else {
                "(1 + wait / cpu) make one processor the limit"
            }
        );
        let polls = ["epoll", "poll", "ppoll", "select", "pselect"];
        if self.profile.calls.first().is_some_and(|call| {
            call.wait == Wait::Network && polls.iter().any(|name| call.call.starts_with(name))
        }) {
            why += "; it waits in an event loop, so how many are in flight now is not seen";
        }
        vec![
            strategy(
                &format!(
                    "Ask for several answers at once (threads, async, a pool of connections): \
                     about {count:.0} in flight"
                ),
                why + ".",
                Some(gain(wait, times)),
                Effort::Medium,
            ),
            strategy(
                "Ask less often: keep answers (cache), ask for many in one request (batch), keep \
                 connections open",
                format!(
                    "{} of the time goes to waiting for answers; the figure is for half of the \
                     requests falling away.",
                    percent(wait)
                ),
                Some(removed(wait / 2.0)),
                Effort::Medium,
            ),
        ]
    }

    fn disk(&self) -> Vec<Strategy> {
        let wait = self.whole.wait(Wait::Disk);
        let Flight { times, count, .. } = self.in_flight(Wait::Disk, MOST_TRANSFERS);
        let of = |names: &[&str]| -> f64 {
            let disk = self.profile.calls.iter().filter(|call| call.wait == Wait::Disk);
            let all: f64 = disk.clone().map(|call| call.share).sum();
            let named = disk.filter(|call| names.contains(&call.call.as_str()));
            named.map(|call| call.share).sum::<f64>() / all.max(f64::MIN_POSITIVE)
        };
        let flushes = of(&["fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"]);
        let faults = of(&["page fault"]);
        let mut found = Vec::new();
        if flushes * wait >= WORTH {
            found.push(strategy(
                "Flush less often: several changes for each fsync",
                format!("{} of the waits for storage are flushes.", percent(flushes)),
                Some(removed(wait * flushes)),
                Effort::Medium,
            ));
        }
        if faults * wait >= WORTH {
            found.push(strategy(
                "Fetch mapped files before they are touched (madvise, MAP_POPULATE, or reading \
                 them in large blocks), or give it more memory",
                format!(
                    "{} of the waits for storage are page faults, one page after the other.",
                    percent(faults)
                ),
                Some(removed(wait * faults)),
                Effort::Small,
            ));
        }
        found.push(strategy(
            &format!(
                "Read ahead, write behind, and have several transfers under way (threads, \
                 io_uring, larger blocks): about {count:.0} at once"
            ),
            format!(
                "Waiting for storage takes {} of the time and {} times as long as the processor \
                 work; transfers one after the other leave both idle in turn.",
                percent(wait),
                ratio(wait, self.whole.cpu())
            ),
            Some(gain(wait, times)),
            Effort::Medium,
        ));
        found.push(strategy(
            "Keep what is read again in memory, or store it smaller (compressed, in columns, only \
             what is needed)",
            "The figure is for half of the bytes falling away.".to_owned(),
            Some(removed(wait / 2.0)),
            Effort::Medium,
        ));
        found
    }

    fn one_thread(&self) -> Vec<Strategy> {
        let part = self.whole.cpu() * self.whole.serial_share();
        let hottest = self.series.threads.first();
        let name = hottest.map_or(String::new(), |thread| format!(" (thread {})", thread.name));
        let mut found = vec![strategy(
            "Make the hot loop faster first: vectorise it, or hand it to a library that is \
             compiled and vectorised",
            format!(
                "{} of the time is one thread's processor work{name}; the figure is for loops \
                 that vector instructions make {VECTOR_GAIN:.0} times as fast.",
                percent(part)
            ),
            Some(gain(part, VECTOR_GAIN)),
            Effort::Medium,
        )];
        let processors = f64::from(self.profile.cpu.processors);
        if processors < 2.0 {
            found.push(strategy(
                "Give it a faster processor",
                "It may use one processor only, so work that is divided gains nothing.".to_owned(),
                None,
                Effort::Small,
            ));
            return found;
        }
        let turns = takes_turns(self.profile, self.whole, self.series);
        found.push(strategy(
            if turns {
                "Divide the work among processes (multiprocessing), not threads"
            } else {
                "Divide the work among processes or threads"
            },
            format!(
                "It may use {processors:.0} processors and uses {:.2}{}.",
                self.profile.cpu.mean_cores,
                if turns { "; its threads wait for each other's lock" } else { "" }
            ),
            Some(gain(part, processors)),
            Effort::Large,
        ));
        found
    }

    fn parallel(&self) -> Vec<Strategy> {
        let cpu = &self.profile.cpu;
        let processors = f64::from(cpu.processors);
        let whole = self.whole;
        let seconds_all = whole.seconds.max(f64::MIN_POSITIVE);
        let width = whole.parallel_wanted_s / whole.parallel_s.max(f64::MIN_POSITIVE);
        let mut found = Vec::new();
        if width < 0.8 * processors {
            let part = whole.parallel_s / seconds_all;
            let times = processors / width;
            found.push(strategy(
                &format!("Use all {processors:.0} processors: more threads, smaller pieces"),
                format!("While it is parallel it wants {width:.1} of {processors:.0}."),
                Some(Speedup {
                    low: amdahl(part / 2.0, times),
                    high: amdahl(part, times),
                    formula: format!(
                        "1 / ((1 - {part:.2}) + {part:.2} / ({processors:.0} / {width:.1}))"
                    ),
                }),
                Effort::Small,
            ));
        }
        let serial = whole.cpu() * whole.serial_share();
        if serial >= 0.1 {
            found.push(strategy(
                "Divide what still runs on one thread",
                format!("In {} of the time one processor at most was wanted.", percent(serial)),
                Some(gain(serial, processors)),
                Effort::Large,
            ));
        }
        let used = cpu.user_s + cpu.system_s;
        let others = cpu.others_cores.unwrap_or(0.0);
        if width > 1.25 * processors {
            let crowd = others < 0.25 * processors;
            found.push(strategy(
                &if crowd {
                    format!("Use fewer threads: {processors:.0}, one for each processor")
                } else {
                    "Run it while nobody else needs the processors".to_owned()
                },
                format!(
                    "{width:.1} processors are wanted at once and {processors:.0} are there; ready \
                     threads waited {} beside {} of work.",
                    seconds(cpu.queued_s),
                    seconds(used)
                ),
                (!crowd).then(|| {
                    let part = (cpu.queued_s / (used + cpu.queued_s).max(f64::MIN_POSITIVE))
                        .clamp(0.0, 0.999)
                        * whole.cpu();
                    removed(part)
                }),
                Effort::Small,
            ));
        }
        found.push(strategy(
            "Make the hot loops faster: vectorise, keep what is used together together, a better \
             algorithm",
            format!(
                "{} of the time is processor work on {:.1} processors; the figure is for loops \
                 that vector instructions make {VECTOR_GAIN:.0} times as fast, and memory that \
                 keeps up.",
                percent(whole.cpu()),
                whole.parallelism()
            ),
            Some(gain(whole.cpu(), VECTOR_GAIN)),
            Effort::Medium,
        ));
        found
    }

    fn card_full(&self) -> Vec<Strategy> {
        let busy = percent(self.whole.card().unwrap_or(1.0));
        let memory = self.profile.cards.iter().filter_map(|card| card.memory_busy);
        let memory = memory.fold(0.0, f64::max);
        vec![
            strategy(
                "Compute in fewer bits: mixed precision (bf16, fp16, fp8), quantised weights",
                format!(
                    "The card computes in {busy} of the time{}.",
                    if memory >= 0.6 {
                        format!(" and its memory is busy in {}", percent(memory))
                    } else {
                        String::new()
                    }
                ),
                None,
                Effort::Small,
            ),
            strategy(
                "Fuse its kernels and raise the batch as far as memory goes (torch.compile, flash \
                 attention)",
                "Busy is not the same as well used: the driver counts any kernel as busy."
                    .to_owned(),
                None,
                Effort::Medium,
            ),
        ]
    }

    fn card_starved(&self) -> Vec<Strategy> {
        let busy = self.whole.card().unwrap_or(0.0);
        let waiting = 1.0 - busy;
        let speedup = || Some(removed(waiting));
        let fed = self.whole.wait(Wait::Disk) + self.whole.wait(Wait::Network);
        let mut found = Vec::new();
        let workers = strategy(
            "More loader workers and prefetching, so that the next batch is ready (num_workers, \
             pinned memory, non-blocking copies)",
            format!(
                "The card waits in {} of the time; in {} of it all of the program waits for input \
                 and in {} somebody wants a processor ({:.1} at once).",
                percent(waiting),
                percent(fed),
                percent(self.whole.cpu()),
                self.whole.parallelism()
            ),
            speedup(),
            Effort::Small,
        );
        let batch = strategy(
            "Larger batches, or CUDA graphs: fewer and longer kernels",
            format!(
                "A card that computes in {} of the time beside {:.1} busy processors is often kept \
                 waiting by the thread that starts its kernels.",
                percent(busy),
                self.whole.parallelism()
            ),
            speedup(),
            Effort::Small,
        );
        let input_first = fed >= 0.2 || self.whole.parallelism() >= 1.5;
        found.extend(if input_first { [workers, batch] } else { [batch, workers] });
        found
    }

    fn idle(&self) -> Vec<Strategy> {
        let Some(kind) = super::class::waits_for(Class::Idle, self.whole) else {
            return Vec::new();
        };
        let part = self.whole.wait(kind);
        let share = percent(part);
        let (what, speedup, effort) = match kind {
            Wait::Sleep => (
                "Shorten or drop its own pauses: wait for the event itself instead of asking again \
                 and again",
                Some(removed(part)),
                Effort::Small,
            ),
            Wait::Lock => (
                "Find who holds the lock or should signal the condition (gdb -p PID, py-spy dump)",
                None,
                Effort::Medium,
            ),
            Wait::Requests => {
                ("Nothing: it serves, and nobody asks. Profile it under load", None, Effort::Small)
            }
            Wait::Pipe => (
                "Profile the program at the other end: that is where the time goes",
                None,
                Effort::Small,
            ),
            Wait::Terminal => ("Nothing: it waits for somebody to type", None, Effort::Small),
            Wait::Stopped => ("Continue it (kill -CONT PID)", None, Effort::Small),
            Wait::Child => (
                "Profile the process that it waits for, which is no longer among its descendants",
                None,
                Effort::Small,
            ),
            _ => (
                "Watch it while it works: what it waits for here is not seen from outside",
                None,
                Effort::Small,
            ),
        };
        let why = format!("In {share} of the time all of it waited for {}.", kind.words());
        vec![strategy(what, why, speedup, effort)]
    }

    /// The advice of every part that is worth it, the most promising first.
    fn mixed(&self) -> Vec<Strategy> {
        let mut found = Vec::new();
        if self.whole.wait(Wait::Network) >= WORTH {
            found.extend(self.network().into_iter().take(1));
        }
        if self.whole.wait(Wait::Disk) >= WORTH {
            found.extend(self.disk().into_iter().take(1));
        }
        let cpu = self.whole.cpu();
        if cpu * self.whole.serial_share() >= WORTH {
            found.extend(self.one_thread());
        }
        if cpu * (1.0 - self.whole.serial_share()) >= WORTH {
            found.extend(self.parallel());
        }
        if self.whole.card().is_some_and(|busy| busy >= 0.05) {
            found.extend(self.card_starved().into_iter().take(1));
        }
        if self.whole.idle() >= WORTH {
            found.extend(self.idle());
        }
        let promise = |one: &Strategy| one.speedup.as_ref().map_or(0.0, |speedup| speedup.high);
        found.sort_by(|a, b| promise(b).total_cmp(&promise(a)));
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|one| seen.insert(one.what.clone()));
        found
    }
}

fn ratio(wait: f64, cpu: f64) -> String {
    match wait / cpu {
        times if !times.is_finite() || times >= 1000.0 => "more than 1000".to_owned(),
        times if times >= 9.95 => format!("{times:.0}"),
        times => format!("{times:.1}"),
    }
}
