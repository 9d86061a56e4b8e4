//! `plan.json`: what a sweep set out to do, complete enough to do it again.

use autotune_engine::api::{Identity, Setting, Sum, VariantReport, Work};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Goal, ModelCard, Objective, Phase, Workload};

/// Everything a sweep decided before its first trial. Together with the journal it determines
/// what is run next, so a stopped sweep continues as if nothing had happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`Plan::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// The model.
    pub model: ModelCard,
    /// What it is tuned for.
    pub workload: Workload,
    /// Who measures.
    pub engine: Identity,
    /// CPU variants with the result of their self-test.
    pub variants: Vec<VariantReport>,
    /// What `llama-server` would run here.
    pub baseline: Setting,
    /// Where the baseline had to differ from plain llama.cpp, and why; one sentence each.
    pub baseline_notes: Vec<String>,
    /// The search space.
    pub axes: Vec<Axis>,
    /// What was left out of it, and why.
    pub rejected: Vec<Rejected>,
    /// How each setting is measured.
    pub protocol: Protocol,
    /// What the machine's measured peaks let expect; `None` where they were not measured.
    #[serde(default)]
    pub prior: Option<Prior>,
    /// Seed of every random order.
    pub seed: u64,
    /// What was asked for in numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Goal>,
    /// Memory of the baseline at several contexts, foreseen by the engine without allocating;
    /// empty where it foresees none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context_memory: Vec<ContextMemory>,
}

/// Memory at one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextMemory {
    /// Tokens of context.
    pub context: u32,
    /// Need of main memory.
    pub memory: Sum,
    /// Need of all devices together.
    pub devices: Sum,
}

impl Plan {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.plan/1";

    /// What was asked for in numbers: on the command line, and by the workload's limits.
    pub fn wanted(&self) -> impl Iterator<Item = Goal> + '_ {
        self.goals.iter().copied().chain(Goal::of(&self.workload.limits))
    }

    /// The work of a visit to a setting. Where throughput is what counts, a setting's own number
    /// of sequences runs at once; else the workload's.
    #[must_use]
    pub fn work(&self, setting: &Setting) -> Work {
        let slice = self.protocol.slice.clone();
        match self.workload.objective {
            Objective::Throughput => Work { parallel: setting.context.sequences, ..slice },
            Objective::TurnTime | Objective::Energy | Objective::Ttft => slice,
        }
    }
}

/// One knob and the levels it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Name of the knob.
    pub knob: String,
    /// What a change of it costs.
    pub scope: Scope,
    /// Its levels, in order; the baseline's is among them.
    pub levels: Vec<Level>,
}

/// What a change of a knob costs, dearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A new worker process.
    Process,
    /// A new load of the model.
    Load,
    /// A new context.
    Context,
    /// Nothing.
    Setter,
}

/// One value of a knob, as JSON has it: a number or a word.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(untagged)]
pub enum Level {
    /// A count.
    Count(u32),
    /// A word.
    Word(String),
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Word(word) => f.pad(word),
        }
    }
}

/// A knob or a level that is not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Name of the knob.
    pub knob: String,
    /// The level; `None` for the whole knob.
    pub level: Option<Level>,
    /// One sentence.
    pub reason: String,
}

/// Who proposes the settings that are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A Gaussian process on the logarithm of time, by expected improvement per second.
    #[default]
    Auto,
    /// Every setting of the space.
    Grid,
    /// Settings by chance.
    Random,
    /// One knob after the other, from the best so far.
    Coordinate,
    /// A tree-structured Parzen estimator.
    Tpe,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Grid, Self::Random, Self::Coordinate, Self::Tpe];

    /// The word for it in documents and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Coordinate => "coordinate",
            Self::Tpe => "tpe",
        }
    }
}

/// How settings are measured, and when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// One visit to one setting.
    pub slice: Work,
    /// Who proposes settings.
    #[serde(default)]
    pub strategy: Strategy,
    /// How often each setting of the whole space is visited, in random order and with nothing
    /// pruned; 0: this is an ordinary sweep, not the recording of a grid.
    #[serde(default)]
    pub record_grid: u32,
    /// Pairs of the baseline with itself before the search.
    #[serde(default)]
    pub fitness_pairs: u32,
    /// Settings that reach the final rounds, the baseline not counted.
    pub finalists: u32,
    /// Interleaved rounds among the finalists before the first half of them leaves.
    pub finalist_blocks: u32,
    /// Interleaved rounds among the last few at most.
    #[serde(default)]
    pub certify_blocks: u32,
    /// How much faster than the winner another finalist may still be when the certificate is
    /// complete (0.02 = 2 %).
    #[serde(default)]
    pub certify_within: f64,
    /// Pairs of winner and baseline in the confirmation, at least and at most.
    pub confirm_pairs: [u32; 2],
    /// Ratios of speed closer to 1 than this are called equal (0.01 = 1 %).
    pub indifference: f64,
    /// Two-sided coverage of every interval.
    pub confidence: f64,
    /// How long the winner runs without a break after its confirmation, in milliseconds; 0: not.
    #[serde(default)]
    pub soak_ms: u64,
    /// Share of the budget that curves around the winner may take; 0: no curves.
    #[serde(default)]
    pub curve_share: f64,
    /// Settings by chance that are looked at to judge the search; 0: none.
    #[serde(default)]
    pub audit: u32,
    /// The speed-up that is enough (0.3 = 30 % faster than the default): the search ends when it
    /// is in reach. `None`: as much as can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Wall-clock time the sweep may take, in milliseconds; `None`: no limit.
    pub budget_ms: Option<u64>,
    /// Trials the sweep may run; `None`: no limit.
    pub max_trials: Option<u32>,
    /// What one visit to the baseline took before the sweep began. It sized the slice and is the
    /// base of every deadline; `None` where nothing was run (a dry run).
    pub calibration: Option<Calibration>,
}

