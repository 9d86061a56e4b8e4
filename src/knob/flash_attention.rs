//! Flash attention.

use autotune_engine::api::{FlashAttention, Setting};

use super::space::needs_flash_attention;
use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel};
use crate::model::{Level, Scope};

/// `flash_attention`: attention without its matrix.
#[derive(Debug)]
pub struct FlashAttentionKnob;

impl Knob for FlashAttentionKnob {
    fn name(&self) -> &'static str {
        "flash_attention"
    }

    fn summary(&self) -> &'static str {
        "whether attention is computed without materialising its matrix"
    }

    fn explanation(&self) -> &'static str {
        "Flash attention saves the memory of the attention matrix and pays off with long contexts \
         on most devices; with short ones, and on some CPUs, the plain kernels are faster. `auto` \
         is llama.cpp's default and switches it on wherever every attention node has a kernel."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let word = |value: FlashAttention| Level::Word(value.word().to_owned());
        let mut offer = Offer {
            levels: FlashAttention::ALL.iter().copied().map(word).collect(),
            ..Offer::default()
        };
        if needs_flash_attention(&ground.baseline.context) {
            let off = word(FlashAttention::Off);
            offer.levels.retain(|level| *level != off);
            offer.reject(self, Some(off), "a quantized V cache needs flash attention");
        }
        offer
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Word(setting.context.flash_attention.word().to_owned())
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.flash_attention = level.to_string().parse().map_err(|_| WrongLevel {
            knob: self.name(),
            level: level.to_string(),
            wanted: "`on`, `off` or `auto`",
        })?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let level = level.to_string();
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => {
                vec!["--flash-attn".into(), level]
            }
            Tool::Ollama if level == "auto" => Vec::new(),
            Tool::Ollama => vec![format!("OLLAMA_FLASH_ATTENTION={}", u8::from(level == "on"))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;
    use autotune_engine::api::KvType;

    #[test]
    fn a_quantized_v_cache_takes_off_away() {
        let mut baseline = setting();
        assert_eq!(FlashAttentionKnob.offer(&ground(&baseline, &[])).levels.len(), 3);
        baseline.context.type_v = KvType::Q8_0;
        let offer = FlashAttentionKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 2);
        assert_eq!(offer.rejected[0].level, Some(Level::Word("off".into())));
    }
}
