//! Tiled matrix products.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `tiled_products`: whether batches may use tiled matrix products.
#[derive(Debug)]
pub struct TiledProductsKnob;

impl Knob for TiledProductsKnob {
    fn name(&self) -> &'static str {
        "tiled_products"
    }

    fn summary(&self) -> &'static str {
        "tiled matrix products for batches"
    }

    fn explanation(&self) -> &'static str {
        "On x86 processors the K- and I-quants are multiplied in tiles when a batch is large \
         enough, with some memory per thread. It is usually faster; without it the plain \
         products run."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Prefill
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if !ground.tiled() {
            return Offer::nothing(
                self,
                ground,
                "no weight type of the model has tiled products on this processor",
            );
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.tiled_products)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.tiled_products = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
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
    fn k_quants_on_x86_have_tiles() {
        let baseline = setting();
        let of = |kind: &str, architecture: &str| {
            let share = TypeShare { name: kind.into(), tensors: 1, bytes: Bytes(1) };
            let model = ModelCard { types: vec![share], ..card() };
            let terrain = Terrain { architecture: Some(architecture.into()), ..Terrain::default() };
            let ground = Ground { model: &model, terrain: &terrain, ..ground(&baseline, &[]) };
            TiledProductsKnob.offer(&ground).levels.len()
        };
        assert_eq!((of("Q6_K", "x86_64"), of("Q8_0", "x86_64"), of("Q6_K", "aarch64")), (2, 1, 1));
    }
}
