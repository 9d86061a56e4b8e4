//! Pinned memory for weights on the CPU.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `no_host`: whether weights for the CPU keep out of memory that a device has pinned.
#[derive(Debug)]
pub struct NoHostKnob;

impl Knob for NoHostKnob {
    fn name(&self) -> &'static str {
        "no_host"
    }

    fn summary(&self) -> &'static str {
        "weights for the CPU kept out of pinned memory"
    }

    fn explanation(&self) -> &'static str {
        "With a device, weights that stay on the CPU lie in memory pinned for it: uploads are \
         faster, but they are not rearranged for the CPU. Without pinning they are."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if !ground.offloads() {
            return Offer::nothing(self, ground, "there is no device that pins memory");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.load.no_host)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.no_host = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer | Tool::LlamaCli, true) => vec!["--no-host".into()],
            (Tool::LlamaBench, true) => vec!["--no-host".into(), "1".into()],
            (Tool::LlamaBench, false) => vec!["--no-host".into(), "0".into()],
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
        let offer = NoHostKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("no device"), "{offer:?}");
        baseline.load.gpu_layers = GpuLayers::All;
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let offer = NoHostKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 2);
    }
}
