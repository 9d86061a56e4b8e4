//! Large batches on a device.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `op_offload`: whether devices compute large batches of weights that they do not hold.
#[derive(Debug)]
pub struct OpOffloadKnob;

impl Knob for OpOffloadKnob {
    fn name(&self) -> &'static str {
        "op_offload"
    }

    fn summary(&self) -> &'static str {
        "large batches computed on a device that lacks the weights"
    }

    fn explanation(&self) -> &'static str {
        "For a large batch it can pay to send the weights of a layer to the device for each \
         computation. It depends on the link, on the batch and on how many layers are \
         elsewhere anyway."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Prefill
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if !ground.offloads() {
            return Offer::nothing(self, ground, "there is no device to compute on");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.context.op_offload)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.op_offload = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer | Tool::LlamaCli, true) => vec!["--op-offload".into()],
            (Tool::LlamaServer | Tool::LlamaCli, false) => vec!["--no-op-offload".into()],
            (Tool::LlamaBench, true) => vec!["--no-op-offload".into(), "0".into()],
            (Tool::LlamaBench, false) => vec!["--no-op-offload".into(), "1".into()],
            _ => Vec::new(),
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
        let offer = OpOffloadKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("no device"), "{offer:?}");
        baseline.load.gpu_layers = GpuLayers::All;
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let offer = OpOffloadKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 2);
    }
}
