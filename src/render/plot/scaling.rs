//! Speed over thread counts, with the ideal line and the mark of 50 % efficiency.

use crate::model::{Curve, Level};
use crate::render::format;

use super::plane::{self, Anchor, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;
use super::{Plot, curve_name, levels, phase_ink, phase_word};

const LAYOUT: Layout = Layout { width: 460, height: 300, left: 48, right: 16, top: 34, bottom: 44 };

struct Point {
    threads: f64,
    rate: f64,
    interval: Option<(f64, f64)>,
    efficiency: Option<f64>,
}

/// The plot of a curve over thread counts; `None` with fewer than two points.
pub(super) fn plot(curve: &Curve) -> Option<Plot> {
    let points: Vec<Point> = curve.points.iter().filter_map(point).collect();
    let (first, last) = (points.first()?, points.last()?);
    if points.len() < 2 || first.threads >= last.threads {
        return None;
    }
    let highest = points.iter().map(|p| p.interval.map_or(p.rate, |i| i.1)).fold(0.0, f64::max);
    let top = highest * 1.12;
    let x = threads_axis(&points);
    let y = Axis {
        label: format!("{} tok/s", phase_word(curve.phase)),
        low: 0.0,
        high: top,
        ticks: labelled(&round_ticks(0.0, top, 5)),
    };
    let ink = phase_ink(curve.phase);
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        ideal(plane, first, last, top);
        let line: Vec<_> = points.iter().map(|p| (p.threads.log2(), p.rate)).collect();
        plane.line(&line, ink, 2);
        for p in &points {
            if let Some((low, high)) = p.interval {
                plane.upright(p.threads.log2(), low, high, ink);
            }
            plane.dot((p.threads.log2(), p.rate), 4, ink);
            plane.hint((p.threads.log2(), p.rate), words(p));
        }
        half(plane, &points);
        plane.legend(&[("measured", ink, Mark::Dot), ("ideal", Ink::Dashed, Mark::Line)]);
    });
    let title = format!("Thread scaling, {}", phase_word(curve.phase));
    let name = curve_name(&curve.knob, curve.phase);
    Some(Plot::new(name, title, description(curve, &points), svg, levels::data(curve)))
}

/// What is told of a point.
fn words(p: &Point) -> String {
    let interval = p.interval.map_or(String::new(), |(low, high)| {
        format!(" [{}, {}]", format::three(low), format::three(high))
    });
    let efficiency = p
        .efficiency
        .map_or(String::new(), |share| format!(", efficiency {}", format::whole_percent(share)));
    format!("{} threads: {} tok/s{interval}{efficiency}", p.threads, format::three(p.rate))
}

fn point(point: &crate::model::CurvePoint) -> Option<Point> {
    let Level::Count(threads) = point.level else { return None };
    let rate = point.tok_per_s.filter(|rate| rate.value.is_finite() && threads > 0)?;
    Some(Point {
        threads: f64::from(threads),
        rate: rate.value,
        interval: rate.low.zip(rate.high),
        efficiency: point.efficiency,
    })
}

/// Thread counts double along the axis: from 1 to 128 in equal steps.
fn threads_axis(points: &[Point]) -> Axis {
    let mut ticks: Vec<(f64, String)> = Vec::new();
    let span = points[points.len() - 1].threads.log2() - points[0].threads.log2();
    for p in points {
        let place = p.threads.log2();
        if ticks.last().is_none_or(|(last, _)| place - last > span * 0.055) {
            ticks.push((place, format!("{}", p.threads)));
        }
    }
    let pad = span * 0.06;
    Axis {
        label: "threads".into(),
        low: points[0].threads.log2() - pad,
        high: points[points.len() - 1].threads.log2() + pad,
        ticks,
    }
}

/// Speed in proportion to threads, from the first point, as far as the plane reaches.
fn ideal(plane: &plane::Plane<'_>, first: &Point, last: &Point, top: f64) {
    let per_thread = first.rate / first.threads;
    let steps = 48;
    let ratio = last.threads / first.threads;
    let line: Vec<_> = (0..=steps)
        .map(|step| first.threads * ratio.powf(f64::from(step) / f64::from(steps)))
        .map(|threads| (threads.log2(), threads * per_thread))
        .take_while(|(_, rate)| *rate <= top)
        .collect();
    plane.line(&line, Ink::Dashed, 2);
}

/// Marks where efficiency falls under one half.
fn half(plane: &plane::Plane<'_>, points: &[Point]) {
    let Some(p) = points.iter().find(|p| p.efficiency.is_some_and(|share| share < 0.5)) else {
        return;
    };
    let at = p.threads.log2();
    plane.line(&[(at, 0.0), (at, p.rate)], Ink::Bad, 1);
    plane.text((at, 0.0), (-6, -10), "under 50 %", Ink::Bad, Anchor::Right);
}

fn description(curve: &Curve, points: &[Point]) -> String {
    let values: Vec<_> = points
        .iter()
        .map(|p| format!("{} threads {} tok/s", p.threads, format::three(p.rate)))
        .collect();
    let half = points.iter().find(|p| p.efficiency.is_some_and(|share| share < 0.5));
    let half = half.map_or_else(
        || "efficiency stays above 50 %".to_owned(),
        |p| format!("efficiency is under 50 % at {} threads", p.threads),
    );
    format!("Speed of {} over threads: {}; {half}", phase_word(curve.phase), values.join(", "))
}
