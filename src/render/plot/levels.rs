//! Speed at each level of a knob: one row per level, with its interval and the default marked.

use crate::knob;
use crate::model::{Curve, CurvePoint, Plan};
use crate::render::format;

use super::data::{self, Data};
use super::plane::{self, Anchor, Axis, Layout, labelled, round_ticks, text_px};
use super::theme::Ink;
use super::{Plot, curve_name, phase_ink, phase_word, short};

const ROW_PX: i32 = 30;

/// The plot of a curve over named levels; `None` with fewer than two that ran.
pub(super) fn plot(curve: &Curve, plan: &Plan) -> Option<Plot> {
    let ran = curve.points.iter().filter(|point| point.tok_per_s.is_some()).count();
    if ran < 2 {
        return None;
    }
    let default = knob::named(&curve.knob).ok().map(|knob| knob.read(&plan.baseline).to_string());
    let is_default = |point: &CurvePoint| Some(point.level.to_string()) == default;
    let rows = curve.points.len();
    let name = |point: &CurvePoint| {
        let mark = if is_default(point) { " (default)" } else { "" };
        format!("{}{mark}", short(&point.level.to_string(), 16))
    };
    let widest = curve.points.iter().map(|point| text_px(&name(point))).max().unwrap_or(0);
    let layout = Layout {
        width: 460,
        height: i32::try_from(rows).unwrap_or(0) * ROW_PX + 78,
        left: widest + 14,
        right: 74,
        top: 30,
        bottom: 44,
    };
    let x = rate_axis(curve);
    let row = |place: usize| (rows - place) as f64 - 0.5;
    let ticks = curve.points.iter().enumerate().map(|(place, p)| (row(place), name(p))).collect();
    let y = Axis { label: String::new(), low: 0.0, high: rows as f64, ticks };
    let svg = plane::draw(layout, &x, &y, |plane| {
        for (place, point) in curve.points.iter().enumerate() {
            let ink = if is_default(point) { Ink::Default } else { phase_ink(curve.phase) };
            draw_row(plane, point, row(place), ink, &x);
        }
    });
    let words: Vec<_> = curve
        .points
        .iter()
        .map(|p| {
            let rate = p.tok_per_s.map_or(absent(p).0.into(), |rate| format::rate(&rate).text);
            format!("{} {rate}", name(p))
        })
        .collect();
    Some(Plot::new(
        curve_name(&curve.knob, curve.phase),
        format!("{}, {}", knob_words(&curve.knob), phase_word(curve.phase)),
        format!("Speed by level: {}", words.join(", ")),
        svg,
        data(curve),
    ))
}

/// A curve as a table.
pub(super) fn data(curve: &Curve) -> Data {
    let mut data =
        Data::new(&["level", "tok_per_s", "low", "high", "n", "speedup", "efficiency", "trials"]);
    for point in &curve.points {
        let [rate, low, high, n] = data::estimate(point.tok_per_s);
        let [speedup, efficiency] = [point.speedup, point.efficiency].map(data::number);
        let (level, trials) = (point.level.to_string(), data::trials(&point.evidence));
        data.row([level, rate, low, high, n, speedup, efficiency, trials]);
    }
    data
}

/// A knob's name for a title.
pub(super) fn knob_words(knob: &str) -> String {
    let words = short(&knob.replace('_', " "), 40);
    match words.as_str() {
        "isa variant" => return "CPU variant".into(),
        "gpu layers" => return "GPU layers".into(),
        _ => {}
    }
    let mut letters = words.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// From a little below the slowest to the fastest: levels differ by less than their size.
fn rate_axis(curve: &Curve) -> Axis {
    let rates = || curve.points.iter().filter_map(|point| point.tok_per_s);
    let low = rates().map(|r| r.low.unwrap_or(r.value)).fold(f64::INFINITY, f64::min);
    let high = rates().map(|r| r.high.unwrap_or(r.value)).fold(0.0, f64::max);
    let pad = ((high - low) * 0.12).max(high * 0.02);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    Axis {
        label: format!("{} tok/s", phase_word(curve.phase)),
        low,
        high,
        ticks: labelled(&round_ticks(low, high, 4)),
    }
}

/// Why a level has no speed: it failed, or the sweep ended before its turn.
fn absent(point: &CurvePoint) -> (&'static str, Ink) {
    match point.evidence.as_slice() {
        [] => ("not visited", Ink::Muted),
        _ => ("did not run", Ink::Bad),
    }
}

fn draw_row(plane: &plane::Plane<'_>, point: &CurvePoint, row: f64, ink: Ink, x: &Axis) {
    let Some(rate) = point.tok_per_s else {
        let (words, ink) = absent(point);
        plane.text((x.low, row), (8, 0), words, ink, Anchor::Left);
        return;
    };
    if let Some((low, high)) = rate.low.zip(rate.high) {
        plane.lying(row, low, high, ink);
    }
    plane.dot((rate.value, row), 5, ink);
    let figure = format::rate(&rate);
    let words =
        format!("{}: {} {}", short(&point.level.to_string(), 40), figure.text, figure.detail);
    plane.hint((rate.value, row), words);
    plane.text((x.high, row), (10, 0), &format::three(rate.value), Ink::Text, Anchor::Left);
}
