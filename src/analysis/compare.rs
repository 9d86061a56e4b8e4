//! Two runs side by side. Their speeds were not measured in pairs, so that only the intervals of
//! each can be held against each other, and whatever changed between the runs is in the ratio.

use crate::knob;
use crate::model::{
    ComparedRun, Comparison, Difference, Findings, Machine, Plan, SettingDifference, Verdict,
};
use crate::stats::{Estimate, unpaired_change};

/// A run as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The machine it ran on.
    pub machine: &'a Machine,
    /// What it set out to do.
    pub plan: &'a Plan,
    /// What it found.
    pub findings: &'a Findings,
}

/// The second run against the first, each with the setting that it recommends.
#[must_use]
pub fn comparison(first: Side<'_>, second: Side<'_>) -> Comparison {
    let (a, b) = (run(first), run(second));
    let not_comparable = other_work(first.plan, second.plan);
    let zone = first.plan.protocol.indifference.max(second.plan.protocol.indifference);
    let rate = |of: fn(&ComparedRun) -> Option<Estimate>| {
        unpaired_change(&of(&a)?, &of(&b)?, zone).filter(|_| not_comparable.is_none())
    };
    let (turn, prefill, decode) = (
        rate(|run| run.recommended.turn_s.map(turned)),
        rate(|run| run.recommended.prefill_tok_per_s),
        rate(|run| run.recommended.decode_tok_per_s),
    );
    let changed = knob::changed(&a.recommended.setting, &b.recommended.setting);
    Comparison {
        schema: Comparison::SCHEMA.to_owned(),
        differs: differences(first, second),
        not_comparable,
        turn,
        prefill,
        decode,
        settings: changed
            .into_iter()
            .map(|(knob, first, second)| SettingDifference {
                knob: knob.name().to_owned(),
                first,
                second,
            })
            .collect(),
        first: a,
        second: b,
    }
}

/// A time as a speed.
fn turned(time: Estimate) -> Estimate {
    Estimate {
        value: 1.0 / time.value,
        low: time.high.map(|high| 1.0 / high),
        high: time.low.map(|low| 1.0 / low),
        ..time
    }
}

fn run(side: Side<'_>) -> ComparedRun {
    let findings = side.findings;
    let tuned = findings.recommends_tuned();
    let gain = match &findings.verdict {
        Verdict::Confirmed { turn, .. } if tuned => Some(*turn),
        Verdict::Confirmed { .. } | Verdict::KeepBaseline | Verdict::Unconfirmed { .. } => None,
    };
    ComparedRun {
        created_at: side.plan.created_at.clone(),
        command: side.plan.command.clone(),
        recommended: if tuned { findings.best.clone() } else { findings.baseline.clone() },
        tuned,
        gain,
    }
}

/// Why the two did not do the same work.
fn other_work(first: &Plan, second: &Plan) -> Option<String> {
    let shape = |plan: &Plan| {
        let it = &plan.workload;
        let depth = match it.depth {
            0 => String::new(),
            depth => format!(" after {depth}"),
        };
        let parallel = match it.sequences() {
            1 => String::new(),
            sequences => format!(", {sequences} sequences at once"),
        };
        format!(
            "{} prompt + {} generated tokens{depth}{parallel}",
            it.prompt_tokens, it.generate_tokens
        )
    };
    let (a, b) = (shape(first), shape(second));
    (a != b).then(|| format!("the first run did {a}, the second {b}"))
}

/// Facts that differ besides the settings.
fn differences(first: Side<'_>, second: Side<'_>) -> Vec<Difference> {
    let unknown = || "unknown".to_owned();
    let facts = |side: Side<'_>| {
        let (machine, plan) = (side.machine, side.plan);
        let types = plan.model.types.first().map_or_else(unknown, |it| it.name.clone());
        let gpus: Vec<String> =
            machine.gpus.iter().map(|gpu| gpu.name.clone().unwrap_or_else(unknown)).collect();
        vec![
            ("processor", machine.cpu.model.clone().unwrap_or_else(unknown)),
            ("cores", machine.cpu.cores.map_or_else(unknown, |it| it.to_string())),
            (
                "usable threads",
                machine.limits.usable_threads.map_or_else(unknown, |it| it.to_string()),
            ),
            ("memory", machine.memory.total_bytes.map_or_else(unknown, |it| it.to_string())),
            ("GPUs", if gpus.is_empty() { "none".to_owned() } else { gpus.join(", ") }),
            ("kernel", machine.os.kernel.clone().unwrap_or_else(unknown)),
            ("engine", format!("{} {}", plan.engine.name, plan.engine.version)),
            ("ggml", plan.engine.ggml_version.clone()),
            ("autotune", plan.tool_version.clone()),
            ("model", plan.model.name.clone().unwrap_or_else(|| plan.model.architecture.clone())),
            ("weights", format!("{}, mostly {types}", plan.model.file_bytes)),
            ("model file", plan.model.digest.clone()),
            ("workload", plan.workload.name.clone()),
            ("context", plan.workload.context.to_string()),
        ]
    };
    let pairs = facts(first).into_iter().zip(facts(second));
    pairs
        .filter(|((_, a), (_, b))| a != b)
        .map(|((what, first), (_, second))| Difference { what: what.to_owned(), first, second })
        .collect()
}
