//! Speed over a knob that counts: tokens in the context, layers on graphics cards.

use autotune_engine::api::Bytes;

use crate::model::{Curve, CurvePoint, Level, Plan, Rejected};
use crate::render::format;

use super::plane::{self, Anchor, Axis, Layout, labelled, round_ticks};
use super::theme::Ink;
use super::{GPU_LAYERS, Plot, curve_name, levels, phase_ink, phase_word};

const LAYOUT: Layout = Layout { width: 460, height: 300, left: 52, right: 20, top: 34, bottom: 44 };

/// Speed with so many tokens in the context already.
pub(super) fn over_depth(curve: &Curve) -> Option<Plot> {
    let title = format!("Speed over filled context, {}", phase_word(curve.phase));
    let place = |level: &Level| match level {
        Level::Count(count) => Some(f64::from(*count)),
        Level::Word(_) => None,
    };
    plot(curve, title, "tokens in the context", place, None)
}

/// Speed with so many layers on graphics cards, and where their memory ends.
pub(super) fn over_layers(curve: &Curve, plan: &Plan) -> Option<Plot> {
    let all = f64::from(plan.model.layers) + 1.0;
    let place = move |level: &Level| match level {
        Level::Count(count) => Some(f64::from(*count)),
        Level::Word(word) => (word == "all").then_some(all),
    };
    let title = format!("GPU layers, {}", phase_word(curve.phase));
    let edge = plan.rejected.iter().filter_map(|it| too_many(it, place)).min_by(f64::total_cmp);
    plot(curve, title, "layers on the GPU, the output counted as one", place, edge)
}

/// The fewest layers that were left out because they do not fit.
fn too_many(rejected: &Rejected, place: impl Fn(&Level) -> Option<f64>) -> Option<f64> {
    // Sums that do not fit are told with the amount that is missing.
    let short = rejected.knob == GPU_LAYERS && rejected.reason.contains(" > ");
    rejected.level.as_ref().filter(|_| short).and_then(place)
}

fn plot(
    curve: &Curve,
    title: String,
    label: &str,
    place: impl Fn(&Level) -> Option<f64>,
    edge: Option<f64>,
) -> Option<Plot> {
    let known = |point: &CurvePoint| Some((place(&point.level)?, point.tok_per_s?));
    let mut points: Vec<_> = curve.points.iter().filter_map(known).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (points.first()?.0, points.last()?.0.max(edge.unwrap_or(0.0)));
    if points.len() < 2 || first >= last {
        return None;
    }
    let top = points.iter().map(|(_, it)| it.high.unwrap_or(it.value)).fold(0.0, f64::max) * 1.12;
    let pad = (last - first) * 0.05;
    let x = Axis {
        label: label.to_owned(),
        low: first - pad,
        high: last + pad,
        ticks: labelled(&round_ticks(first, last, 5)),
    };
    let y = Axis {
        label: format!("{} tok/s", phase_word(curve.phase)),
        low: 0.0,
        high: top,
        ticks: labelled(&round_ticks(0.0, top, 5)),
    };
    let ink = phase_ink(curve.phase);
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        if let Some(edge) = edge {
            plane.line(&[(edge, 0.0), (edge, top)], Ink::Bad, 1);
            plane.text((edge, top), (-6, 8), "memory ends", Ink::Bad, Anchor::Right);
        }
        let line: Vec<_> = points.iter().map(|(at, rate)| (*at, rate.value)).collect();
        plane.line(&line, ink, 2);
        for (at, rate) in &points {
            if let Some((low, high)) = rate.low.zip(rate.high) {
                plane.upright(*at, low, high, ink);
            }
            plane.dot((*at, rate.value), 4, ink);
            let figure = format::rate(rate);
            plane.hint((*at, rate.value), format!("{at}: {} {}", figure.text, figure.detail));
        }
    });
    let words: Vec<_> =
        points.iter().map(|(at, it)| format!("{at}: {} tok/s", format::three(it.value))).collect();
    let ends = edge.map_or(String::new(), |edge| format!("; from {edge} on memory is too small"));
    let description = format!("Speed over {label}: {}{ends}", words.join(", "));
    let name = curve_name(&curve.knob, curve.phase);
    Some(Plot::new(name, title, description, svg, levels::data(curve)))
}

/// Gibibytes, for axes.
pub(super) fn gib(bytes: Bytes) -> f64 {
    bytes.0 as f64 / f64::from(1 << 30)
}
