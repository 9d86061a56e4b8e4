//! What a sweep says on stdout: the list of workloads, a plan, the answer.

use std::fmt::Write as _;
use std::path::Path;

use autotune_engine::api::{Setting, TokenRate};

use super::workloads;
use crate::cli::global::one_line;
use crate::export;
use crate::knob::{self, Tool};
use crate::model::{Candidate, Figure, Findings, Outcome, Plan, Standing, Trial, Verdict};
use crate::render::space;
use crate::search;
use crate::stats::{Change, Estimate, Separation};

/// A plan for people.
pub(super) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    let (workload, protocol) = (&plan.workload, &plan.protocol);
    let _ = writeln!(
        text,
        "{} for `{}`: {}",
        model_name(plan),
        one_line(&workload.name),
        workloads::lines(workload).join("; ")
    );
    for goal in plan.wanted() {
        let _ = writeln!(text, "Goal: {goal}");
    }
    if let Some(target) = plan.protocol.target {
        let _ = writeln!(text, "Enough: {:.0} % faster than the default", 100.0 * target);
    }
    text.push_str(&space::text(plan));
    let [least, most] = protocol.confirm_pairs;
    if protocol.record_grid > 0 {
        let _ = writeln!(
            text,
            "\nEach visit: {} prompt and {} generated tokens. All {} settings of the space, each \
             {} times,\nin random order and with nothing left out.",
            protocol.slice.prompt_tokens,
            protocol.slice.generate_tokens,
            search::space_size(plan),
            protocol.record_grid,
        );
        return text;
    }
    let _ = writeln!(
        text,
        "\nEach visit: {} prompt and {} generated tokens. A space of {} settings, searched by \
         strategy {}\nin about {} visits: {} pairs of the default with itself, {} finalists, \
         {least} to {most} pairs\nof confirmation, {}.",
        protocol.slice.prompt_tokens,
        protocol.slice.generate_tokens,
        search::space_size(plan),
        protocol.strategy.word(),
        search::expected_visits(plan),
        protocol.fitness_pairs,
        protocol.finalists,
        if protocol.soak_ms == 0 {
            "no soak (budgets from 15 minutes up have one)"
        } else {
            "a soak of 3 minutes"
        }
    );
    if protocol.calibration.is_none() {
        let _ = writeln!(text, "Nothing was run: lengths and rounds rest on a guess of the speed.");
    }
    text
}

/// The answer for people.
pub(super) fn findings(plan: &Plan, findings: &Findings, folder: &Path) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", verdict(findings));
    let told = match plan.workload.report.as_slice() {
        [] => &[Figure::Prefill, Figure::Decode],
        told => told,
    };
    for number in told {
        let (name, default) = figure(*number, &findings.baseline);
        let (_, tuned) = figure(*number, &findings.best);
        let _ = writeln!(text, "  {name:14} {default:>8} -> {tuned:>8}");
    }
    for goal in plan.wanted() {
        let word = goal.standing(&findings.best).map_or("not measured", Standing::words);
        let _ = writeln!(text, "  {goal}: {word}");
    }
    let changed = knob::changed(&findings.baseline.setting, &findings.best.setting);
    if !changed.is_empty() {
        text.push('\n');
    }
    for (knob, from, to) in changed {
        let _ = writeln!(text, "  {:16} {from} -> {to}", knob.name());
    }
    let _ = write!(text, "\n{}", server_command(plan, &findings.best.setting));
    for caveat in &findings.caveats {
        let _ = writeln!(text, "caveat: {}", one_line(caveat));
    }
    let _ = writeln!(
        text,
        "\n{} trials ({} failed, {} from the cache); {}.\nReport: {}",
        findings.trials_measured + findings.trials_failed + findings.trials_cached,
        findings.trials_failed,
        findings.trials_cached,
        findings.stopped_because,
        folder.join("report.md").display()
    );
    text
}

/// A number of a setting with its name; `-` where it was not measured.
fn figure(number: Figure, candidate: &Candidate) -> (&'static str, String) {
    let rate = |it: Option<Estimate>| it.map(|it| TokenRate(it.value).to_string());
    let seconds = |it: Option<Estimate>| it.map(|it| format!("{:.2}", it.value));
    let (name, text) = match number {
        Figure::Prefill => ("prefill tok/s", rate(candidate.prefill_tok_per_s)),
        Figure::Decode => ("decode tok/s", rate(candidate.decode_tok_per_s)),
        Figure::Turn => ("turn s", seconds(candidate.turn_s)),
        Figure::Ttft => ("first token s", seconds(candidate.ttft_s)),
        Figure::Itl => {
            ("token gap ms", candidate.itl_p50_s.map(|gap| format!("{:.1}", 1000.0 * gap)))
        }
        Figure::Memory => ("memory", candidate.peak_resident_bytes.map(|it| it.to_string())),
    };
    (name, text.unwrap_or_else(|| "-".to_owned()))
}

/// The first failure of the baseline.
pub(super) fn why_nothing_ran(plan: &Plan, trials: &[Trial]) -> String {
    let failure = trials.iter().filter(|trial| trial.asked == plan.baseline).find_map(|trial| {
        match &trial.outcome {
            Outcome::Failed(failure) => Some(failure.to_string()),
            Outcome::Measured(_) | Outcome::NotRun(_) => None,
        }
    });
    let failure = failure.unwrap_or_else(|| "it was never run".to_owned());
    format!("the default setting does not run here: {failure}")
}

fn verdict(findings: &Findings) -> String {
    match &findings.verdict {
        Verdict::Confirmed { turn, .. } => match turn.separation {
            Separation::Faster => format!("The tuned setting is {} the default.", ratio(turn)),
            Separation::Slower => {
                format!("Keep the default: what looked better is {} it.", ratio(turn))
            }
            Separation::NotSeparated => {
                format!("Keep the default: the best found is ~ {} it.", ratio(turn))
            }
        },
        Verdict::KeepBaseline => "Keep the default: nothing looked better.".to_owned(),
        Verdict::Unconfirmed { reason } => format!("Not confirmed: {reason}."),
    }
}

/// `1.23x as fast as (95 % 1.20 to 1.26, 12 pairs)`.
fn ratio(change: &Change) -> String {
    let speed = &change.speed_ratio;
    let interval = match (speed.low, speed.high) {
        (Some(low), Some(high)) => {
            let level = (1e4 * speed.confidence).round() / 1e2;
            format!("{level} % interval {low:.2} to {high:.2}, ")
        }
        _ => String::new(),
    };
    format!("{:.2} times as fast ({interval}{} pairs) as", speed.value, speed.n)
}

fn model_name(plan: &Plan) -> String {
    let path = plan.model.path.display().to_string();
    one_line(&plan.model.name.clone().unwrap_or(path))
}

/// The command line that runs this setting, and what it cannot say.
fn server_command(plan: &Plan, setting: &Setting) -> String {
    let tuned: Vec<&str> = plan.axes.iter().map(|axis| axis.knob.as_str()).collect();
    let command =
        export::command(Tool::LlamaServer, setting, &plan.model.path, &plan.workload, &tuned);
    let mut text = String::new();
    for line in command.lines().lines() {
        let _ = writeln!(text, "{}", one_line(line));
    }
    for note in &command.notes {
        let _ = writeln!(text, "note: {}", one_line(note));
    }
    text
}
