//! Tokens handed to llama.cpp at once.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag};
use crate::model::{Level, Scope};

/// `batch`: the logical batch.
#[derive(Debug)]
pub struct BatchKnob;

impl Knob for BatchKnob {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn summary(&self) -> &'static str {
        "prompt tokens handed over at once (logical batch)"
    }

    fn explanation(&self) -> &'static str {
        "The logical batch is cut into physical ones. It bounds the logits buffer and how \
         much work is queued for a device; on one CPU it makes next to no difference once it \
         is not below the physical batch."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Prefill
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let own = ground.baseline.context.batch;
        let (slice, ubatch) = (ground.prompt_slice, ground.baseline.context.ubatch);
        if slice <= ubatch {
            let reason = format!("a prompt slice of {slice} tokens fits into one physical batch");
            return Offer::nothing(self, ground, reason);
        }
        let fits = |level: &u32| {
            *level >= ubatch && *level <= ground.baseline.context.context && *level < 2 * slice
        };
        Offer::of(
            self,
            ground,
            [512, 1024, 2048, 4096].into_iter().filter(fits).chain([own]).map(Level::Count),
        )
        .alone(self, "the context and the prompt slice leave one size")
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.context.batch)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.batch = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--batch-size", level),
            Tool::Ollama => flag("num_batch", level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn a_prompt_of_one_physical_batch_has_one_logical_batch() {
        let baseline = setting();
        let short = ground(&baseline, &[]);
        assert_eq!(BatchKnob.offer(&short).levels.len(), 1);
        let long = Ground { prompt_slice: 2048, ..short };
        assert_eq!(BatchKnob.offer(&long).levels, [512, 1024, 2048].map(Level::Count));
    }
}
