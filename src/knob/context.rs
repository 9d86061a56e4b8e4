//! Tokens that the KV cache holds.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag};
use crate::model::{Level, Scope};

/// `context`: tokens that the KV cache holds.
#[derive(Debug)]
pub struct ContextKnob;

impl Knob for ContextKnob {
    fn name(&self) -> &'static str {
        "context"
    }

    fn summary(&self) -> &'static str {
        "tokens that the KV cache holds"
    }

    fn explanation(&self) -> &'static str {
        "A larger context than asked for costs memory, and some kernels run over the padded \
         cache; answers stay the same as long as everything fits. A smaller one would forget, \
         so none is tried."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.throughput {
            let reason = "the context follows the number of sequences, a share for each";
            return Offer::nothing(self, ground, reason);
        }
        let own = ground.baseline.context.context;
        let most = match ground.model.trained_context {
            0 => u32::MAX,
            trained => trained.max(own),
        };
        let larger = [own.checked_mul(2), own.checked_mul(4)].into_iter().flatten();
        let mut offer = Offer::of(
            self,
            ground,
            [own].into_iter().chain(larger).filter(|it| *it <= most).map(Level::Count),
        );
        if own > 1 {
            let smaller = Level::Count(own / 2);
            offer.reject(
                self,
                Some(smaller),
                "a smaller context than asked for forgets what was said",
            );
        }
        offer.alone(self, "the model was trained for no more than is asked for")
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.context.context)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.context = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli => flag("--ctx-size", level),
            Tool::Ollama => flag("num_ctx", level),
            Tool::LlamaBench => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{card, ground, setting};
    use super::*;
    use crate::model::ModelCard;

    #[test]
    fn contexts_grow_up_to_the_trained_one_and_never_shrink() {
        let baseline = setting();
        let offer = ContextKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels, [4096, 8192, 16384].map(Level::Count));
        let small = ModelCard { trained_context: 8192, ..card() };
        let offer = ContextKnob.offer(&Ground { model: &small, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels, [4096, 8192].map(Level::Count));
        assert!(offer.rejected[0].reason.contains("forgets"));
    }
}
