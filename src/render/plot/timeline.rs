//! Every trial in the order of time, with the default's returns joined: drift shows as a slope.

use crate::model::{Findings, Phase, Plan, Trial};
use crate::render::format;
use crate::render::trial::{difference, rate, started};

use super::data::{self, Data};
use super::plane::{self, Axis, Layout, Mark, labelled, round_ticks};
use super::theme::Ink;
use super::{Plot, phase_word, short};

const LAYOUT: Layout = Layout { width: 940, height: 280, left: 52, right: 20, top: 34, bottom: 44 };

/// The time line; `None` where fewer than three trials have a time and a speed.
pub(super) fn plot(plan: &Plan, trials: &[Trial], findings: &Findings) -> Option<Plot> {
    let phase = if trials.iter().any(|trial| rate(trial, Phase::Decode).is_some()) {
        Phase::Decode
    } else {
        Phase::Prefill
    };
    let begin = trials.iter().filter_map(started).min()?;
    let minutes =
        |trial: &Trial| Some((started(trial)?.as_second() - begin.as_second()) as f64 / 60.0);
    let measured: Vec<_> = trials
        .iter()
        .filter_map(|trial| Some((trial, minutes(trial)?, rate(trial, phase)?)))
        .collect();
    let failed: Vec<f64> = trials
        .iter()
        .filter(|trial| !matches!(trial.outcome.kind(), "measured" | "not-run"))
        .filter_map(minutes)
        .collect();
    if measured.len() < 3 {
        return None;
    }
    let last = trials.iter().filter_map(minutes).fold(0.0, f64::max);
    let top = measured.iter().map(|(_, _, rate)| *rate).fold(0.0, f64::max) * 1.1;
    let (x, y) = axes(last, top, phase);
    let baseline: Vec<_> = measured
        .iter()
        .filter(|(trial, ..)| trial.asked == plan.baseline)
        .map(|(_, at, rate)| (*at, *rate))
        .collect();
    let svg = plane::draw(LAYOUT, &x, &y, |plane| {
        plane.line(&baseline, Ink::Default, 1);
        for (trial, at, rate) in &measured {
            plane.hint((*at, *rate), words(plan, trial, *rate));
            if trial.is_disturbed() {
                plane.line(&[(*at, 0.0), (*at, top * 0.04)], Ink::Prefill, 2);
            }
            match trial {
                trial if trial.asked == plan.baseline => {
                    plane.square((*at, *rate), 3, Ink::Default);
                }
                trial if trial.asked == findings.best.setting => {
                    plane.dot((*at, *rate), 4, Ink::Tuned);
                }
                _ => plane.dot((*at, *rate), 2, Ink::Muted),
            }
        }
        for at in &failed {
            plane.cross((*at, top * 0.03), 4, Ink::Bad);
        }
        let mut entries = vec![
            ("default", Ink::Default, Mark::Square),
            ("tuned", Ink::Tuned, Mark::Dot),
            ("other settings", Ink::Muted, Mark::Dot),
        ];
        if measured.iter().any(|(trial, ..)| trial.is_disturbed()) {
            entries.push(("others ran, or clocks were held", Ink::Prefill, Mark::Line));
        }
        if !failed.is_empty() {
            entries.push(("did not run", Ink::Bad, Mark::Cross));
        }
        plane.legend(&entries);
    });
    let description = format!(
        "{} trials over time, {} of them the default setting, {} did not run",
        measured.len() + failed.len(),
        baseline.len(),
        failed.len()
    );
    let data = data(plan, trials, begin.as_second());
    Some(Plot::new("timeline", "The sweep over time".into(), description, svg, data).wide())
}

fn words(plan: &Plan, trial: &Trial, rate: f64) -> String {
    let doubts = trial.caveats.iter().map(|doubt| format!("; {}", short(doubt, 80)));
    format!(
        "trial {} ({}): {}, {} tok/s{}",
        trial.id,
        trial.purpose.word(),
        short(&difference(&plan.baseline, &trial.asked), 80),
        format::three(rate),
        doubts.collect::<String>()
    )
}

fn data(plan: &Plan, trials: &[Trial], begin_s: i64) -> Data {
    let mut data = Data::new(&[
        "trial",
        "seconds",
        "purpose",
        "setting",
        "outcome",
        "prefill_tok_per_s",
        "decode_tok_per_s",
        "disturbed",
    ]);
    for trial in trials {
        let seconds = started(trial).map(|at| (at.as_second() - begin_s).to_string());
        let [prefill, decode] =
            [Phase::Prefill, Phase::Decode].map(|phase| data::number(rate(trial, phase)));
        data.row([
            trial.id.to_string(),
            seconds.unwrap_or_default(),
            trial.purpose.word().to_owned(),
            difference(&plan.baseline, &trial.asked),
            trial.outcome.kind().to_owned(),
            prefill,
            decode,
            u8::from(trial.is_disturbed()).to_string(),
        ]);
    }
    data
}

fn axes(last: f64, top: f64, phase: Phase) -> (Axis, Axis) {
    // Seconds where the whole sweep took less than three minutes.
    let (factor, unit) = if last < 3.0 { (60.0, "s") } else { (1.0, "min") };
    let end = last.max(0.05) * 1.03;
    let marks = labelled(&round_ticks(0.0, end * factor, 8));
    let x = Axis {
        label: format!("since the first trial, {unit}"),
        low: -end * 0.02,
        high: end,
        ticks: marks.into_iter().map(|(value, words)| (value / factor, words)).collect(),
    };
    let y = Axis {
        label: format!("{} tok/s", phase_word(phase)),
        low: 0.0,
        high: top,
        ticks: labelled(&round_ticks(0.0, top, 5)),
    };
    (x, y)
}
