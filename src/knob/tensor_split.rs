//! Shares of devices.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `tensor_split`: shares of the devices.
#[derive(Debug)]
pub struct TensorSplitKnob;

impl Knob for TensorSplitKnob {
    fn name(&self) -> &'static str {
        "tensor_split"
    }

    fn summary(&self) -> &'static str {
        "shares of the devices, such as 3/1"
    }

    fn explanation(&self) -> &'static str {
        "Without shares llama.cpp divides by the memory that is free at the moment, so two \
         runs may differ. Shares by speed can beat shares by memory where the devices differ."
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

        let equal = vec!["1"; ground.terrain.devices.len().min(16)].join("/");
        Offer::of(self, ground, [word("auto"), word(equal)])
    }

    fn read(&self, setting: &Setting) -> Level {
        word(&setting.load.tensor_split)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.tensor_split = parsed(self.name(), level, "`auto` or shares such as 3/1")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let text = level.to_string();
        match tool {
            _ if text == "auto" => Vec::new(),
            Tool::LlamaServer | Tool::LlamaCli => {
                vec!["--tensor-split".into(), text.replace('/', ",")]
            }
            Tool::LlamaBench => flag("--tensor-split", level),
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
        let offer = TensorSplitKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("two devices"), "{offer:?}");
        let two = Terrain { devices: vec!["CUDA0".into(), "CUDA1".into()], ..Terrain::default() };
        baseline.load.gpu_layers = GpuLayers::All;
        let offer = TensorSplitKnob.offer(&Ground { terrain: &two, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 2);
    }
}
