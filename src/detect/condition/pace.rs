//! What grew between two readings: time of the processors, throttling, swapping.

use super::keep;
use crate::detect::host::{cpus, value};
use crate::detect::topology::CPUS;
use crate::detect::{Host, Unread};
use crate::model::{Condition, CpuList, ThrottleEvents};

const STAT: &str = "/proc/stat";
const VMSTAT: &str = "/proc/vmstat";

/// Counters since the system started.
pub(super) struct Reading {
    times: Result<Times, Unread>,
    swapped: Result<u64, Unread>,
    throttled: Result<(u64, u64), Unread>,
}

/// Clock ticks of all processors together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    busy: u64,
    idle: u64,
    stolen: u64,
    processors: u32,
}

impl Reading {
    pub(super) fn take(host: &dyn Host) -> Self {
        let swapped = host.read(VMSTAT).and_then(|text| {
            let pages = |key: &str| counter(&text, key);
            pages("pswpin")
                .zip(pages("pswpout"))
                .map(|(read, written)| read.saturating_add(written))
                .ok_or_else(|| Unread::strange(VMSTAT, "no pswpin"))
        });
        let times = host.read(STAT).and_then(|text| {
            let first = text.lines().next().unwrap_or_default();
            times(&text).ok_or_else(|| Unread::strange(STAT, first))
        });
        Self { times, swapped, throttled: throttled(host) }
    }
}

/// Puts what grew into the document.
pub(super) fn compare(before: &Reading, after: &Reading, found: &mut Condition) {
    let unseen = &mut found.unseen;
    let swapped = match (&before.swapped, &after.swapped) {
        (Ok(before), Ok(after)) => Ok(after.saturating_sub(*before)),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    found.swapped_pages = keep(unseen, "swapped_pages", swapped);
    let counts = keep(unseen, "throttled", after.throttled.clone());
    found.throttled = counts.map(|(core, package)| {
        let before = before.throttled.as_ref().map_or((core, package), |counts| *counts);
        let now = core.saturating_sub(before.0).max(package.saturating_sub(before.1));
        ThrottleEvents { core, package, now }
    });
    let shares = before
        .times
        .as_ref()
        .and_then(|before| after.times.as_ref().map(|after| shares(*before, *after)));
    let shares = match shares {
        Ok(Some(shares)) => Ok(shares),
        Ok(None) => Err("no time passed between two readings of /proc/stat".to_owned()),
        Err(why) => Err(why.to_string()),
    };
    let stolen = shares.clone().map(|(_, stolen)| stolen);
    found.busy_processors = keep(unseen, "busy_processors", shares.map(|(busy, _)| busy));
    found.stolen_share = keep(unseen, "stolen_share", stolen);
}

/// Busy processors and the stolen share of all time; `None` where no time passed.
fn shares(before: Times, after: Times) -> Option<(f64, f64)> {
    let busy = after.busy.saturating_sub(before.busy);
    let idle = after.idle.saturating_sub(before.idle);
    let stolen = after.stolen.saturating_sub(before.stolen);
    let all = busy.saturating_add(idle).saturating_add(stolen);
    (all > 0 && after.processors > 0).then(|| {
        let share = |ticks: u64| ticks as f64 / all as f64;
        (share(busy) * f64::from(after.processors), share(stolen))
    })
}

/// The first line sums all processors: user, nice, system, idle, iowait, irq, softirq, steal
/// (`proc_stat(5)`).
fn times(text: &str) -> Option<Times> {
    let mut lines = text.lines();
    let all = lines.next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks[..] else {
        return None;
    };
    let processors = lines.take_while(|line| line.starts_with("cpu")).count();
    let sum = |ticks: &[u64]| ticks.iter().fold(0_u64, |sum, more| sum.saturating_add(*more));
    Some(Times {
        busy: sum(&[user, nice, system, irq, softirq]),
        idle: sum(&[idle, iowait]),
        stolen,
        processors: u32::try_from(processors).ok()?,
    })
}

fn counter(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The highest counts of all cores and packages: every CPU of a package repeats the package's.
fn throttled(host: &dyn Host) -> Result<(u64, u64), Unread> {
    let online = cpus(host, &format!("{CPUS}/online"))?;
    let highest = |file: &str| highest(host, &online, file);
    let core = highest("core_throttle_count");
    let package = highest("package_throttle_count");
    match (&core, &package) {
        (Err(_), Err(_)) => core.map(|count| (count, 0)),
        _ => Ok((core.unwrap_or(0), package.unwrap_or(0))),
    }
}

fn highest(host: &dyn Host, online: &CpuList, file: &str) -> Result<u64, Unread> {
    let path = |cpu: u32| format!("{CPUS}/cpu{cpu}/thermal_throttle/{file}");
    let known = online.iter().filter_map(|cpu| value::<u64>(host, &path(cpu)).ok()).max();
    known.ok_or_else(|| Unread::Absent(path(online.iter().next().unwrap_or(0))))
}

/// `some avg10=19.40 avg60=…`.
pub(super) fn pressure(host: &dyn Host, found: &mut Condition) {
    let path = "/proc/pressure/cpu";
    let percent = host.read(path).and_then(|text| {
        let value = text.lines().find_map(|line| {
            let word = line.strip_prefix("some avg10=")?.split(' ').next()?;
            word.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent))
        });
        value.ok_or_else(|| Unread::strange(path, &text))
    });
    found.processor_pressure = keep(&mut found.unseen, "processor_pressure", percent);
}
