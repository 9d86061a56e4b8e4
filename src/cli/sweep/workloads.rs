//! Workloads for people: what comes, what is to be small, what must hold.

use std::fmt::Write as _;

use crate::cli::global::one_line;
use crate::model::{Bounds, Figure, Objective, Request, Workload};
use crate::plan::built_in;

/// The workloads that ship with the program, within 80 columns.
pub(super) fn table() -> String {
    let mut text = String::from(
        "Tokens of a turn are written prompt + answer. A file of your own in the form of\n\
         profiles/*.toml (docs/FORMATS.md) may be named instead.\n\n",
    );
    for workload in built_in() {
        let _ = writeln!(text, "{:12} {}", workload.name, workload.description);
        for line in lines(&workload) {
            let _ = writeln!(text, "{:12} {line}", "");
        }
    }
    text
}

/// The mix, the objective and the limits of a workload, a line each.
pub(super) fn lines(workload: &Workload) -> Vec<String> {
    let mut lines = mix(workload);
    let context = match workload.sequences() {
        1 => format!("context {}", workload.context),
        many => format!("{many} sequences at once, context {} each", workload.context),
    };
    lines.push(context);
    let mut aim = objective(workload.objective).to_owned();
    if !workload.report.is_empty() {
        let names: Vec<&str> = workload.report.iter().copied().map(Figure::word).collect();
        let _ = write!(aim, "; beside it {}", names.join(", "));
    }
    lines.push(aim);
    let limits = limits(&workload.limits);
    if !limits.is_empty() {
        lines.push(format!("limits: {}", limits.join(", ")));
    }
    lines.into_iter().map(|line| one_line(&line)).collect()
}

fn mix(workload: &Workload) -> Vec<String> {
    let turn = |new: u32, generated: u32, before: u32| {
        let after = if before > 0 { format!(" after {before} cached") } else { String::new() };
        format!("{new} + {generated} tokens{after}")
    };
    if workload.requests.is_empty() {
        let Workload { prompt_tokens, generate_tokens, depth, .. } = *workload;
        return vec![turn(prompt_tokens, generate_tokens, depth)];
    }
    let weights: f64 = workload.requests.iter().map(|request| request.weight).sum();
    let line = |request: &Request| {
        let before = request.depth.saturating_add(request.cached_tokens());
        let share = 100.0 * request.weight / weights;
        let turn = turn(request.new_tokens(), request.generate_tokens, before);
        format!("{share:.0} % of turns: {turn}")
    };
    workload.requests.iter().map(line).collect()
}

/// What a sweep makes small, or large.
pub(super) fn objective(objective: Objective) -> &'static str {
    match objective {
        Objective::TurnTime => "for short turns",
        Objective::Throughput => "for tokens/s in all",
        Objective::Energy => "for little energy per turn",
        Objective::Ttft => "for an early first token",
    }
}

fn limits(bounds: &Bounds) -> Vec<String> {
    let ttft = bounds.ttft_ms.map(|limit| format!("first token within {limit} ms"));
    let memory = bounds.memory.map(|limit| format!("memory {limit}"));
    let context = bounds.min_context.map(|least| format!("context at least {least}"));
    let answers = bounds.max_kl_divergence.map(|limit| format!("divergence of answers {limit}"));
    [ttft, memory, context, answers].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_workload_within_80_columns() {
        let text = table();
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:?}");
        for workload in built_in() {
            assert!(text.contains(&workload.name) && text.contains(&workload.description));
        }
        assert!(text.contains("92 % of turns: 410 + 192 tokens after 7782 cached"), "{text}");
        assert!(text.contains("4 sequences at once, context 2048 each"));
        assert!(text.contains("limits: memory 3.73 GiB"), "{text}");
    }
}
