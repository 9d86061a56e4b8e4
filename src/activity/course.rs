//! The course of a run as a bounded number of points.

use autotune_engine::api::Bytes;

use super::split::{Moment, Split};
use crate::model::activity::Point;

/// Most points.
const MOST: usize = 200;

pub(super) fn of(moments: &[Moment<'_>]) -> Vec<Point> {
    let whole: f64 = moments.iter().map(|moment| moment.look.span_s).sum();
    let length = whole / MOST as f64;
    let start = moments.first().map_or(0.0, |first| first.look.at_s - first.look.span_s);
    let mut points = Vec::new();
    let mut from = 0;
    for (at, moment) in moments.iter().enumerate() {
        let end = moment.look.at_s - start;
        // The points after the last full one share its place.
        let full = end + 1e-9 >= length * (points.len() + 1) as f64 && points.len() + 1 < MOST;
        if full || at + 1 == moments.len() {
            points.push(point(&moments[from..=at], end));
            from = at + 1;
        }
    }
    points
}

fn point(part: &[Moment<'_>], at_s: f64) -> Point {
    let split = Split::of(part);
    let sum = |of: fn(&Moment<'_>) -> u64| part.iter().map(of).sum::<u64>() as f64;
    let per_second = |bytes: f64| if split.seconds > 0.0 { bytes / split.seconds } else { 0.0 };
    let waits = split.waits.iter().filter(|(_, wait)| split.share(wait.seconds) > 0.05);
    Point {
        at_s,
        cores: split.cores(),
        cpu_share: split.cpu(),
        waits_for: waits.max_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds)).map(|(kind, _)| *kind),
        resident_bytes: Bytes(
            part.iter().map(|moment| moment.look.resident_bytes).max().unwrap_or(0),
        ),
        read_bytes_per_s: per_second(sum(|moment| moment.look.read_bytes)),
        write_bytes_per_s: per_second(sum(|moment| moment.look.write_bytes)),
        card_busy: split.card(),
    }
}
