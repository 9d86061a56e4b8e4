//! Experts on the CPU.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, number};
use crate::model::{Level, Scope};

/// `cpu_experts`: layers whose experts stay in main memory.
#[derive(Debug)]
pub struct CpuExpertsKnob;

impl Knob for CpuExpertsKnob {
    fn name(&self) -> &'static str {
        "cpu_experts"
    }

    fn summary(&self) -> &'static str {
        "layers, from the first, whose experts stay in main memory"
    }

    fn explanation(&self) -> &'static str {
        "The experts are most of a mixture and each token uses few of them. Keeping them in \
         main memory lets attention and all the rest of every layer fit on a device."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.model.experts == 0 {
            return Offer::nothing(self, ground, "the model is dense: it has no experts");
        }
        if !ground.offloads() {
            return Offer::nothing(
                self,
                ground,
                "without layers on a device all experts are on the CPU",
            );
        }
        let layers = ground.model.layers;
        let counts = [0, layers / 4, layers / 2, layers / 4 * 3, layers];
        Offer::of(self, ground, counts.map(Level::Count))
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.load.cpu_experts)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.cpu_experts = number(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--n-cpu-moe", level),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{card, ground, setting};
    use super::*;
    use crate::model::ModelCard;
    use autotune_engine::api::GpuLayers;

    #[test]
    fn a_dense_model_has_no_experts_to_place() {
        let mut baseline = setting();
        let offer = CpuExpertsKnob.offer(&ground(&baseline, &[]));
        assert!(offer.rejected[0].reason.contains("dense"));
        baseline.load.gpu_layers = GpuLayers::All;
        let model = ModelCard { experts: 8, ..card() };
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let ground = Ground { terrain: &terrain, model: &model, ..ground(&baseline, &[]) };
        assert_eq!(CpuExpertsKnob.offer(&ground).levels, [0, 4, 8, 12, 16].map(Level::Count));
    }
}
