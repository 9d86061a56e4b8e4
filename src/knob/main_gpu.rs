//! The device that has everything.

use autotune_engine::api::{Setting, SplitMode};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, number};
use crate::model::{Level, Scope};

/// `main_gpu`: the device that has everything where only one does.
#[derive(Debug)]
pub struct MainGpuKnob;

impl Knob for MainGpuKnob {
    fn name(&self) -> &'static str {
        "main_gpu"
    }

    fn summary(&self) -> &'static str {
        "device that has everything under split mode none"
    }

    fn explanation(&self) -> &'static str {
        "Devices differ in speed, link and what else runs on them. It acts only where the \
         model is not split."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.devices.len() < 2 || ground.baseline.load.split_mode != SplitMode::None {
            return Offer::nothing(self, ground, "it takes two devices and split mode none");
        }
        Offer::of(
            self,
            ground,
            (0_u32..).zip(&ground.terrain.devices).map(|(place, _)| Level::Count(place)),
        )
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.load.main_gpu)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.main_gpu = number(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--main-gpu", level),
            Tool::Ollama => flag("main_gpu", level),
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
        let offer = MainGpuKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("two devices"), "{offer:?}");
        let two = Terrain { devices: vec!["CUDA0".into(), "CUDA1".into()], ..Terrain::default() };
        baseline.load.split_mode = SplitMode::None;
        let offer = MainGpuKnob.offer(&Ground { terrain: &two, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels, [0, 1].map(Level::Count));
    }
}
