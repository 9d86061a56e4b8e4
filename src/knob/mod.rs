//! What can be varied: one file per knob, and the list of them.
//!
//! A knob knows its name, what a change of it costs, which part of a turn it acts on, which levels
//! make sense on a given ground, where it sits in a [`Setting`], and how llama.cpp's tools spell
//! it. Help, plan tables, reports and exports are made from [`ALL`]. Which combinations are tried
//! is left to `search`.

mod flash_attention;
mod isa_variant;
mod space;
mod thread_levels;
mod threads;
mod threads_batch;
mod ubatch;

use autotune_engine::api::{Setting, VariantReport};
use thiserror::Error;

use crate::model::{Level, Rejected, Scope};

pub use flash_attention::FlashAttentionKnob;
pub use isa_variant::IsaVariantKnob;
pub use space::{Space, apply, at_least_as_large, canonical, changed, space};
pub use threads::ThreadsKnob;
pub use threads_batch::ThreadsBatchKnob;
pub use ubatch::UbatchKnob;

/// Every knob, in the order of help and reports.
pub const ALL: &[&dyn Knob] =
    &[&ThreadsKnob, &ThreadsBatchKnob, &UbatchKnob, &FlashAttentionKnob, &IsaVariantKnob];

/// Something that can be varied about a run.
pub trait Knob: Sync + std::fmt::Debug {
    /// Its name in flags and documents.
    fn name(&self) -> &'static str;

    /// What it is, one line.
    fn summary(&self) -> &'static str;

    /// What it does to speed and why, a short paragraph.
    fn explanation(&self) -> &'static str;

    /// What a change of it costs.
    fn scope(&self) -> Scope;

    /// Which part of a turn it can change.
    fn acts_on(&self) -> ActsOn;

    /// The levels worth trying on this ground, in order, the baseline's among them; fewer than
    /// two where the knob does nothing here, and then a rejection without a level says why.
    fn offer(&self, ground: &Ground<'_>) -> Offer;

    /// Its level in a setting.
    fn read(&self, setting: &Setting) -> Level;

    /// Puts a level into a setting.
    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel>;

    /// The arguments that give one of llama.cpp's tools this level; empty where that tool has no
    /// flag for it.
    fn spell(&self, tool: Tool, level: &Level) -> Vec<String>;
}

/// Which part of a turn a knob can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActsOn {
    /// Only the processing of prompts.
    Prefill,
    /// Only generation.
    Decode,
    /// Both.
    Both,
}

/// A program of llama.cpp that takes settings as arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The HTTP server.
    LlamaServer,
    /// The chat in a terminal.
    LlamaCli,
    /// The benchmark, which has one thread count for both parts of a turn.
    LlamaBench,
}

/// What the levels of a knob depend on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Physical cores that llama.cpp would count (performance cores on a hybrid processor).
    pub physical_cores: u32,
    /// Threads of the machine that are online.
    pub online_threads: u32,
    /// Threads this process may use at once, under its CPU set and quota.
    pub usable_threads: u32,
    /// CPU variants of the engine after their self-test, best first.
    pub variants: &'a [VariantReport],
    /// Prompt tokens of one visit.
    pub prompt_slice: u32,
    /// What llama-server would run here.
    pub baseline: &'a Setting,
}

/// The levels of a knob and those left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Levels in order.
    pub levels: Vec<Level>,
    /// What was left out, and why.
    pub rejected: Vec<Rejected>,
}

impl Offer {
    /// Adds one level that is left out, or the whole knob.
    fn reject(&mut self, knob: &dyn Knob, level: Option<Level>, reason: impl Into<String>) {
        self.rejected.push(Rejected { knob: knob.name().to_owned(), level, reason: reason.into() });
    }
}

/// A name that no knob has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no knob `{name}`; knobs are {}", names().join(", "))]
pub struct UnknownKnob {
    /// What was written.
    pub name: String,
}

/// A level that a knob cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{level}` is not a level of `{knob}`, which takes {wanted}")]
pub struct WrongLevel {
    /// The knob.
    pub knob: &'static str,
    /// What was written.
    pub level: String,
    /// What would have been understood.
    pub wanted: &'static str,
}

/// The names of all knobs, in order.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|knob| knob.name()).collect()
}

/// The knob of that name; `-` and `_` are the same.
pub fn named(name: &str) -> Result<&'static dyn Knob, UnknownKnob> {
    let plain = name.trim().replace('-', "_");
    ALL.iter()
        .copied()
        .find(|knob| knob.name() == plain)
        .ok_or_else(|| UnknownKnob { name: name.to_owned() })
}

/// A count of at least one, for knobs that take one.
fn count(knob: &'static str, level: &Level) -> Result<u32, WrongLevel> {
    match level {
        Level::Count(count) if *count > 0 => Ok(*count),
        other => {
            Err(WrongLevel { knob, level: other.to_string(), wanted: "a count of at least 1" })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use autotune_engine::api::{
        ContextSetting, LoadSetting, ProcessSetting, ThreadSetting, VariantFault, VariantVerdict,
    };

    use super::*;

    /// A machine with 4 cores of 2 threads and three variants, the best of which dies.
    pub(crate) fn setting() -> Setting {
        Setting {
            process: ProcessSetting { isa_variant: Some("icelake".into()), ..Default::default() },
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(4),
        }
    }

    pub(crate) fn variants() -> Vec<VariantReport> {
        let report =
            |name: &str, score, verdict| VariantReport { name: name.into(), score, verdict };
        vec![
            report(
                "sapphirerapids",
                700,
                VariantVerdict::Failed {
                    fault: VariantFault::Crashed,
                    reason: "SIGILL in the self-test".into(),
                },
            ),
            report("icelake", 500, VariantVerdict::Usable),
            report("haswell", 60, VariantVerdict::Usable),
            report("zen4", 0, VariantVerdict::Unsupported),
        ]
    }

    pub(crate) fn ground<'a>(baseline: &'a Setting, variants: &'a [VariantReport]) -> Ground<'a> {
        Ground {
            physical_cores: 4,
            online_threads: 8,
            usable_threads: 8,
            variants,
            prompt_slice: 512,
            baseline,
        }
    }

    #[test]
    fn an_unknown_knob_is_answered_with_the_list() {
        let error = named("thread").err().unwrap().to_string();
        assert!(error.contains("`thread`") && error.contains("threads_batch"), "{error}");
        assert_eq!(named("flash-attention").unwrap().name(), "flash_attention");
    }

    #[test]
    fn every_knob_reads_what_it_wrote_and_offers_its_baseline() {
        let (baseline, variants) = (setting(), variants());
        let ground = ground(&baseline, &variants);
        for knob in ALL {
            let offer = knob.offer(&ground);
            assert!(offer.levels.len() >= 2, "{}", knob.name());
            assert!(offer.levels.contains(&knob.read(&baseline)), "{}", knob.name());
            for level in &offer.levels {
                let mut changed = baseline.clone();
                knob.write(&mut changed, level).unwrap();
                assert_eq!(&knob.read(&changed), level, "{}", knob.name());
            }
            let strange = Level::Word("no such level\n".into());
            assert!(
                knob.write(&mut setting(), &strange).is_err() || knob.name() == "isa_variant",
                "{}",
                knob.name()
            );
        }
    }

    #[test]
    fn every_knob_is_documented() {
        for knob in ALL {
            assert!(knob.summary().len() > 10 && !knob.summary().contains('\n'));
            assert!(knob.explanation().len() > knob.summary().len());
        }
    }
}
