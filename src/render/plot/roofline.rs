//! Achieved rates under the machine's roof: operations per second over operations per byte, both on
//! logarithmic scales (Williams, Waterman, Patterson 2009).

use autotune_engine::api::Stretch;

use crate::model::Roofline;
use crate::render::format;

use super::Plot;
use super::data::{self, Data};
use super::plane::{self, Anchor, Axis, Layout, Mark};
use super::theme::Ink;

const LAYOUT: Layout = Layout { width: 940, height: 340, left: 62, right: 20, top: 34, bottom: 44 };

/// The plot; `None` where no peak is known.
pub(super) fn plot(rooflines: &[Roofline]) -> Option<Plot> {
    let known: Vec<&Roofline> = rooflines
        .iter()
        .filter(|roof| {
            roof.bandwidth_peak.is_some()
                && roof.arithmetic_peak.is_some()
                && roof.intensity > 0.0
                && roof.operations_per_s.value > 0.0
        })
        .collect();
    let intensities = known.iter().map(|roof| roof.intensity.log10());
    let (least, most) = ends(intensities)?;
    let rates = known.iter().flat_map(|roof| {
        let peak = roof.arithmetic_peak.map_or(0.0, |peak| peak.high.max(peak.value));
        let achieved = roof.operations_per_s.low.unwrap_or(roof.operations_per_s.value);
        [peak, achieved].into_iter().filter(|rate| *rate > 0.0).map(f64::log10)
    });
    let (slowest, fastest) = ends(rates)?;
    let x = decades("operations per byte", least.min(0.0) - 0.3, most.max(2.0) + 0.3, 0.0);
    let y = decades("operations per second, Gop/s", slowest - 0.5, fastest + 0.2, 9.0);
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        for roof in &known {
            let (Some(bandwidth), Some(arithmetic)) = (roof.bandwidth_peak, roof.arithmetic_peak)
            else {
                continue;
            };
            let ink = ink(roof.stretch);
            let (slope, flat) = (bandwidth.value.log10(), arithmetic.value.log10());
            let knee = flat - slope;
            let left = x.low.max(y.low - slope);
            plane.line(
                &[
                    (left, left + slope),
                    (knee.min(x.high), flat.min(knee.min(x.high) + slope)),
                    (x.high.max(knee), flat),
                ],
                Ink::Dashed,
                1,
            );
            let at = (roof.intensity.log10(), roof.operations_per_s.value.log10());
            let bounds = roof.operations_per_s.low.zip(roof.operations_per_s.high);
            if let Some((low, high)) = bounds.filter(|(low, _)| *low > 0.0) {
                plane.bar((at.0, low.log10()), (at.0, high.log10()), 5, ink);
            }
            plane.dot(at, 5, ink);
            let words = format!(
                "{}: {} operations per byte, {} Gop/s, {} GB/s",
                roof.stretch.word(),
                format::three(roof.intensity),
                format::three(roof.operations_per_s.value / 1e9),
                format::three(roof.bytes_per_s.value / 1e9)
            );
            plane.hint(at, words);
            let share = roof.bandwidth_share.zip(roof.arithmetic_share);
            let words = share.map_or_else(
                || roof.stretch.word().to_owned(),
                |(memory, units)| {
                    format!(
                        "{}: {} of memory, {} of the units",
                        roof.stretch.word(),
                        format::tenth_percent(memory),
                        format::tenth_percent(units)
                    )
                },
            );
            let (anchor, shift) = if at.0 > f64::midpoint(x.low, x.high) {
                (Anchor::Right, (-10, 4))
            } else {
                (Anchor::Left, (10, 4))
            };
            plane.text(at, shift, &words, ink, anchor);
        }
        let entries: Vec<_> =
            known.iter().map(|roof| (roof.stretch.word(), ink(roof.stretch), Mark::Dot)).collect();
        plane.legend(&entries);
    });
    let words: Vec<String> = known
        .iter()
        .map(|roof| {
            format!(
                "{}: {} operations per byte, {} Gop/s",
                roof.stretch.word(),
                format::three(roof.intensity),
                format::three(roof.operations_per_s.value / 1e9)
            )
        })
        .collect();
    let title = "Roofline: what is reached of memory and units".to_owned();
    Some(Plot::new("roofline", title, words.join("; "), svg, data(&known)).wide())
}

fn data(known: &[&Roofline]) -> Data {
    let mut data = Data::new(&[
        "stretch",
        "operations_per_byte",
        "operations_per_s",
        "low",
        "high",
        "n",
        "bytes_per_s",
        "bandwidth_peak_bytes_per_s",
        "arithmetic_peak_operations_per_s",
    ]);
    for roof in known {
        let [rate, low, high, n] = data::estimate(Some(roof.operations_per_s));
        let peak = |peak: Option<f64>| data::number(peak);
        data.row([
            roof.stretch.word().to_owned(),
            roof.intensity.to_string(),
            rate,
            low,
            high,
            n,
            roof.bytes_per_s.value.to_string(),
            peak(roof.bandwidth_peak.map(|peak| peak.value)),
            peak(roof.arithmetic_peak.map(|peak| peak.value)),
        ]);
    }
    data
}

fn ink(stretch: Stretch) -> Ink {
    match stretch {
        Stretch::Decode => Ink::Decode,
        _ => Ink::Prefill,
    }
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((f64::min(low, value), f64::max(high, value)))
    })
}

/// A logarithmic axis with a tick at each power of ten; `unit`: the power that labels count in.
fn decades(label: &str, low: f64, high: f64, unit: f64) -> Axis {
    #[expect(clippy::cast_possible_truncation, reason = "powers of ten of rates")]
    let (first, last) = (low.ceil() as i32, high.floor() as i32);
    let ticks = (first..=last).map(|power| {
        let value = f64::from(power);
        (value, format::three(10_f64.powf(value - unit)))
    });
    Axis { label: label.to_owned(), low, high, ticks: ticks.collect() }
}
