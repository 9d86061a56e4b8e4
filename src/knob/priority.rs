//! Priority of the threads.

use autotune_engine::api::{Priority, Setting, Threading};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `priority`: scheduling priority of the threads.
#[derive(Debug)]
pub struct PriorityKnob;

impl Knob for PriorityKnob {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn summary(&self) -> &'static str {
        "scheduling priority of the threads"
    }

    fn explanation(&self) -> &'static str {
        "Above normal the threads are of the real-time class: nothing else runs on their CPUs \
         while they want them. That needs a privilege, protects from background load, and can \
         make a machine unresponsive. On an idle machine it changes nothing."
    }

    fn scope(&self) -> Scope {
        Scope::Setter
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.threading == Threading::OpenMp {
            return Offer::nothing(
                self,
                ground,
                "OpenMP's threads belong to the whole process: `nice`",
            );
        }
        // Real-time threads that spin on every CPU leave the system nothing.
        let mut offer =
            Offer::of(self, ground, [Priority::Low, Priority::Normal, Priority::Medium].map(word));
        for level in [Priority::High, Priority::Realtime].map(word) {
            if !offer.levels.contains(&level) {
                offer.reject(self, Some(level), "it can lock the machine up; name it with --grid");
            }
        }
        offer
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.threads.priority)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.threads.priority =
            parsed(self.name(), level, "low, normal, medium, high or realtime")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let Ok(priority) = level.to_string().parse::<Priority>() else { return Vec::new() };
        let number = Level::Word(
            match priority {
                Priority::Low => "-1",
                Priority::Normal => "0",
                Priority::Medium => "1",
                Priority::High => "2",
                Priority::Realtime => "3",
            }
            .into(),
        );
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--prio", &number),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn what_can_lock_a_machine_up_must_be_named() {
        let baseline = setting();
        let offer = PriorityKnob.offer(&ground(&baseline, &[]));
        assert_eq!((offer.levels.len(), offer.rejected.len()), (3, 2));
        let level = Level::Word("medium".into());
        assert_eq!(PriorityKnob.spell(Tool::LlamaServer, &level), ["--prio", "1"]);
    }
}
