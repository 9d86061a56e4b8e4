//! Weights rearranged for the CPU.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `repack`: whether weights may be rearranged for the CPU.
#[derive(Debug)]
pub struct RepackKnob;

impl Knob for RepackKnob {
    fn name(&self) -> &'static str {
        "repack"
    }

    fn summary(&self) -> &'static str {
        "weights rearranged for the kernels of the CPU"
    }

    fn explanation(&self) -> &'static str {
        "Some weight types are rearranged at load so that several rows are multiplied at \
         once: a copy in memory of its own, a slower load, and usually faster prompts. Types \
         that are not rearranged have other fast kernels, so off can win."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if !ground.repackable() {
            return Offer::nothing(
                self,
                ground,
                "no weight type of the model can be rearranged on this processor",
            );
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.load.repack)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.repack = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer | Tool::LlamaCli, true) => vec!["--repack".into()],
            (Tool::LlamaServer | Tool::LlamaCli, false) => vec!["--no-repack".into()],
            (Tool::LlamaBench, true) => vec!["--repack".into(), "1".into()],
            (Tool::LlamaBench, false) => vec!["--repack".into(), "0".into()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{card, ground, setting};
    use super::*;
    use crate::model::{ModelCard, TypeShare};
    use autotune_engine::api::Bytes;

    #[test]
    fn only_types_that_have_such_kernels_are_rearranged() {
        let baseline = setting();
        let of = |kind: &str, architecture: &str| {
            let share = TypeShare { name: kind.into(), tensors: 1, bytes: Bytes(1) };
            let model = ModelCard { types: vec![share], ..card() };
            let terrain = Terrain { architecture: Some(architecture.into()), ..Terrain::default() };
            let ground = Ground { model: &model, terrain: &terrain, ..ground(&baseline, &[]) };
            RepackKnob.offer(&ground).levels.len()
        };
        assert_eq!((of("Q4_0", "x86_64"), of("Q8_0", "x86_64"), of("Q8_0", "aarch64")), (2, 1, 2));
    }
}
