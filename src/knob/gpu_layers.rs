//! Layers on the GPU.

use autotune_engine::api::{GpuLayers, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `gpu_layers`: layers kept on devices.
#[derive(Debug)]
pub struct GpuLayersKnob;

impl Knob for GpuLayersKnob {
    fn name(&self) -> &'static str {
        "gpu_layers"
    }

    fn summary(&self) -> &'static str {
        "layers kept on devices, counted from the end; one more than the model has includes the output"
    }

    fn explanation(&self) -> &'static str {
        "What fits into the memory of a device is computed there at its bandwidth; each layer \
         that does not is left to the CPU, and every token waits for it. Full offload is \
         tried first where it fits."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.devices.is_empty() {
            return Offer::nothing(self, ground, "the engine has no device to offload to");
        }
        let all = ground.model.layers.saturating_add(1);
        let counts = [0, 1, 2, 3].map(|quarter| Level::Count(quarter * all / 4));
        Offer::of(self, ground, counts.into_iter().chain([word(GpuLayers::All)]))
    }

    fn read(&self, setting: &Setting) -> Level {
        match setting.load.gpu_layers {
            GpuLayers::Count(count) => Level::Count(count),
            GpuLayers::All => word(GpuLayers::All),
        }
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.gpu_layers = parsed(self.name(), level, "a count or `all`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli => flag("--gpu-layers", level),
            // It takes a number only; more layers than a model has mean all of them.
            Tool::LlamaBench if level.to_string() == "all" => {
                vec!["--n-gpu-layers".into(), "99".into()]
            }
            Tool::LlamaBench => flag("--n-gpu-layers", level),
            Tool::Ollama if level.to_string() == "all" => vec!["num_gpu".into(), "999".into()],
            Tool::Ollama => flag("num_gpu", level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn quarters_of_the_model_are_offered_where_there_is_a_device() {
        let baseline = setting();
        assert!(GpuLayersKnob.offer(&ground(&baseline, &[])).levels.len() < 2);
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let ground = Ground { terrain: &terrain, ..ground(&baseline, &[]) };
        let levels = GpuLayersKnob.offer(&ground).levels;
        assert_eq!(levels[..4], [0, 4, 8, 12].map(Level::Count));
        assert_eq!(levels[4], word(GpuLayers::All));
    }
}
