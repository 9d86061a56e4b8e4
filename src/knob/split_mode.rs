//! How devices share a model.

use autotune_engine::api::{Setting, SplitMode};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `split_mode`: how several devices share a model.
#[derive(Debug)]
pub struct SplitModeKnob;

impl Knob for SplitModeKnob {
    fn name(&self) -> &'static str {
        "split_mode"
    }

    fn summary(&self) -> &'static str {
        "how several devices share a model"
    }

    fn explanation(&self) -> &'static str {
        "By layers each device works while the others wait, and little is exchanged. By \
         tensors all work at once and exchange after every product, which takes a fast link. \
         One alone is best where everything fits."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.devices.len() < 2 || !ground.offloads() {
            return Offer::nothing(self, ground, "it takes layers on at least two devices");
        }

        let mut offer = Offer::of(
            self,
            ground,
            [SplitMode::None, SplitMode::Layer, SplitMode::Tensor].map(word),
        );
        if ground.baseline.load.split_mode != SplitMode::Row {
            let reason = "the CUDA and Vulkan backends of this llama.cpp no longer have it";
            offer.reject(self, Some(word(SplitMode::Row)), reason);
        }
        offer
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.load.split_mode)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.split_mode = parsed(self.name(), level, "none, layer, row or tensor")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--split-mode", level),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;
    use autotune_engine::api::GpuLayers;

    #[test]
    fn it_is_offered_only_where_it_does_something() {
        let mut baseline = setting();
        let offer = SplitModeKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("two devices"), "{offer:?}");
        let two = Terrain { devices: vec!["CUDA0".into(), "CUDA1".into()], ..Terrain::default() };
        baseline.load.gpu_layers = GpuLayers::All;
        let offer = SplitModeKnob.offer(&Ground { terrain: &two, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 3);
    }
}
