//! Which nodes memory comes from.

use autotune_engine::api::{MemoryPolicy, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `memory_policy`: which memory nodes new pages come from.
#[derive(Debug)]
pub struct MemoryPolicyKnob;

impl Knob for MemoryPolicyKnob {
    fn name(&self) -> &'static str {
        "memory_policy"
    }

    fn summary(&self) -> &'static str {
        "memory nodes that new pages come from"
    }

    fn explanation(&self) -> &'static str {
        "Interleaving gives every thread the average of all nodes, binding keeps everything \
         on one. Pages of a mapped file that are cached already stay where they are, so a \
         load mode that reads the file tells more."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.nodes.len() < 2 {
            return Offer::nothing(self, ground, "there is one memory node");
        }
        let bound =
            ground.terrain.nodes.iter().map(|(node, _)| word(MemoryPolicy::Bind(*node))).take(2);
        let rest = [MemoryPolicy::Default, MemoryPolicy::Interleave].map(word);
        Offer::of(self, ground, rest.into_iter().chain(bound))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.memory_policy)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.memory_policy =
            parsed(self.name(), level, "default, local, interleave or bind:NODE")?;
        Ok(())
    }

    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn it_is_offered_only_where_it_does_something() {
        let mut baseline = setting();
        let offer = MemoryPolicyKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("one memory node"), "{offer:?}");
        baseline.threads.threads = 8;
        let list = |text: &str| text.parse().unwrap();
        let nodes = vec![(0, list("0-3")), (1, list("4-7"))];
        let terrain = Terrain { nodes, ..Terrain::default() };
        let offer = MemoryPolicyKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.last(), Some(&word("bind:1")));
    }
}
