//! What `perf stat -x,` or `perf stat -j` wrote, as counters: a machine's events can be counted
//! where they can, and judged here.

use autotune_engine::api::{Count, Event};
use serde_json::Value;
use thiserror::Error;

use super::metrics;
use crate::model::{CounterProfile, OtherCount};

/// Events that one file may hold.
const MOST_EVENTS: usize = 10_000;

/// Why a file is none of `perf stat`'s.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PerfStatError {
    /// There is not one event in it.
    #[error("there is no event in it")]
    Empty,
    /// A line is none that `perf stat` writes.
    #[error("line {line} is none of `perf stat -x,` or `perf stat -j`: {why}")]
    Strange {
        /// Counts from 1.
        line: usize,
        /// What is strange.
        why: String,
    },
    /// Too many events to be one measurement.
    #[error("there are more than {MOST_EVENTS} events in it")]
    TooMany,
}

/// One event as a line has it.
struct Line {
    event: String,
    /// `None` where it was not counted.
    value: Option<f64>,
    unit: String,
    runtime_ns: Option<u64>,
    counted_percent: Option<f64>,
}

/// The counters of a file's text; `source` names it.
pub fn perf_stat(source: &str, text: &str) -> Result<CounterProfile, PerfStatError> {
    let mut counts: Vec<Count> = Vec::new();
    let mut others = Vec::new();
    let mut elapsed_s = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = if line.starts_with('{') { json(line) } else { separated(line) };
        let read = read.map_err(|why| PerfStatError::Strange { line: number, why })?;
        // A metric that perf computed has no event.
        let Some(read) = read else { continue };
        if counts.len() + others.len() >= MOST_EVENTS {
            return Err(PerfStatError::TooMany);
        }
        if read.event == "duration_time" {
            elapsed_s = read.value.map(|nanoseconds| nanoseconds / 1e9);
            continue;
        }
        match count(&read) {
            Some(count) => add(&mut counts, count),
            None => others.push(OtherCount {
                event: read.event,
                value: read.value,
                unit: Some(read.unit).filter(|unit| !unit.is_empty()),
            }),
        }
    }
    if counts.is_empty() && others.is_empty() {
        return Err(PerfStatError::Empty);
    }
    let metrics = metrics(&counts, elapsed_s);
    Ok(CounterProfile { source: source.to_owned(), elapsed_s, counts, metrics, others })
}

/// Memory controllers come one by one.
fn add(counts: &mut Vec<Count>, count: Count) {
    let same = |known: &&mut Count| (known.event, &known.unit) == (count.event, &count.unit);
    match counts.iter_mut().find(same) {
        Some(known) => {
            known.value = known.value.saturating_add(count.value);
            known.enabled_ns = known.enabled_ns.saturating_add(count.enabled_ns);
            known.running_ns = known.running_ns.saturating_add(count.running_ns);
        }
        None => counts.push(count),
    }
}

/// `value,unit,event,runtime,percent,…`
fn separated(line: &str) -> Result<Option<Line>, String> {
    let separator = [',', ';', '\t', '|'].into_iter().find(|it| line.contains(*it));
    let separator = separator.ok_or_else(|| "it has no columns".to_owned())?;
    let columns: Vec<&str> = line.split(separator).map(str::trim).collect();
    let [value, unit, event, rest @ ..] = columns.as_slice() else {
        return Err("it has fewer than three columns".to_owned());
    };
    if value.is_empty() {
        // A line that goes on with metrics of the event before it.
        return Ok(None);
    }
    if !value.starts_with('<') && value.parse::<f64>().is_err() {
        return Err(format!(
            "`{value}` is no count (without -A, -I and --per-… there is one in the first column)"
        ));
    }
    if event.is_empty() {
        return Err("it names no event".to_owned());
    }
    // With -r the scatter of the runs stands before their time.
    let rest = match rest {
        [scatter, rest @ ..] if scatter.ends_with('%') => rest,
        rest => rest,
    };
    Ok(Some(Line {
        event: (*event).to_owned(),
        value: counted(value)?,
        unit: (*unit).to_owned(),
        runtime_ns: rest.first().and_then(|text| text.parse().ok()),
        counted_percent: rest.get(1).and_then(|text| text.parse().ok()),
    }))
}

