//! Threads that generate.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag, thread_levels};
use crate::model::{Level, Scope};

/// `threads`: how many threads generate.
#[derive(Debug)]
pub struct ThreadsKnob;

impl Knob for ThreadsKnob {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn summary(&self) -> &'static str {
        "threads that generate tokens"
    }

    fn explanation(&self) -> &'static str {
        "Generation reads every weight once per token, so it grows with threads only until the \
         memory is saturated; beyond that point each further thread costs barriers and gains \
         nothing. It matters for single-token steps alone: prompts have `threads_batch`."
    }

    fn scope(&self) -> Scope {
        Scope::Setter
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Decode
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        thread_levels::offer(self, ground, ground.baseline.threads.threads)
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.threads.threads)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.threads.threads = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--threads", level),
            Tool::Ollama => flag("num_thread", level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn threads_beyond_the_quota_are_rejected_with_the_numbers() {
        let baseline = setting();
        let ground = Ground { usable_threads: 6, ..ground(&baseline, &[]) };
        let offer = ThreadsKnob.offer(&ground);
        assert_eq!(offer.levels.last(), Some(&Level::Count(6)));
        assert_eq!(offer.rejected[0].level, Some(Level::Count(8)));
        assert!(offer.rejected[0].reason.contains("6 of the machine's 8"));
    }

    #[test]
    fn one_usable_thread_leaves_nothing_to_choose() {
        let mut baseline = setting();
        baseline.threads.threads = 1;
        let ground = Ground { physical_cores: 1, usable_threads: 1, ..ground(&baseline, &[]) };
        let offer = ThreadsKnob.offer(&ground);
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected.iter().any(|rejected| rejected.level.is_none()));
    }

    #[test]
    fn generation_threads_leave_the_prompt_threads_alone() {
        let mut changed = setting();
        ThreadsKnob.write(&mut changed, &Level::Count(7)).unwrap();
        assert_eq!((changed.threads.threads, changed.threads.threads_batch), (7, 4));
        assert!(ThreadsKnob.write(&mut changed, &Level::Count(0)).is_err());
    }
}
