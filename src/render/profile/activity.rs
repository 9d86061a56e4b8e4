//! What a command did and waited for: its class first, then why, what would help, and the numbers.

use std::fmt::Write as _;

use crate::model::Profile;
use crate::model::activity::{Begin, CommandProfile, End, Phase, Point, Speedup, Strategy};
use crate::model::observation::Wait;
use crate::render::format::{count, three};
use crate::render::machine::{clean, markdown_text, wrap};

/// Columns of the text.
const WIDTH: usize = 80;
/// Columns before the text of a row.
const LABEL: usize = 10;
/// Characters of a command line, a place or a name that are shown.
const LONGEST: usize = 60;
/// Lines of the course.
const COURSE: usize = 12;
/// Columns of the bar that shows processors in use.
const BAR: usize = 24;

/// A table: its title, its head, its rows.
struct Table {
    title: &'static str,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

/// Text for a terminal.
pub(super) fn text(profile: &Profile, command: &CommandProfile) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::from("\n");
    for line in wrap(&class(command), WIDTH) {
        let _ = writeln!(out, "{bold}{line}{bold:#}");
    }
    for line in wrap(&clean(&what(command)), WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    for sentence in &command.evidence {
        row(&mut out, "seen", &clean(sentence));
    }
    if !command.phases.is_empty() {
        let _ = writeln!(out, "\n{bold}Phases{bold:#}");
        for phase in &command.phases {
            for (at, line) in wrap(&clean(&phase_line(phase)), WIDTH - 5).iter().enumerate() {
                let _ = writeln!(out, "{}{line}", if at == 0 { "   " } else { "     " });
            }
        }
    }
    if !command.strategies.is_empty() {
        let _ = writeln!(out, "\n{bold}What would help{bold:#}");
    }
    for (at, strategy) in command.strategies.iter().enumerate() {
        let title = format!("{}. {}", at + 1, clean(&strategy.what));
        for (at, line) in wrap(&title, WIDTH - 6).iter().enumerate() {
            let _ = writeln!(out, "{}{line}", if at == 0 { "   " } else { "      " });
        }
        for (label, text) in strategy_rows(strategy) {
            row(&mut out, label, &text);
        }
    }
    for table in tables(command) {
        let _ = writeln!(out, "\n{bold}{}{bold:#}", table.title);
        aligned(&mut out, &table);
    }
    out.push('\n');
    for line in wrap(&clean(&method(command)), WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    for sentence in doubts(profile, command) {
        for line in wrap(&clean(&sentence), WIDTH) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// Markdown with the same content.
pub(super) fn markdown(profile: &Profile, command: &CommandProfile) -> String {
    let shown = |text: &str| markdown_text(&clean(text));
    let mut out = format!("# {}\n\n", shown(&class(command)));
    let _ = writeln!(out, "{}\n", shown(&what(command)));
    let _ = writeln!(
        out,
        "autotune {}, {}{}\n",
        shown(&profile.tool_version),
        shown(&profile.captured_at),
        profile.machine.as_ref().map(|name| format!(", {}", shown(name))).unwrap_or_default()
    );
    out.push_str("## Evidence\n\n");
    for sentence in &command.evidence {
        let _ = writeln!(out, "- {}", shown(sentence));
    }
    if !command.phases.is_empty() {
        out.push_str("\n## Phases\n\n");
        for phase in &command.phases {
            let _ = writeln!(out, "- {}", shown(&phase_line(phase)));
        }
    }
    if !command.strategies.is_empty() {
        out.push_str("\n## What would help\n");
    }
    for (at, strategy) in command.strategies.iter().enumerate() {
        let _ = writeln!(out, "\n{}. {}\n", at + 1, shown(&strategy.what));
        for (label, text) in strategy_rows(strategy) {
            let _ = writeln!(out, "   - {label}: {}", markdown_text(&text));
        }
    }
    for table in tables(command) {
        let _ = writeln!(out, "\n## {}\n", table.title);
        let _ = writeln!(out, "| {} |", table.head.join(" | "));
        let _ = writeln!(out, "|{}", "---|".repeat(table.head.len()));
        for cells in &table.rows {
            let cells: Vec<String> = cells.iter().map(|cell| markdown_text(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
    }
    let _ = writeln!(out, "\n{}", shown(&method(command)));
    for sentence in doubts(profile, command) {
        let _ = writeln!(out, "\n{}", shown(&sentence));
    }
    out
}

/// The first line.
fn class(command: &CommandProfile) -> String {
    use crate::model::activity::Class;
    let words = command.class.words();
    let more = match (command.class, command.waits_for) {
        (Class::Idle, Some(kind)) => format!(": waiting for {}", kind.words()),
        (Class::Mixed, _) if !command.phases.is_empty() => {
            let mut names: Vec<&str> = Vec::new();
            for phase in &command.phases {
                if !names.contains(&phase.class.words()) {
                    names.push(phase.class.words());
                }
            }
            format!(" by phases: {}", names.join("; "))
        }
        (Class::Mixed, _) => ": no one thing for most of the time".to_owned(),
        _ => String::new(),
    };
    format!("{words}{more} (confidence {})", percent(command.confidence.value))
}

/// The command, how long it was watched and how it ended.
fn what(command: &CommandProfile) -> String {
    let joined = match command.begin {
        Begin::Launched => String::new(),
        Begin::Joined { pid } => format!("process {pid}: "),
    };
    let end = match command.end {
        End::Exited { code } => format!("exit code {code}"),
        End::Killed { signal } => format!("killed by signal {signal}"),
        End::Gone => "it has ended".to_owned(),
        End::Running => "it still runs".to_owned(),
    };
    format!("{joined}{}, {}, {end}", cut(&command.command.join(" ")), time(command.duration_s))
}

fn phase_line(phase: &Phase) -> String {
    let waits = phase.waits_for.map(|kind| format!(" ({})", kind.words())).unwrap_or_default();
    format!(
        "{} to {}: {}{waits}; somebody wanted a processor in {} of it, {:.2} were used",
        time(phase.from_s),
        time(phase.to_s),
        phase.class.words(),
        percent(phase.cpu_share),
        phase.cores
    )
}

fn strategy_rows(strategy: &Strategy) -> Vec<(&'static str, String)> {
    let gain = match &strategy.speedup {
        None => "not known from here".to_owned(),
        Some(Speedup { low, high, formula }) => {
            format!("{} to {} times as fast at most: {formula}", three(*low), three(*high))
        }
    };
    vec![
        ("why", clean(&strategy.why)),
        ("gain", clean(&gain)),
        ("effort", strategy.effort.words().to_owned()),
    ]
}

fn tables(command: &CommandProfile) -> Vec<Table> {
    let all = [
        shares(command),
        numbers(command),
        calls(command),
        threads(command),
        cards(command),
        metrics(command),
        course(command),
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// What the counters say, where there are some besides the kernel's own.
fn metrics(command: &CommandProfile) -> Table {
    let rows = command.metrics.iter().filter(|metric| !super::counters::by_kernel(metric));
    Table {
        title: "Counters",
        head: &["", "value", "from"],
        rows: rows.map(super::counters::row_of).collect(),
    }
}

fn shares(command: &CommandProfile) -> Table {
    let rows = command.shares.iter().filter(|share| share.share >= 0.001).map(|share| {
        let name = share.wait.map_or("(wanting a processor)", Wait::name);
        let sources: Vec<&str> = share.sources.iter().map(|source| source.words()).collect();
        let at_once = share.in_flight.map_or(String::new(), |count| format!("{count:.1}"));
        vec![
            name.to_owned(),
            percent(share.share),
            time(share.share * command.duration_s),
            at_once,
            sources.join(", "),
        ]
    });
    Table {
        title: "Where the time went",
        head: &["waiting for", "share", "time", "at once", "told by"],
        rows: rows.collect(),
    }
}

fn numbers(command: &CommandProfile) -> Table {
    let cpu = &command.cpu;
    let mut rows = vec![
        ("processor time", format!("{} own, {} kernel", time(cpu.user_s), time(cpu.system_s))),
        ("processors used", format!("{:.2} of {} on the average", cpu.mean_cores, cpu.processors)),
        ("ready and queued", time(cpu.queued_s)),
        (
            "switches",
            format!(
                "{} to wait, {} taken away",
                count(cpu.voluntary_switches),
                count(cpu.involuntary_switches)
            ),
        ),
        ("memory", format!("{} at most", bytes(command.memory.peak_bytes.0 as f64))),
        (
            "page faults",
            format!(
                "{} from memory, {} from storage",
                count(command.memory.minor_faults),
                count(command.memory.major_faults)
            ),
        ),
    ];
    if let Some(io) = command.io {
        let storage = format!(
            "{} read, {} written",
            bytes(io.storage_read_bytes as f64),
            bytes(io.storage_write_bytes as f64)
        );
        let calls = format!(
            "{} in {} calls read, {} in {} written",
            bytes(io.read_bytes as f64),
            count(io.read_calls),
            bytes(io.write_bytes as f64),
            count(io.write_calls)
        );
        rows.push(("storage", storage));
        rows.push(("calls", calls));
    }
    if let Some(network) = command.network {
        let words = format!(
            "{} in, {} out (of all programs in its network namespace)",
            bytes(network.received_bytes as f64),
            bytes(network.sent_bytes as f64)
        );
        rows.push(("network", words));
    }
    if !cpu.by_processor.is_empty() {
        let mut busiest = cpu.by_processor.clone();
        busiest.sort_by(|a, b| b.cpu_s.total_cmp(&a.cpu_s));
        let shown: Vec<String> = busiest
            .iter()
            .take(8)
            .map(|one| format!("{}: {}", one.processor, time(one.cpu_s)))
            .collect();
        let more = busiest.len().saturating_sub(8);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        rows.push(("by processor", shown.join(", ") + &more));
    }
    let rows = rows.into_iter().map(|(name, words)| vec![name.to_owned(), words]).collect();
    Table { title: "Numbers", head: &["what", "how much"], rows }
}

fn calls(command: &CommandProfile) -> Table {
    let rows = command.calls.iter().filter(|call| call.share >= 0.01).take(8).map(|call| {
        vec![
            clean(&call.call),
            cut(call.on.as_deref().unwrap_or_default()),
            call.wait.name().to_owned(),
            percent(call.share),
        ]
    });
    Table {
        title: "Where threads were seen waiting",
        head: &["system call", "on", "for", "share"],
        rows: rows.collect(),
    }
}

fn threads(command: &CommandProfile) -> Table {
    let rows = command.threads.iter().take(8).map(|thread| {
        vec![cut(&thread.name), thread.pid.to_string(), thread.tid.to_string(), time(thread.cpu_s)]
    });
    Table {
        title: "Threads by processor time",
        head: &["name", "process", "thread", "time"],
        rows: rows.collect(),
    }
}

fn cards(command: &CommandProfile) -> Table {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| bytes(rate) + "/s");
    let rows = command.cards.iter().map(|card| {
        vec![
            cut(card.name.as_deref().unwrap_or("a card")),
            share(card.busy),
            share(card.memory_busy),
            card.peak_bytes.map_or("–".to_owned(), |peak| bytes(peak.0 as f64)),
            rate(card.copied_in_bytes_per_s),
            rate(card.copied_out_bytes_per_s),
        ]
    });
    Table {
        title: "GPUs",
        head: &["card", "busy", "memory busy", "in use", "copied in", "copied out"],
        rows: rows.collect(),
    }
}

/// The course, thinned to a few lines.
fn course(command: &CommandProfile) -> Table {
    let most = f64::from(command.cpu.processors).max(1.0);
    let chunk = command.course.len().div_ceil(COURSE).max(1);
    let mut before = 0.0;
    let rows = command.course.chunks(chunk).map(|points| {
        let (mut cores, mut spans) = (0.0, 0.0);
        for point in points {
            cores += point.cores * (point.at_s - before);
            spans += point.at_s - before;
            before = point.at_s;
        }
        let cores = if spans > 0.0 { cores / spans } else { 0.0 };
        let filled = (1..=BAR).filter(|at| (*at as f64 - 0.5) / BAR as f64 <= cores / most).count();
        let memory = points.iter().map(|point| point.resident_bytes.0).max().unwrap_or(0);
        vec![
            time(before),
            format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled)),
            format!("{cores:.2}"),
            bytes(memory as f64),
            waited(points),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let rows = if rows.len() < 2 { Vec::new() } else { rows };
    Table {
        title: "Course",
        head: &["until", "processors in use", "", "memory", "waited for"],
        rows,
    }
}

/// What most of these points waited for.
fn waited(points: &[Point]) -> String {
    let mut kinds: Vec<(Wait, usize)> = Vec::new();
    for kind in points.iter().filter_map(|point| point.waits_for) {
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, times)) => *times += 1,
            None => kinds.push((kind, 1)),
        }
    }
    let most = kinds.into_iter().max_by_key(|(_, times)| *times);
    most.map_or(String::new(), |(kind, _)| kind.name().to_owned())
}

/// How sure, and by what.
fn method(command: &CommandProfile) -> String {
    let sure = &command.confidence;
    let looks = &command.looks;
    format!(
        "{} looks, one each {}, at a cost of {:.1} % of a processor. Confidence {}: the same \
         class in {} of {} resampled series, {} for the number of looks, {} of the time \
         accounted for.",
        looks.count,
        time(looks.spacing_s),
        looks.cost_cores * 100.0,
        percent(sure.value),
        percent(sure.agreement),
        sure.resamples,
        percent(sure.length),
        percent(sure.attributed)
    )
}

/// What could not be seen, and what would show it.
fn doubts(profile: &Profile, command: &CommandProfile) -> Vec<String> {
    let unseen = command.unseen.iter().map(|sentence| format!("Not seen: {sentence}."));
    unseen.chain(command.more_rights.clone()).chain(profile.caveats.iter().cloned()).collect()
}

fn row(out: &mut String, label: &str, text: &str) {
    let mut label = format!("   {label:<width$}", width = LABEL - 3);
    for line in wrap(text, WIDTH - LABEL) {
        out.push_str(format!("{label}{line}").trim_end());
        out.push('\n');
        label = " ".repeat(LABEL);
    }
}

/// Columns as wide as their widest cell; what does not fit goes on below the last column.
fn aligned(out: &mut String, table: &Table) {
    let head: Vec<String> = table.head.iter().map(|&name| name.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&table.rows).collect();
    let last = table.head.len() - 1;
    let width = |column: usize| {
        let widest = lines.iter().filter_map(|cells| cells.get(column));
        widest.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..last).map(width).collect();
    // The last column keeps room; the widest of the others gives way.
    while widths.iter().map(|width| width + 2).sum::<usize>() + 3 + 14 > WIDTH {
        let Some(widest) = widths.iter_mut().max() else { break };
        *widest -= 1;
    }
    let indent = 3 + widths.iter().map(|width| width + 2).sum::<usize>();
    for cells in lines {
        let mut line = "   ".to_owned();
        for (cell, width) in cells.iter().zip(&widths) {
            let cell: String = if cell.chars().count() > *width {
                cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
            } else {
                cell.clone()
            };
            let _ = write!(line, "{cell:<width$}  ");
        }
        let rest = cells.get(last).map(String::as_str).unwrap_or_default();
        for (at, part) in wrap(rest, WIDTH - indent).iter().enumerate() {
            let start = if at == 0 { line.clone() } else { " ".repeat(indent) };
            out.push_str(format!("{start}{part}").trim_end());
            out.push('\n');
        }
    }
}

/// Text from outside, cleaned and not too long.
fn cut(text: &str) -> String {
    let text = clean(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 120.0 => {
            let minutes = (s.round() / 60.0).floor();
            format!("{minutes:.0} min {:.0} s", s.round() - minutes * 60.0)
        }
        s if s >= 0.9995 => format!("{s:.1} s"),
        s if s > 0.0 => format!("{:.0} ms", s * 1e3),
        _ => "0".to_owned(),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [
        (1_099_511_627_776.0, "TiB"),
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
    ];
    let unit = UNITS.iter().find(|(size, _)| value >= *size);
    unit.map_or_else(
        || format!("{value:.0} bytes"),
        |(size, unit)| format!("{:.1} {unit}", value / size),
    )
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::Bytes;

    use super::*;
    use crate::model::Subject;
    use crate::model::activity::{
        CallShare, CardActivity, Class, Confidence, CpuUse, Effort, Looks, MemoryUse, OnProcessor,
        Share,
    };
    use crate::model::observation::{Source, ThreadUse};

    fn command() -> CommandProfile {
        let hostile = "evil\u{1b}[31m <b>|name|</b>\n";
        let point = |at: u32| Point {
            at_s: f64::from(at),
            cores: f64::from(at % 4),
            cpu_share: 0.5,
            waits_for: Some(Wait::Network),
            resident_bytes: Bytes(3 << 30),
            read_bytes_per_s: 0.0,
            write_bytes_per_s: 0.0,
            card_busy: None,
        };
        CommandProfile {
            command: vec!["python".to_owned(), hostile.to_owned(), "x".repeat(200)],
            begin: Begin::Joined { pid: 4711 },
            end: End::Killed { signal: 9 },
            duration_s: 300.4,
            class: Class::Mixed,
            waits_for: Some(Wait::Network),
            confidence: Confidence {
                value: 0.87,
                agreement: 0.9,
                length: 0.97,
                attributed: 1.0,
                resamples: 500,
            },
            evidence: vec!["In 90 % of the time all of it waited for the network.".to_owned()],
            strategies: vec![Strategy {
                what: "Ask for several answers at once".to_owned(),
                why: "A wait costs much.".to_owned(),
                speedup: Some(Speedup {
                    low: 1.68,
                    high: 5.26,
                    formula: "1 / ((1 - 0.90) + 0.90 / 10)".to_owned(),
                }),
                effort: Effort::Medium,
            }],
            phases: vec![Phase {
                from_s: 0.0,
                to_s: 150.0,
                class: Class::NetworkBound,
                waits_for: Some(Wait::Network),
                cpu_share: 0.1,
                cores: 0.1,
            }],
            cpu: CpuUse {
                processors: 4,
                user_s: 12.0,
                system_s: 0.5,
                queued_s: 0.01,
                mean_cores: 0.04,
                parallelism: 1.0,
                serial_share: 1.0,
                others_cores: None,
                by_processor: (0..12)
                    .map(|processor| OnProcessor { processor, cpu_s: 1.0 })
                    .collect(),
                voluntary_switches: 123_456,
                involuntary_switches: 7,
            },
            shares: vec![
                Share { wait: None, share: 0.1, sources: Vec::new(), in_flight: None },
                Share {
                    wait: Some(Wait::Network),
                    share: 0.9,
                    sources: vec![Source::SystemCall, Source::KernelFunction, Source::Neighbours],
                    in_flight: Some(1.0),
                },
            ],
            calls: vec![CallShare {
                call: "recvfrom".to_owned(),
                on: Some(format!("local socket {hostile}{}", "y".repeat(100))),
                wait: Wait::Network,
                share: 1.0,
            }],
            io: None,
            network: None,
            memory: MemoryUse { peak_bytes: Bytes(3 << 30), minor_faults: 12_345, major_faults: 0 },
            threads: vec![ThreadUse { name: hostile.to_owned(), pid: 1, tid: 2, cpu_s: 0.004 }],
            cards: vec![CardActivity {
                name: Some(
                    "NVIDIA H100 80GB HBM3 with a name that goes on and on and on".to_owned(),
                ),
                busy: Some(0.5),
                copied_in_bytes_per_s: Some(2e9),
                ..CardActivity::default()
            }],
            course: (1..=200).map(point).collect(),
            looks: Looks { count: 3000, spacing_s: 0.1, cost_cores: 0.009 },
            unseen: vec!["this user may not read everything".to_owned()],
            more_rights: Some("Run as its user.".to_owned()),
            counts: Vec::new(),
            metrics: Vec::new(),
        }
    }

    fn profile() -> Profile {
        Profile {
            schema: Profile::SCHEMA.to_owned(),
            tool_version: "0.1.0".to_owned(),
            captured_at: "2026-01-02T03:04:05Z".to_owned(),
            machine: Some("A processor, 4 threads".to_owned()),
            subject: Subject::Command(command()),
            caveats: Vec::new(),
        }
    }

    const WORDS: [&str; 10] = [
        "mixed by phases: I/O-bound: waiting on the network (confidence 87 %)",
        "process 4711: python evil",
        "5 min 0 s, killed by signal 9",
        "In 90 % of the time all of it waited for the network.",
        "1.68 to 5.26 times as fast at most: 1 / ((1 - 0.90) + 0.90 / 10)",
        "Where the time went",
        "Where threads were seen waiting",
        "123\u{202f}456 to wait, 7 taken away",
        "the same class in 90 % of 500 resampled series",
        "Run as its user.",
    ];

    #[test]
    fn the_class_comes_first_and_everything_fits_eighty_columns() {
        let printed = anstream::adapter::strip_str(&text(&profile(), &command())).to_string();
        let flat = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in WORDS {
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(&words), "{words} is not in\n{printed}");
        }
        assert!(printed.trim_start().starts_with("mixed by phases"), "{printed}");
        assert!(printed.lines().all(|line| line.chars().count() <= WIDTH), "{printed}");
        assert!(!printed.contains('\u{1b}'), "{printed}");
        let course = printed.lines().filter(|line| line.contains("##") || line.contains(".."));
        assert!(course.count() <= COURSE + 1, "{printed}");
    }

    #[test]
    fn markdown_has_the_same_content_and_takes_no_markup_from_outside() {
        let printed = markdown(&profile(), &command()).replace('\\', "");
        for words in WORDS {
            assert!(printed.contains(words), "{words} is not in\n{printed}");
        }
        let raw = markdown(&profile(), &command());
        assert!(raw.contains("\\<b\\>"), "{raw}");
        assert!(!raw.contains('\u{1b}') && !raw.contains("<b>"), "{raw}");
        assert!(raw.contains("A processor, 4 threads"), "{raw}");
    }
}
