//! Where the KV cache is.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `kv_offload`: whether the KV cache is where its layer is.
#[derive(Debug)]
pub struct KvOffloadKnob;

impl Knob for KvOffloadKnob {
    fn name(&self) -> &'static str {
        "kv_offload"
    }

    fn summary(&self) -> &'static str {
        "KV cache of offloaded layers on their device"
    }

    fn explanation(&self) -> &'static str {
        "Attention is computed where its cache is. On the device it is fast and takes its \
         memory; in main memory it leaves room for more layers, and every token waits for it."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if !ground.offloads() {
            return Offer::nothing(self, ground, "no layer is on a device");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.context.kv_offload)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.kv_offload = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer | Tool::LlamaCli, true) => vec!["--kv-offload".into()],
            (Tool::LlamaServer | Tool::LlamaCli, false) => vec!["--no-kv-offload".into()],
            (Tool::LlamaBench, true) => vec!["--no-kv-offload".into(), "0".into()],
            (Tool::LlamaBench, false) => vec!["--no-kv-offload".into(), "1".into()],
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
        let offer = KvOffloadKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("no layer"), "{offer:?}");
        baseline.load.gpu_layers = GpuLayers::All;
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let offer = KvOffloadKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 2);
    }
}
