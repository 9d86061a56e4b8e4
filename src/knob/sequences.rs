//! Sequences in one context.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag};
use crate::model::{Level, Scope};

/// `sequences`: sequences that a context holds.
#[derive(Debug)]
pub struct SequencesKnob;

impl Knob for SequencesKnob {
    fn name(&self) -> &'static str {
        "sequences"
    }

    fn summary(&self) -> &'static str {
        "sequences that a context holds"
    }

    fn explanation(&self) -> &'static str {
        "Each sequence is a conversation with its share of the context. One conversation at a \
         time gains nothing from room for more."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let reason =
            "the workload is one conversation at a time; --fix sequences=4 makes room for more";
        Offer::nothing(self, ground, reason)
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.context.sequences)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.sequences = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer => flag("--parallel", level),
            Tool::Ollama => vec![format!("OLLAMA_NUM_PARALLEL={level}")],
            Tool::LlamaCli | Tool::LlamaBench => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn one_conversation_leaves_nothing_to_choose() {
        let baseline = setting();
        let offer = SequencesKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels, [Level::Count(1)]);
        assert!(SequencesKnob.write(&mut setting(), &Level::Count(0)).is_err());
    }
}