/// `{"counter-value": "12.0", "unit": "", "event": "cycles", "event-runtime": 5, "pcnt-running": 100}`
fn json(line: &str) -> Result<Option<Line>, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |key: &str| match &value[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let Some(event) = text("event") else { return Ok(None) };
    let Some(counter) = text("counter-value") else { return Ok(None) };
    let number = |key: &str| text(key)?.parse::<f64>().ok();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let runtime_ns = number("event-runtime").map(|it| it as u64);
    Ok(Some(Line {
        event,
        value: counted(counter.trim())?,
        unit: text("unit").unwrap_or_default(),
        runtime_ns,
        counted_percent: number("pcnt-running"),
    }))
}

/// A count; `None` for `<not counted>` and `<not supported>`.
fn counted(text: &str) -> Result<Option<f64>, String> {
    if text.starts_with('<') {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
        _ => Err(format!("`{text}` is no count")),
    }
}

/// The line as one of our events.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn count(line: &Line) -> Option<Count> {
    let (event, unit) = named(&line.event)?;
    let factor = match (event, line.unit.as_str()) {
        // `task-clock` is printed in milliseconds, energy in joules, traffic in MiB.
        (Event::TaskClock, "msec") | (Event::PackageEnergy | Event::MemoryEnergy, _) => 1e6,
        (Event::MemoryReads | Event::MemoryWrites, "MiB") => f64::from(1 << 20),
        (Event::MemoryReads | Event::MemoryWrites, _) => return None,
        _ => 1.0,
    };
    let running_ns = line.runtime_ns.unwrap_or(0);
    let percent = line.counted_percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    let share = percent.unwrap_or(100.0) / 100.0;
    let enabled_ns = (running_ns as f64 / share) as u64;
    Some(match line.value {
        // perf has scaled it up already: what it shows is for the whole time.
        Some(value) => {
            Count { event, unit, value: (value * factor * share) as u64, enabled_ns, running_ns }
        }
        None => Count { event, unit, value: 0, enabled_ns: enabled_ns.max(1), running_ns: 0 },
    })
}

/// `cycles`, `cycles:u`, `cpu_core/cycles/u`, `uncore_imc_0/cas_count_read/`.
fn named(text: &str) -> Option<(Event, Option<String>)> {
    let mut parts = text.split('/');
    let first = parts.next()?;
    let Some(event) = parts.next() else {
        return Some((plain(first.split(':').next()?)?, None));
    };
    match first {
        unit if unit.starts_with("uncore_imc") => match event {
            "cas_count_read" | "data_read" | "data_reads" => Some((Event::MemoryReads, None)),
            "cas_count_write" | "data_write" | "data_writes" => Some((Event::MemoryWrites, None)),
            _ => None,
        },
        "power" => match event {
            "energy-pkg" => Some((Event::PackageEnergy, None)),
            "energy-ram" => Some((Event::MemoryEnergy, None)),
            _ => None,
        },
        "cpu" => Some((plain(event)?, None)),
        "cpu_core" | "cpu_atom" | "cpu_lowpower" => Some((plain(event)?, Some(first.to_owned()))),
        _ => None,
    }
}

