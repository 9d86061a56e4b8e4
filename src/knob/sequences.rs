//! Sequences in one context.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag};
use crate::model::{Level, Scope};

/// Sequences at once that are tried at most: on a processor, computing takes longer than reading
/// long before.
const MOST: u32 = 32;
/// The same with a graphics card, which computes many times as much per byte.
const MOST_ON_DEVICES: u32 = 128;

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
        "Each sequence is a conversation with its share of the context, which grows with their \
         number. A step of generation reads the weights once for all of them, so many together \
         are faster until computing takes longer than reading. One conversation at a time gains \
         nothing from room for more."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.throughput {
            let most = if ground.terrain.devices.is_empty() { MOST } else { MOST_ON_DEVICES };
            let share = ground.baseline.context.context / ground.baseline.context.sequences.max(1);
            let counts = (0..).map(|power| 1_u32 << power).take_while(|count| *count <= most);
            let room = counts.filter(|count| share.checked_mul(*count).is_some());
            return Offer::of(self, ground, room.map(Level::Count));
        }
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
    fn throughput_tries_powers_of_two_and_the_default() {
        let mut baseline = setting();
        baseline.context.sequences = 3;
        let ground = Ground { throughput: true, ..ground(&baseline, &[]) };
        let offer = SequencesKnob.offer(&ground);
        assert_eq!(offer.levels, [3, 1, 2, 4, 8, 16, 32].map(Level::Count));
    }

    #[test]
    fn one_conversation_leaves_nothing_to_choose() {
        let baseline = setting();
        let offer = SequencesKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels, [Level::Count(1)]);
        assert!(SequencesKnob.write(&mut setting(), &Level::Count(0)).is_err());
    }
}
