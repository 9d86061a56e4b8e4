//! Speed, and memory, of quantizations over how far their answers are from the source's.

use autotune_engine::api::Bytes;

use crate::model::{Divergence, QuantizationStudy, StudyCandidate};
use crate::render::format;
use crate::render::quality::{divergence_of, is_source};
use crate::stats::Estimate;

use super::data::{self, Data};
use super::labels::Labels;
use super::lines::gib;
use super::nats::Nats;
use super::plane::{self, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;
use super::{Plot, short};

const LAYOUT: Layout = Layout { width: 460, height: 340, left: 52, right: 20, top: 34, bottom: 44 };
/// Standard errors to either side of a mean that its bar shows.
const REACH: f64 = 2.0;
/// Letters of a name beside its point.
const NAME: usize = 16;

struct Point<'a> {
    one: &'a StudyCandidate,
    /// Nats; zero for the source.
    divergence: f64,
    se: Option<f64>,
    value: f64,
    /// The interval of the value.
    interval: Option<(f64, f64)>,
    source: bool,
    on_front: bool,
}

/// Decode speed; `None` where fewer than two candidates have both.
pub(in crate::render) fn speed(study: &QuantizationStudy) -> Option<Plot> {
    let points = points(study, |one| {
        let rate = one.decode_tok_per_s?;
        Some((rate.value, rate.low.zip(rate.high)))
    });
    let words = |point: &Point<'_>| format!("{} tok/s", format::three(point.value));
    let title = "Decode speed over KL divergence";
    picture(study, &points, "quantization-speed", title, "decode tok/s", words)
}

/// Peak memory where all have one, else the size of the files.
pub(in crate::render) fn memory(study: &QuantizationStudy) -> Option<Plot> {
    let peak = |one: &StudyCandidate| Some((gib(one.peak_memory_bytes?), None));
    let file = |one: &StudyCandidate| Some((gib(one.file_bytes), None));
    let all = points(study, file);
    let peaks = points(study, peak);
    let whole = peaks.len() == all.len();
    let (points, title, label) = if whole {
        (peaks, "Peak memory over KL divergence", "peak memory, GiB")
    } else {
        (all, "File size over KL divergence", "file size, GiB")
    };
    let bytes = |one: &StudyCandidate| one.peak_memory_bytes.filter(|_| whole);
    let words = |point: &Point<'_>| bytes(point.one).unwrap_or(point.one.file_bytes).to_string();
    picture(study, &points, "quantization-memory", title, label, words)
}

type Value = (f64, Option<(f64, f64)>);

fn points<'a>(
    study: &'a QuantizationStudy,
    value: impl Fn(&StudyCandidate) -> Option<Value>,
) -> Vec<Point<'a>> {
    let point =
        |one: &'a StudyCandidate| {
            let source = is_source(study, one);
            let measured = divergence_of(one);
            let divergence = measured.map(|it| it.mean).or(source.then_some(0.0))?;
            let (value, interval) = value(one)?;
            let on_front = study.front.contains(&one.name);
            let se = measured.and_then(|it| it.se);
            (divergence.is_finite() && value.is_finite() && one.same_as.is_none())
                .then_some(Point { one, divergence, se, value, interval, source, on_front })
        };
    let mut points: Vec<Point<'_>> = study.candidates.iter().filter_map(point).collect();
    points.sort_by(|a, b| a.divergence.total_cmp(&b.divergence));
    points
}