impl Protocol {
    /// Pairs of the confirmation between two looks at its interval.
    pub const CONFIRM_LOOK_EVERY: u32 = 4;
    /// Pairs from which on a confirmation that its budget ended is looked at once all the same.
    pub const FEWEST_PAIRS: u32 = 6;

    /// The coverage that one interval of the confirmation needs, so that all looks at it together
    /// are wrong no oftener than `confidence` allows: the looks share the error between them.
    #[must_use]
    pub fn confirm_confidence(&self) -> f64 {
        let [least, most] = self.confirm_pairs;
        let looks = most.saturating_sub(least) / Self::CONFIRM_LOOK_EVERY + 1;
        1.0 - (1.0 - self.confidence) / f64::from(looks)
    }
}

/// Speeds that follow from the model's bytes and operations and the machine's measured peaks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Ideal speeds by thread count, in order.
    pub threads: Vec<PriorPoint>,
    /// Bytes that one generated token reads, over the machine's whole read bandwidth at the upper
    /// end of its interval: no setting of these knobs generates faster. `None` where caches or
    /// several devices make the sum meaningless.
    pub decode_roof_tok_per_s: Option<f64>,
}

impl Prior {
    /// The ideal speed of a phase with so many threads, tok/s: between measured thread counts on
    /// the straight line of logarithms, below them in proportion, above them as at the last.
    #[must_use]
    pub fn rate(&self, phase: Phase, threads: u32) -> Option<f64> {
        let known = |point: &PriorPoint| {
            let rate = match phase {
                Phase::Prefill => point.prefill_tok_per_s,
                Phase::Decode => point.decode_tok_per_s,
            };
            Some((f64::from(point.threads), rate.filter(|rate| *rate > 0.0)?))
        };
        let wanted = f64::from(threads);
        let points = || self.threads.iter().filter_map(known);
        let below = points().take_while(|(threads, _)| *threads <= wanted).last();
        let above = points().find(|(threads, _)| *threads >= wanted);
        match (below, above) {
            (Some((low, slow)), Some((high, fast))) if high > low => {
                let share = (wanted / low).ln() / (high / low).ln();
                Some(slow * (fast / slow).powf(share))
            }
            (Some((_, rate)), _) => Some(rate),
            (None, Some((high, fast))) => Some(fast * wanted / high),
            (None, None) => None,
        }
    }
}

/// Ideal speeds with so many threads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PriorPoint {
    /// Threads.
    pub threads: u32,
    /// Prompt tokens per second at most.
    pub prefill_tok_per_s: Option<f64>,
    /// Generated tokens per second at most.
    pub decode_tok_per_s: Option<f64>,
}

/// One visit to the baseline before the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Prompt tokens per second; `None` without a prompt.
    pub prefill_tok_per_s: Option<f64>,
    /// Generated tokens per second; `None` without generation.
    pub decode_tok_per_s: Option<f64>,
    /// Starting the worker, loading the model and making a context, in milliseconds.
    pub transition_ms: u64,
    /// The whole visit, in milliseconds. It counts towards the budget.
    pub elapsed_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_between_measured_thread_counts_lie_on_a_line_of_logarithms() {
        let point = |threads, decode| PriorPoint {
            threads,
            prefill_tok_per_s: None,
            decode_tok_per_s: Some(decode),
        };
        let threads = vec![point(2, 10.0), point(8, 40.0), point(16, 40.0)];
        let prior = Prior { threads, decode_roof_tok_per_s: None };
        let near = |threads: u32, rate: f64| {
            let own = prior.rate(Phase::Decode, threads).unwrap();
            assert!((own / rate - 1.0).abs() < 1e-12, "{threads}: {own}");
        };
        near(2, 10.0);
        near(4, 20.0);
        near(1, 5.0);
        near(12, 40.0);
        near(64, 40.0);
        assert_eq!(prior.rate(Phase::Prefill, 4), None);
    }
}
