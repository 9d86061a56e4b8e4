//! Why each verdict is what it is, in sentences.

use std::fmt::Write as _;

use super::super::format;
use super::super::verdict::sentence;
use super::standing::Standing;
use super::terminal::{GUTTER, harmless, paragraph};
use super::{story, words};
use crate::model::{GateCell, GateReport};

/// The report, or one cell of it, in sentences; `None` where it has no cell of that name.
#[must_use]
pub fn explain(report: &GateReport, cell: Option<&str>) -> Option<String> {
    let Some(wanted) = cell else { return Some(everything(report)) };
    let cells = report.cells.iter().filter(|cell| cell.name == wanted);
    let series = report.series.iter().filter(|series| series.cell == wanted);
    let told: String =
        cells.map(section).chain(series.flat_map(story::series).map(|it| block(&it))).collect();
    (!told.is_empty()).then_some(told)
}

fn everything(report: &GateReport) -> String {
    let mut out = block(&build(report));
    for cell in &report.cells {
        out.push_str(&section(cell));
    }
    let series = report.series.iter().flat_map(story::series);
    let trials = report.trials.iter().flat_map(story::trials);
    for told in series.chain(trials).chain(story::circumstances(report)) {
        out.push_str(&block(&told));
    }
    out
}

fn block(text: &str) -> String {
    let mut out = String::new();
    paragraph(&mut out, GUTTER, text);
    out
}

/// What was judged, and by which chances of error.
fn build(report: &GateReport) -> String {
    let mut told = vec![
        sentence(&report.line),
        format!("Mode {}: {}", report.mode.word(), sentence(&report.mode_reason)),
    ];
    if let Some(reason) = report.reason {
        told.push(format!("The reason is {}.", reason.word().replace('-', " ")));
    }
    if report.m > 0 {
        let cells = format::plural(report.m as usize, "blocking cell");
        told.push(format!(
            "{cells} share a chance of {} that the build fails although nothing is slower than \
             allowed; a cell that is slower than allowed passes with at most {}.",
            format::confidence(report.alpha),
            format::confidence(report.beta)
        ));
    }
    told.push(format!("Exit code {}.", report.exit_code));
    told.join(" ")
}

fn section(cell: &GateCell) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", Standing::of(cell).word(), harmless(&cell.name));
    let told: Vec<String> = [
        measured(cell),
        compared(cell),
        floor(cell),
        sensitivity(cell),
        weight(cell),
        outlook(cell),
    ]
    .into_iter()
    .flatten()
    .collect();
    paragraph(&mut out, GUTTER, &told.join(" "));
    out
}

fn measured(cell: &GateCell) -> Option<String> {
    let levels = words::levels(cell)?;
    if cell.slowdown.is_none() {
        return Some(format!("{levels}."));
    }
    let dropped = match cell.dropped {
        0 => String::new(),
        dropped => format!(" ({dropped} thrown away)"),
    };
    Some(format!(
        "{levels}: {} from {}{dropped}; {} is allowed.",
        words::change(cell),
        format::plural(cell.n as usize, "block"),
        words::limit(cell)
    ))
}

/// Where the interval lies, and what both p values say.
fn compared(cell: &GateCell) -> Option<String> {
    let (low, high) = cell.interval?;
    let place = if low > cell.delta {
        "All of the interval is above the limit"
    } else if high < cell.delta {
        "All of the interval is below the limit"
    } else {
        "The interval holds the limit"
    };
    let (Some(p_t), Some(required)) = (cell.p_t, cell.p_required) else {
        return Some(format!("{place}."));
    };
    let guard = cell.p_guard.map_or_else(String::new, |guard| {
        format!(" and {} by signs or ranks", words::probability(guard))
    });
    Some(format!(
        "{place}. The chance of so large a slowdown if the true one were at the limit is {} by \
         Student's t{guard}; a failure requires {} at most.",
        words::probability(p_t),
        words::probability(required)
    ))
}

/// Whether so few samples could have failed at all.
fn floor(cell: &GateCell) -> Option<String> {
    let (floor, required) = (cell.p_floor?, cell.p_required?);
    (floor > required).then(|| {
        format!(
            "So few samples cannot fail: the guard reaches {} at best, and {} is required.",
            words::probability(floor),
            words::probability(required)
        )
    })
}

fn sensitivity(cell: &GateCell) -> Option<String> {
    let sees = words::sees(cell)?;
    Some(format!("Smaller slowdowns than {sees} it would mostly have missed."))
}

/// What keeps a failure from failing the build.
fn weight(cell: &GateCell) -> Option<String> {
    match (Standing::of(cell), &cell.waiver) {
        (Standing::Waived, Some(waiver)) => Some(sentence(&words::waiver(waiver))),
        (Standing::Advisory, _) => Some("It is only reported and fails no build.".to_owned()),
        _ => None,
    }
}

/// Why nothing was decided, when something would be, and what to do.
fn outlook(cell: &GateCell) -> Option<String> {
    let [why, next] = match Standing::of(cell) {
        Standing::Passes => return None,
        _ => words::reasons(cell),
    };
    let minutes = cell
        .minutes_needed
        .map_or_else(String::new, |minutes| format!(", about {} min", format::three(minutes)));
    let needed = cell.blocks_needed.map(|blocks| {
        let blocks = format::plural(blocks as usize, "block");
        format!("A verdict is expected after {blocks}{minutes}.")
    });
    let told: Vec<String> = [why, needed, next].into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::model::GateVerdict;

    fn flat(text: &str) -> String {
        text.replace(&format!("\n{}", GUTTER[1]), " ")
    }

    #[test]
    fn a_failure_names_limit_interval_and_both_p_values() {
        let told = flat(&explain(&fixture::report(), Some("tiny-q8_0/tg128")).unwrap());
        assert!(told.starts_with("FAIL tiny-q8_0/tg128 42.1 tok/s → 40.2 tok/s"), "{told}");
        for part in ["[+3.5, +6.1]", "2 % is allowed", "above the limit", ".0001 by", ".0002 by"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("cannot fail"), "{told}");
    }

    #[test]
    fn what_is_undecided_says_when_it_would_be_and_what_to_do() {
        let told = flat(&explain(&fixture::report(), Some("tiny-q8_0/pp512")).unwrap());
        for part in ["holds the limit", "after 24 blocks, about 8.00 min", "Run 24 blocks"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_cell_that_cannot_fail_says_so() {
        let mut report = fixture::report();
        report.cells[0].verdict = GateVerdict::Inconclusive;
        report.cells[0].p_floor = Some(0.0156);
        let told = flat(&explain(&report, Some("tiny-q8_0/tg128")).unwrap());
        assert!(told.contains("cannot fail: the guard reaches .0156 at best"), "{told}");
    }

    #[test]
    fn all_cells_and_series_are_explained_and_unknown_names_are_not() {
        let report = fixture::report();
        let told = explain(&report, None).unwrap();
        assert!(report.cells.iter().all(|cell| told.contains(&cell.name)), "{told}");
        assert!(flat(&told).contains("4 blocking cells share a chance of 1 %"), "{told}");
        assert_eq!(explain(&report, Some("tg128")), None);
        let told = explain(&fixture::history(), Some("tiny/tg128")).unwrap();
        assert!(flat(&told).contains("42.1 tok/s → 38.9 tok/s"), "{told}");
    }
}
