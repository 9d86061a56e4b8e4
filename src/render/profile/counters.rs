//! Counters and what follows from them.

use autotune_engine::api::Count;

use super::sheet::{Sheet, Side};
use crate::model::{CounterProfile, Metric};
use crate::render::format;

/// Below this share of the time an event was counted so seldom that its value is a guess.
const SELDOM: f64 = 0.999;

pub(super) fn sheet(profile: &CounterProfile) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.heading(&format!("Counters of {}", profile.source));
    if let Some(elapsed) = profile.elapsed_s {
        sheet.row("elapsed", &format::seconds(elapsed));
    }
    metrics(&mut sheet, &profile.metrics);
    sheet.heading("Counted");
    let rows = profile.counts.iter().map(row).collect();
    sheet.table(&[("event", Side::Left), ("count", Side::Right), ("counted", Side::Right)], rows);
    let others = profile.others.iter().map(|other| {
        let value = other.value.map_or_else(|| "not counted".to_owned(), format::three);
        vec![other.event.clone(), format!("{value} {}", other.unit.as_deref().unwrap_or(""))]
    });
    sheet.table(&[("other event", Side::Left), ("count", Side::Right)], others.collect());
    sheet
}

fn row(count: &Count) -> Vec<String> {
    let name = match &count.unit {
        Some(unit) => format!("{} ({unit})", count.event),
        None => count.event.to_string(),
    };
    let value = count.scaled().map_or_else(|| "not counted".to_owned(), format::count);
    let share = count.counted_share().map_or_else(String::new, format::percent);
    vec![name, value, share]
}

/// A table of what follows from counters, with its formula.
pub(super) fn metrics(sheet: &mut Sheet, metrics: &[Metric]) {
    let head = [("", Side::Left), ("value", Side::Right), ("from", Side::Left)];
    sheet.table(&head, metrics.iter().map(row_of).collect());
}

/// Name, value and formula.
pub(super) fn row_of(metric: &Metric) -> Vec<String> {
    vec![metric.title(), value(metric), metric.formula.clone()]
}

/// Whether it is of an event that the kernel itself counts, which other tables show.
pub(super) fn by_kernel(metric: &Metric) -> bool {
    let known = ["task-clock", "page-faults", "major-faults", "context-switches", "cpu-migrations"];
    known.iter().any(|event| metric.formula == format!("{event} / elapsed"))
}

/// The value with its unit, and a mark where it was scaled up.
fn value(metric: &Metric) -> String {
    let about = if metric.counted_share < SELDOM { "≈ " } else { "" };
    let unit = if metric.unit.is_empty() { String::new() } else { format!(" {}", metric.unit) };
    format!("{about}{}{unit}", format::three(metric.value))
}
