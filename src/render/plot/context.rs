//! Memory over context sizes, by what holds it.

use autotune_engine::api::{Bytes, Sum};

use crate::model::{ContextMemory, Plan};
use crate::render::format;

use super::Plot;
use super::data::Data;
use super::lines::gib;
use super::plane::{self, Anchor, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;

const LAYOUT: Layout = Layout { width: 940, height: 300, left: 52, right: 20, top: 34, bottom: 44 };

/// The parts of a bar from the bottom up.
const PARTS: [(&str, Ink); 4] = [
    ("weights", Ink::Default),
    ("KV cache", Ink::Decode),
    ("compute", Ink::Prefill),
    ("rest", Ink::Tuned),
];

/// The plot; `None` where fewer than two contexts were foreseen.
pub(super) fn plot(plan: &Plan, available_bytes: Option<u64>) -> Option<Plot> {
    let points = &plan.context_memory;
    if points.len() < 2 {
        return None;
    }
    let highest = points.iter().map(|it| gib(whole(it).total())).fold(0.0, f64::max);
    // A line far above would press the bars flat.
    let limit = available_bytes.map(|bytes| gib(Bytes(bytes))).filter(|it| *it < 2.5 * highest);
    // It is that of main memory, and the bars are of devices too.
    let limit = limit.filter(|_| points.iter().all(|it| it.devices.total() == Bytes(0)));
    let top = highest.max(limit.unwrap_or(0.0)) * 1.14;
    let own = plan.baseline.context.context;
    let name = |it: &ContextMemory| {
        let mark = if it.context == own { " (asked)" } else { "" };
        format!("{}{mark}", format::count(it.context.into()))
    };
    let x = Axis {
        label: "tokens of context".into(),
        low: 0.0,
        high: points.len() as f64,
        ticks: points.iter().enumerate().map(|(at, it)| (at as f64 + 0.5, name(it))).collect(),
    };
    let y = Axis {
        label: "memory, GiB".into(),
        low: 0.0,
        high: top,
        ticks: labelled(&round_ticks(0.0, top, 5)),
    };
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        for (at, it) in points.iter().enumerate() {
            let (left, right) = (at as f64 + 0.24, at as f64 + 0.76);
            let mut below = 0.0;
            for ((word, ink), bytes) in PARTS.iter().zip(parts(&whole(it))) {
                let above = below + gib(bytes);
                plane.cell((left, below), (right, above), *ink, 0.85);
                plane.hint_area((left, below), (right, above), format!("{word}: {bytes}"));
                below = above;
            }
            let total = whole(it).total().to_string();
            plane.text((at as f64 + 0.5, below), (0, -9), &total, Ink::Text, Anchor::Middle);
        }
        if let Some(limit) = limit {
            plane.line(&[(0.0, limit), (points.len() as f64, limit)], Ink::Bad, 1);
            plane.text((0.0, limit), (4, -8), "main memory available", Ink::Bad, Anchor::Left);
        }
        plane.legend(&PARTS.map(|(word, ink)| (word, ink, Mark::Square)));
    });
    let words: Vec<_> =
        points.iter().map(|it| format!("{}: {}", name(it), whole(it).total())).collect();
    let description = format!("Memory of the default setting by context: {}", words.join(", "));
    let title = "Memory over context size".to_owned();
    Some(Plot::new("context-memory", title, description, svg, data(points)).wide())
}

/// Main memory and devices together.
fn whole(it: &ContextMemory) -> Sum {
    it.memory.with(&it.devices)
}

fn parts(sum: &Sum) -> [Bytes; 4] {
    [sum.weights_bytes, sum.kv_bytes, sum.compute_bytes, sum.rest_bytes]
}

fn data(points: &[ContextMemory]) -> Data {
    let mut data = Data::new(&[
        "context",
        "place",
        "weights_bytes",
        "kv_bytes",
        "compute_bytes",
        "rest_bytes",
    ]);
    for it in points {
        for (place, sum) in [("memory", &it.memory), ("devices", &it.devices)] {
            let own = [it.context.to_string(), place.to_owned()];
            data.row(own.into_iter().chain(parts(sum).map(|bytes| bytes.0.to_string())));
        }
    }
    data
}
