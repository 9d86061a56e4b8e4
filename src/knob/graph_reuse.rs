//! Graphs kept for the next token.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `graph_reuse`: whether llama.cpp keeps a graph for the next token.
#[derive(Debug)]
pub struct GraphReuseKnob;

impl Knob for GraphReuseKnob {
    fn name(&self) -> &'static str {
        "graph_reuse"
    }

    fn summary(&self) -> &'static str {
        "computation graph kept for the next token"
    }

    fn explanation(&self) -> &'static str {
        "Building the graph of a token takes a fraction of a millisecond; llama.cpp keeps it \
         where the next one has the same shape. It matters for small models alone, and off is \
         for comparison."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Decode
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.model.layers == 0 {
            return Offer::nothing(self, ground, "the model has no layers");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.graph_reuse)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.graph_reuse = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn both_levels_are_offered_and_only_by_name() {
        let baseline = setting();
        assert_eq!(GraphReuseKnob.offer(&ground(&baseline, &[])).levels.len(), 2);
        assert!(!GraphReuseKnob.usual());
    }
}
