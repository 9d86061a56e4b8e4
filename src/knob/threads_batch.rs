//! Threads that process prompts.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, thread_levels};
use crate::model::{Level, Scope};

/// `threads_batch`: how many threads process prompts.
#[derive(Debug)]
pub struct ThreadsBatchKnob;

impl Knob for ThreadsBatchKnob {
    fn name(&self) -> &'static str {
        "threads_batch"
    }

    fn summary(&self) -> &'static str {
        "threads that process prompts and batches"
    }

    fn explanation(&self) -> &'static str {
        "Prompts are limited by arithmetic, not by memory, so they usually go on growing with \
         threads where generation has stopped, up to all cores and sometimes past them. Steps of \
         several sequences at once use this count too."
    }

    fn scope(&self) -> Scope {
        Scope::Setter
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Prefill
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.prompt_slice == 0 {
            let mut offer = Offer { levels: vec![self.read(ground.baseline)], ..Offer::default() };
            offer.reject(self, None, "the workload has no prompt");
            return offer;
        }
        thread_levels::offer(self, ground, ground.baseline.threads.threads_batch)
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.threads.threads_batch)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.threads.threads_batch = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli => {
                vec!["--threads-batch".into(), level.to_string()]
            }
            // They run prompts and generation with the same count.
            Tool::LlamaBench | Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn prompt_threads_leave_the_generation_threads_alone() {
        let mut changed = setting();
        ThreadsBatchKnob.write(&mut changed, &Level::Count(7)).unwrap();
        assert_eq!((changed.threads.threads, changed.threads.threads_batch), (4, 7));
    }

    #[test]
    fn without_a_prompt_there_is_nothing_to_tune() {
        let baseline = setting();
        let offer = ThreadsBatchKnob.offer(&Ground { prompt_slice: 0, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 1);
        assert_eq!(offer.rejected[0].level, None);
    }

    #[test]
    fn llama_bench_has_no_flag_for_it() {
        assert!(ThreadsBatchKnob.spell(Tool::LlamaBench, &Level::Count(2)).is_empty());
        assert_eq!(
            ThreadsBatchKnob.spell(Tool::LlamaServer, &Level::Count(2)),
            ["--threads-batch", "2"]
        );
    }
}
