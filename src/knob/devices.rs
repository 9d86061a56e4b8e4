//! Devices that may be used.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `devices`: devices that layers may be offloaded to.
#[derive(Debug)]
pub struct DevicesKnob;

impl Knob for DevicesKnob {
    fn name(&self) -> &'static str {
        "devices"
    }

    fn summary(&self) -> &'static str {
        "devices that layers may be offloaded to, such as CUDA0/CUDA1"
    }

    fn explanation(&self) -> &'static str {
        "A slow device can hold a fast one up, and using none spares the traffic of a small \
         model. The order decides which layers go where."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.devices.is_empty() {
            return Offer::nothing(self, ground, "the engine has no device to offload to");
        }
        let single: &[String] =
            if ground.terrain.devices.len() > 1 { &ground.terrain.devices } else { &[] };
        Offer::of(
            self,
            ground,
            ["auto", "none"].map(word).into_iter().chain(single.iter().map(word)),
        )
    }

    fn read(&self, setting: &Setting) -> Level {
        word(&setting.load.devices)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.devices =
            parsed(self.name(), level, "`auto`, `none` or names such as CUDA0/CUDA1")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let text = level.to_string();
        match tool {
            Tool::LlamaServer | Tool::LlamaCli if text == "auto" => Vec::new(),
            Tool::LlamaServer | Tool::LlamaCli => vec!["--device".into(), text.replace('/', ",")],
            Tool::LlamaBench => flag("--device", level),
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
        let offer = DevicesKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("no device"), "{offer:?}");
        baseline.load.gpu_layers = GpuLayers::All;
        let two = Terrain { devices: vec!["CUDA0".into(), "CUDA1".into()], ..Terrain::default() };
        let offer = DevicesKnob.offer(&Ground { terrain: &two, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 4);
    }
}
