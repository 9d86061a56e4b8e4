//! Speed over memory of every setting that ran, and the line of those that nothing beats in both.

use crate::model::{Findings, Plan, TriedSetting};
use crate::render::format;
use crate::render::trial::difference;

use super::data::{self, Data};
use super::lines::gib;
use super::plane::{self, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;
use super::{Plot, short};

const LAYOUT: Layout = Layout { width: 940, height: 320, left: 52, right: 20, top: 34, bottom: 44 };
/// Settings that are drawn at most, the fastest first.
const MOST: usize = 600;

struct Point<'a> {
    one: &'a TriedSetting,
    gib: f64,
}

/// The plot; `None` where fewer than three settings ran, or memory is unknown.
pub(super) fn plot(plan: &Plan, findings: &Findings) -> Option<Plot> {
    let known = |one| -> Option<Point<'_>> { point(one) };
    let points: Vec<Point<'_>> = findings.tried.iter().take(MOST).filter_map(known).collect();
    if points.len() < 3 {
        return None;
    }
    let front: Vec<Point<'_>> = findings.frontier.iter().filter_map(known).collect();
    let (x, y) = (memory_axis(&points), speed_axis(&points));
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        plane.line(&[(x.low, 1.0), (x.high, 1.0)], Ink::Muted, 1);
        plane.line(&stairs(&front, x.high), Ink::Tuned, 1);
        for point in &points {
            let (at, one) = ((point.gib, point.one.speed.value), point.one);
            let on_front = front.iter().any(|it| it.one.setting == one.setting);
            if let Some((low, high)) = one.speed.low.zip(one.speed.high).filter(|_| on_front) {
                plane.upright(at.0, low, high, Ink::Tuned);
            }
            match on_front {
                _ if one.setting == plan.baseline => plane.square(at, 4, Ink::Default),
                true => plane.dot(at, 4, Ink::Tuned),
                false => plane.dot(at, 2, Ink::Muted),
            }
            plane.hint(at, words(plan, point));
        }
        plane.legend(&[
            ("default", Ink::Default, Mark::Square),
            ("nothing is faster with less", Ink::Tuned, Mark::Dot),
            ("other settings", Ink::Muted, Mark::Dot),
        ]);
    });
    let told: Vec<_> = front.iter().map(|point| words(plan, point)).collect();
    let description = format!(
        "{} settings by speed and memory; nothing is faster with less memory than: {}",
        points.len(),
        told.join("; ")
    );
    let title = "Speed and memory of what was tried".to_owned();
    let data = table(plan, findings);
    Some(Plot::new("speed-memory-front", title, description, svg, data).wide())
}

fn point(one: &TriedSetting) -> Option<Point<'_>> {
    Some(Point { one, gib: gib(one.memory_bytes?) })
}

fn words(plan: &Plan, point: &Point<'_>) -> String {
    let figure = point.one.speed;
    format!(
        "{}: {} with {} GiB, {}",
        short(&difference(&plan.baseline, &point.one.setting), 80),
        format::ratio(figure.value),
        format::three(point.gib),
        format::plural(figure.n as usize, "visit")
    )
}

/// From the leanest to the fastest: more speed only for more memory.
fn stairs(front: &[Point<'_>], end: f64) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    for point in front.iter().rev() {
        if let Some((_, speed)) = line.last().copied() {
            line.push((point.gib, speed));
        }
        line.push((point.gib, point.one.speed.value));
    }
    line.extend(line.last().map(|(_, speed)| (end, *speed)));
    line
}

fn memory_axis(points: &[Point<'_>]) -> Axis {
    let low = points.iter().map(|point| point.gib).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.gib).fold(0.0, f64::max);
    let pad = ((high - low) * 0.06).max(high * 0.02);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    Axis {
        label: "memory of the process and on devices, GiB".into(),
        low,
        high,
        ticks: labelled(&round_ticks(low, high, 6)),
    }
}

fn speed_axis(points: &[Point<'_>]) -> Axis {
    let speeds = || points.iter().map(|point| point.one.speed.value);
    let (low, high) = (speeds().fold(1.0, f64::min), speeds().fold(1.0, f64::max));
    let pad = ((high - low) * 0.1).max(0.02);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    let ticks = labelled(&round_ticks(low, high, 5));
    Axis {
        label: "speed over the default's".into(),
        low,
        high,
        ticks: ticks.into_iter().map(|(value, words)| (value, format!("{words}×"))).collect(),
    }
}

fn table(plan: &Plan, findings: &Findings) -> Data {
    let mut data = Data::new(&[
        "setting",
        "speed_over_default",
        "low",
        "high",
        "n",
        "memory_bytes",
        "front",
        "trials",
    ]);
    for one in &findings.tried {
        let [speed, low, high, n] = data::estimate(Some(one.speed));
        let on_front = findings.frontier.iter().any(|it| it.setting == one.setting);
        data.row([
            difference(&plan.baseline, &one.setting),
            speed,
            low,
            high,
            n,
            one.memory_bytes.map_or_else(String::new, |bytes| bytes.0.to_string()),
            u8::from(on_front).to_string(),
            data::trials(&one.evidence),
        ]);
    }
    data
}