fn plain(name: &str) -> Option<Event> {
    let event = match name {
        "cpu-cycles" => Event::Cycles,
        "branch-instructions" => Event::Branches,
        "faults" => Event::PageFaults,
        "cs" => Event::ContextSwitches,
        "migrations" => Event::Migrations,
        name => name.parse().ok()?,
    };
    // Those names are ours alone.
    let own = [Event::MemoryReads, Event::MemoryWrites, Event::PackageEnergy, Event::MemoryEnergy];
    (!own.contains(&event)).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As perf 6.8 writes it with `-x, -d`.
    const SEPARATED: &str = "\
# started on Mon Mar  2 10:11:12 2026

2503.12,msec,task-clock,2503120000,100.00,7.912,CPUs utilized
412,,context-switches,2503120000,100.00,164.594,/sec
8012345678,,cycles:u,1251560000,50.00,3.201,GHz
12018518517,,instructions:u,1251560000,50.00,1.50,insn per cycle
,,,,,0.20,stalled cycles per insn
<not supported>,,LLC-loads,0,100.00,,
<not counted>,,LLC-load-misses,0,0.00,,
316000000,ns,duration_time,316000000,100.00,,
77,,topdown-retiring,1251560000,100.00,,
";

    fn of(profile: &CounterProfile, event: Event) -> Option<u64> {
        profile.counts.iter().find(|count| count.event == event)?.scaled()
    }

    #[test]
    fn separated_columns_are_read_with_their_measures() {
        let profile = perf_stat("a.csv", SEPARATED).unwrap();
        assert_eq!(of(&profile, Event::TaskClock), Some(2_503_120_000));
        assert_eq!(of(&profile, Event::ContextSwitches), Some(412));
        let cycles = of(&profile, Event::Cycles).unwrap();
        assert!(cycles.abs_diff(8_012_345_678) < 4, "perf had scaled it already: {cycles}");
        assert_eq!(of(&profile, Event::LlcLoads), None);
        assert_eq!(of(&profile, Event::LlcLoadMisses), None);
        assert_eq!(profile.elapsed_s, Some(0.316));
        assert_eq!(profile.others.len(), 1);
        let ipc = profile.metrics.iter().find(|it| it.name == "instructions per cycle").unwrap();
        assert!((ipc.value - 1.5).abs() < 1e-3, "{ipc:?}");
        assert!((ipc.counted_share - 0.5).abs() < 1e-3, "{ipc:?}");
        assert!(profile.metrics.iter().any(|it| it.name == "processors busy"));
    }

    #[test]
    fn json_lines_and_two_kinds_of_core_are_read() {
        let text = r#"
{"counter-value" : "300.000000", "unit" : "", "event" : "cpu_core/instructions/u", "event-runtime" : 100, "pcnt-running" : 100.00}
{"counter-value" : "100.000000", "unit" : "", "event" : "cpu_core/cycles/u", "event-runtime" : 100, "pcnt-running" : 100.00, "metric-value" : "3", "metric-unit" : "insn per cycle"}
{"metric-value" : "0.1", "metric-unit" : "nothing"}
{"counter-value" : "<not counted>", "unit" : "", "event" : "cpu_atom/cycles/u", "event-runtime" : 0, "pcnt-running" : 0.00}
{"counter-value" : "12.50", "unit" : "Joules", "event" : "power/energy-pkg/", "event-runtime" : 100, "pcnt-running" : 100.00}
{"counter-value" : "2.00", "unit" : "MiB", "event" : "uncore_imc_0/cas_count_read/", "event-runtime" : 1, "pcnt-running" : 100.00}
{"counter-value" : "3.00", "unit" : "MiB", "event" : "uncore_imc_1/cas_count_read/", "event-runtime" : 1, "pcnt-running" : 100.00}
"#;
        let profile = perf_stat("a.json", text).unwrap();
        assert_eq!(of(&profile, Event::PackageEnergy), Some(12_500_000));
        assert_eq!(of(&profile, Event::MemoryReads), Some(5 << 20), "controllers are summed");
        let ipc: Vec<_> = profile.metrics.iter().filter(|it| it.unit.is_empty()).collect();
        assert_eq!(ipc.len(), 1, "the other kind of core was not counted: {ipc:?}");
        assert_eq!(ipc[0].unit_of_cores.as_deref(), Some("cpu_core"));
    }

    #[test]
    fn repeated_runs_with_their_scatter_are_read() {
        let text = "8012345678,,cycles,1.23%,1251560000,100.00,3.2,GHz\n5,,branches,7,900.00\n";
        let profile = perf_stat("r.csv", text).unwrap();
        assert_eq!(of(&profile, Event::Cycles), Some(8_012_345_678));
        assert_eq!(of(&profile, Event::Branches), Some(5), "900 % of the time is none");
    }

    #[test]
    fn other_files_are_refused_with_the_line() {
        for (text, line) in [
            ("hello world", 1),
            ("\nCPU0,5,,cycles,1,100.00", 2),
            ("-5,,cycles,1,100.00", 1),
            ("NaN,,cycles,1,100.00", 1),
            ("{\"event\": ", 1),
        ] {
            match perf_stat("x", text) {
                Err(PerfStatError::Strange { line: found, .. }) => {
                    assert_eq!(found, line, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(perf_stat("x", "# nothing\n"), Err(PerfStatError::Empty));
        let many = "1,,cycles-of-mine,1,100\n".repeat(MOST_EVENTS + 1);
        assert_eq!(perf_stat("x", &many), Err(PerfStatError::TooMany));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = perf_stat("x", &text);
        }

        #[test]
        fn no_columns_make_the_reader_panic(text in "[0-9<>,.eE+cyles:/ -]{0,120}") {
            let _ = perf_stat("x", &text);
        }
    }
}
