//! Every generated token by the time it took, in the order of generation: stalls stand out.

use crate::model::LatencyProfile;
use crate::render::format;

use super::Plot;
use super::data::Data;
use super::plane::{self, Anchor, Axis, Layout, labelled, round_ticks};
use super::theme::Ink;

const LAYOUT: Layout = Layout { width: 940, height: 260, left: 52, right: 20, top: 34, bottom: 44 };
/// Points that are drawn at most; of more each stands for the slowest of its neighbours.
const MOST_POINTS: usize = 900;

/// The plot; `None` below 20 tokens.
pub(super) fn plot(latency: &LatencyProfile) -> Option<Plot> {
    let times = &latency.tokens_s;
    if times.len() < 20 {
        return None;
    }
    let high = latency.token_max_s? * 1e3 * 1.05;
    let x = Axis {
        label: "token".into(),
        low: 0.0,
        high: times.len() as f64,
        ticks: labelled(&round_ticks(0.0, times.len() as f64, 8)),
    };
    let y = Axis {
        label: "time since the token before, ms".into(),
        low: 0.0,
        high,
        ticks: labelled(&round_ticks(0.0, high, 5)),
    };
    let step = times.len().div_ceil(MOST_POINTS);
    let points: Vec<(f64, f64)> = times
        .chunks(step)
        .enumerate()
        .map(|(at, chunk)| {
            let slowest = chunk.iter().copied().fold(0.0, f64::max);
            ((at * step) as f64, slowest * 1e3)
        })
        .collect();
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        let every = latency.tokens_per_repetition.max(1) as usize;
        for begin in (every..times.len()).step_by(every) {
            plane.line(&[(begin as f64, 0.0), (begin as f64, high)], Ink::Dashed, 1);
        }
        plane.line(&points, Ink::Decode, 1);
        for stall in &latency.stalls {
            let at = (f64::from(stall.token), stall.took_s * 1e3);
            plane.cross(at, 4, Ink::Bad);
            plane.hint(at, format!("token {}: {}", stall.token, format::seconds(stall.took_s)));
        }
        if let Some(p50) = latency.token_p50_s {
            plane.lying(p50 * 1e3, 0.0, times.len() as f64, Ink::Muted);
            let words = format!("median {}", format::seconds(p50));
            plane.text((0.0, 0.0), (6, -10), &words, Ink::Muted, Anchor::Left);
        }
    });
    let show = |time: Option<f64>| time.map_or_else(|| "unknown".to_owned(), format::seconds);
    let words = format!(
        "{} tokens; median {}, longest {}, {} that took more than three times the median; dashed \
         lines begin a repetition",
        times.len(),
        show(latency.token_p50_s),
        show(latency.token_max_s),
        latency.stalls.len()
    );
    let mut data = Data::new(&["token", "seconds"]);
    for (token, seconds) in times.iter().enumerate() {
        data.row([token.to_string(), seconds.to_string()]);
    }
    Some(Plot::new("token-times", "Tokens in their order".to_owned(), words, svg, data).wide())
}
