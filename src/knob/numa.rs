//! ggml's NUMA strategy.

use autotune_engine::api::{Numa, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `numa`: how ggml spreads its threads over memory nodes.
#[derive(Debug)]
pub struct NumaKnob;

impl Knob for NumaKnob {
    fn name(&self) -> &'static str {
        "numa"
    }

    fn summary(&self) -> &'static str {
        "how ggml spreads its threads over memory nodes"
    }

    fn explanation(&self) -> &'static str {
        "Weights are read fastest from the node that a thread runs on. Distributing uses the \
         bandwidth of all nodes, isolating keeps to one and pays off for models that fit \
         there. Either turns prefetching of a mapped file off."
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
        Offer::of(self, ground, [Numa::Disabled, Numa::Distribute, Numa::Isolate].map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.numa)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.numa =
            parsed(self.name(), level, "disabled, distribute, isolate or numactl")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            _ if level.to_string() == "disabled" => Vec::new(),
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--numa", level),
            Tool::Ollama => Vec::new(),
        }
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
        let offer = NumaKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("one memory node"), "{offer:?}");
        baseline.threads.threads = 8;
        let list = |text: &str| text.parse().unwrap();
        let nodes = vec![(0, list("0-3")), (1, list("4-7"))];
        let terrain = Terrain { nodes, ..Terrain::default() };
        let offer = NumaKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 3);
    }
}
