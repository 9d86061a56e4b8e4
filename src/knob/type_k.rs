//! Element type of the K cache.

use autotune_engine::api::{KvType, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `type_k`: element type of the K cache.
#[derive(Debug)]
pub struct TypeKKnob;

impl Knob for TypeKKnob {
    fn name(&self) -> &'static str {
        "type_k"
    }

    fn summary(&self) -> &'static str {
        "element type of the K cache"
    }

    fn explanation(&self) -> &'static str {
        "A smaller K cache is read faster at depth and leaves room for longer contexts, but \
         it rounds what attention sees: answers change, and how much depends on the model."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn changes_output(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let levels = [KvType::F16, KvType::Q8_0, KvType::Q4_0];
        let own = ground.baseline.context.type_k;
        let width = ground.model.key_length;
        let mut offer = Offer::default();
        for level in levels {
            let blocks = !matches!(level, KvType::Q8_0 | KvType::Q4_0) || width.is_multiple_of(32);
            if blocks || level == own {
                offer.levels.push(word(level));
            } else {
                let reason =
                    format!("a head of {width} elements is no multiple of its blocks of 32");
                offer.reject(self, Some(word(level)), reason);
            }
        }
        offer.with_own(self, ground).alone(self, "the heads of the model fit no smaller type")
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.context.type_k)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.type_k = parsed(self.name(), level, "a KV cache type such as f16 or q8_0")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--cache-type-k", level),
            Tool::Ollama => vec![format!("OLLAMA_KV_CACHE_TYPE={level}")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{card, ground, setting};
    use super::*;
    use crate::model::ModelCard;

    #[test]
    fn a_type_whose_blocks_do_not_fit_the_heads_is_left_out() {
        let baseline = setting();
        assert_eq!(TypeKKnob.offer(&ground(&baseline, &[])).levels.len(), 3);
        let odd = ModelCard { key_length: 80, value_length: 80, ..card() };
        let offer = TypeKKnob.offer(&Ground { model: &odd, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels, [word(KvType::F16)]);
        assert!(TypeKKnob.changes_output());
    }
}