fn picture(
    study: &QuantizationStudy,
    points: &[Point<'_>],
    name: &str,
    title: &str,
    label: &str,
    value: impl Fn(&Point<'_>) -> String,
) -> Option<Plot> {
    if points.len() < 2 {
        return None;
    }
    let (x, y) = (Nats::of(&points.iter().map(|it| it.divergence))?, upright(points, label));
    let at = |point: &Point<'_>| (x.place(point.divergence), point.value);
    let words = |point: &Point<'_>| told(point, &value(point));
    let svg = plane::draw(LAYOUT, x.axis(), &y, |plane| {
        let front: Vec<_> = points.iter().filter(|it| it.on_front).map(at).collect();
        if front.len() > 1 {
            plane.line(&front, Ink::Tuned, 1);
        }
        let mut labels = Labels::new(LAYOUT, x.axis(), &y);
        for point in points {
            labels.keep_clear(at(point));
        }
        for point in points {
            draw(plane, point, &x, chosen(study, point));
            plane.hint(at(point), words(point));
            let source = if point.source { " (source)" } else { "" };
            let name = format!("{}{source}", short(&point.one.name, NAME));
            if let Some((offset, anchor)) = labels.place(at(point), &name) {
                plane.text(at(point), offset, &name, Ink::Text, anchor);
            }
        }
        plane.legend(&[
            ("choice", Ink::Tuned, Mark::Square),
            ("front", Ink::Tuned, Mark::Dot),
            ("others", Ink::Default, Mark::Dot),
        ]);
    });
    let told: Vec<String> = points.iter().map(words).collect();
    Some(Plot::new(name, title.to_owned(), told.join("; "), svg, table(study)))
}

fn chosen(study: &QuantizationStudy, point: &Point<'_>) -> bool {
    study.choice.as_ref().is_some_and(|choice| choice.name == point.one.name)
}

/// The mark of a candidate with its bars.
fn draw(plane: &plane::Plane<'_>, point: &Point<'_>, x: &Nats, chosen: bool) {
    let (at, ink) = ((x.place(point.divergence), point.value), ink(point));
    if let Some((low, high)) = point.interval {
        plane.upright(at.0, low, high, ink);
    }
    let known = point.se.filter(|se| se.is_finite() && point.divergence > 0.0);
    if let Some(se) = known {
        let [low, high] = [-REACH, REACH].map(|by| x.place(point.divergence + by * se));
        plane.lying(at.1, low, high, ink);
    }
    if chosen {
        plane.square(at, 5, ink);
    } else {
        plane.dot(at, 4, ink);
    }
}

fn ink(point: &Point<'_>) -> Ink {
    if point.on_front { Ink::Tuned } else { Ink::Default }
}

fn told(point: &Point<'_>, value: &str) -> String {
    let far = if point.source && point.divergence == 0.0 {
        "the source".to_owned()
    } else {
        format!("KL divergence {}", crate::quality::nats(point.divergence, point.se))
    };
    let front = if point.on_front { ", on the front" } else { "" };
    format!("{}: {value}, {far}{front}", short(&point.one.name, 40))
}

fn upright(points: &[Point<'_>], label: &str) -> Axis {
    let ends = || points.iter().map(|it| it.interval.unwrap_or((it.value, it.value)));
    let low = ends().map(|it| it.0).fold(f64::INFINITY, f64::min);
    let high = ends().map(|it| it.1).fold(0.0, f64::max);
    let pad = ((high - low) * 0.1).max(high * 0.02).max(f64::MIN_POSITIVE);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    Axis { label: label.to_owned(), low, high, ticks: labelled(&round_ticks(low, high, 5)) }
}

fn table(study: &QuantizationStudy) -> Data {
    let mut data = Data::new(&[
        "name",
        "bits_per_weight",
        "file_bytes",
        "peak_memory_bytes",
        "decode_tok_per_s",
        "decode_low",
        "decode_high",
        "decode_n",
        "prefill_tok_per_s",
        "prefill_low",
        "prefill_high",
        "prefill_n",
        "kl_divergence_mean_nats",
        "kl_divergence_se_nats",
        "front",
    ]);
    for one in &study.candidates {
        let bytes = |it: Option<Bytes>| it.map_or_else(String::new, |it| it.0.to_string());
        let rates = |it: Option<Estimate>| data::estimate(it);
        let of =
            |pick: fn(Divergence) -> Option<f64>| data::number(divergence_of(one).and_then(pick));
        let head = [
            crate::render::machine::clean(&one.name),
            data::number(Some(one.bits_per_weight)),
            one.file_bytes.0.to_string(),
            bytes(one.peak_memory_bytes),
        ];
        let front = u8::from(study.front.contains(&one.name)).to_string();
        let tail = [of(|it| Some(it.mean)), of(|it| it.se), front];
        let [decode, prefill] = [one.decode_tok_per_s, one.prefill_tok_per_s].map(rates);
        data.row(head.into_iter().chain(decode).chain(prefill).chain(tail));
    }
    data
}
