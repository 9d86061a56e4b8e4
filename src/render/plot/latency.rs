//! Times between generated tokens, default against tuned, as cumulative shares.

use autotune_engine::api::Sample;

use crate::model::{Candidate, Findings, Trial};
use crate::render::format;

use super::Plot;
use super::data::Data;
use super::plane::{self, Anchor, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;

const LAYOUT: Layout = Layout { width: 940, height: 300, left: 52, right: 20, top: 34, bottom: 44 };
/// Steps in which a curve is drawn.
const STEPS: usize = 240;

/// The plot; `None` below 20 tokens, which show no shape.
pub(super) fn plot(trials: &[Trial], findings: &Findings) -> Option<Plot> {
    let default = token_ms(trials, &findings.baseline);
    let same = findings.best.setting == findings.baseline.setting;
    let tuned = if same { Vec::new() } else { token_ms(trials, &findings.best) };
    if default.len() < 20 && tuned.len() < 20 {
        return None;
    }
    let series: Vec<(&str, &[f64], Ink)> =
        [("default", default.as_slice(), Ink::Default), ("tuned", tuned.as_slice(), Ink::Tuned)]
            .into_iter()
            .filter(|(_, times, _)| times.len() >= 20)
            .collect();
    // A single hiccup would squeeze the curves into a corner: the axis ends a little past p99.
    let low = series.iter().map(|(_, times, _)| times[0]).fold(f64::INFINITY, f64::min);
    let p99 = series.iter().map(|(_, times, _)| at_share(times, 0.99)).fold(0.0, f64::max);
    let high = (p99 + (p99 - low) * 0.25).max(low * 1.02);
    let low = (low - (high - low) * 0.05).max(0.0);
    let x = Axis {
        label: "time between two tokens, ms".into(),
        low,
        high,
        ticks: labelled(&round_ticks(low, high, 8)),
    };
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0];
    let y = Axis {
        label: "share of tokens at most this late".into(),
        low: 0.0,
        high: 1.0,
        ticks: shares.map(|share| (share, format::percent(share))).to_vec(),
    };
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        for (_, times, ink) in &series {
            plane.line(&curve(times, high), *ink, 2);
            plane.dot((at_share(times, 0.5), 0.5), 4, *ink);
            plane.dot((at_share(times, 0.99), 0.99), 4, *ink);
        }
        for (name, times, _) in &series {
            for percent in [1, 10, 25, 50, 75, 90, 99] {
                let share = f64::from(percent) / 100.0;
                let time = at_share(times, share);
                if time <= high {
                    let words = format!("{name}: p{percent} {} ms", format::three(time));
                    plane.hint((time, share), words);
                }
            }
        }
        let right = series.iter().map(|(_, times, _)| at_share(times, 0.99)).fold(0.0, f64::max);
        plane.text((right, 0.99), (8, 8), "p99", Ink::Muted, Anchor::Left);
        let middle = series.iter().map(|(_, times, _)| at_share(times, 0.5)).fold(0.0, f64::max);
        plane.text((middle, 0.5), (10, 4), "p50", Ink::Muted, Anchor::Left);
        let entries: Vec<_> =
            series.iter().map(|(name, _, ink)| (*name, *ink, Mark::Line)).collect();
        plane.legend(&entries);
    });
    let words: Vec<_> = series
        .iter()
        .map(|(name, times, _)| {
            format!(
                "{name}: median {} ms, 99th percentile {} ms, {} tokens",
                format::three(at_share(times, 0.5)),
                format::three(at_share(times, 0.99)),
                times.len()
            )
        })
        .collect();
    let title = "Time between tokens".into();
    Some(Plot::new("token-latency", title, words.join("; "), svg, data(&series)).wide())
}

fn data(series: &[(&str, &[f64], Ink)]) -> Data {
    let mut data = Data::new(&["setting", "percentile", "token_s"]);
    for (name, times, _) in series {
        for percent in 0..=100_u32 {
            let time = at_share(times, f64::from(percent) / 100.0) / 1e3;
            data.row([(*name).to_owned(), percent.to_string(), time.to_string()]);
        }
    }
    data
}

/// Times of every generated token of a candidate's trials, ascending, in milliseconds.
fn token_ms(trials: &[Trial], candidate: &Candidate) -> Vec<f64> {
    let cited = trials.iter().filter(|trial| candidate.evidence.contains(&trial.id));
    let samples = cited.flat_map(|trial| trial.outcome.samples());
    let times = |sample: &Sample| sample.token_ns.clone();
    let mut times: Vec<f64> = samples.flat_map(times).map(|ns| ns as f64 / 1e6).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The time that this share of tokens does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is a whole number within it"
)]
fn at_share(ascending: &[f64], share: f64) -> f64 {
    let last = ascending.len() - 1;
    ascending[((ascending.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last)]
}

fn curve(ascending: &[f64], high: f64) -> Vec<(f64, f64)> {
    let step = |step: usize| step as f64 / STEPS as f64;
    let mut points = vec![(ascending[0], 0.0)];
    points.extend((1..=STEPS).map(|at| (at_share(ascending, step(at)), step(at))));
    points.retain(|(time, _)| *time <= high);
    points
}
