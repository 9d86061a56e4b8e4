//! How long a thread that waits spins.

use autotune_engine::api::{Setting, Threading};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, number};
use crate::model::{Level, Scope};

/// `poll`: how long a thread that waits spins before it sleeps.
#[derive(Debug)]
pub struct PollKnob;

impl Knob for PollKnob {
    fn name(&self) -> &'static str {
        "poll"
    }

    fn summary(&self) -> &'static str {
        "spinning of a waiting thread before it sleeps, 0 to 100"
    }

    fn explanation(&self) -> &'static str {
        "Between two operations every thread waits for the slowest. Spinning notices the next \
         one at once and keeps a CPU busy with nothing; sleeping costs microseconds each \
         time, hundreds of times per token. Spinning usually wins on an idle machine, \
         sleeping where others want the CPUs."
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
                "OpenMP ignores it: OMP_WAIT_POLICY decides there",
            );
        }
        if ground.usable_threads < 2 {
            return Offer::nothing(self, ground, "one thread waits for nobody");
        }
        Offer::of(self, ground, [0, 50, 100].map(Level::Count))
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.threads.poll.into())
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        let poll = number(self.name(), level)?;
        setting.threads.poll =
            u8::try_from(poll).ok().filter(|poll| *poll <= 100).ok_or_else(|| WrongLevel {
                knob: self.name(),
                level: level.to_string(),
                wanted: "a number from 0 to 100",
            })?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--poll", level),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn openmp_has_its_own_way_of_waiting() {
        let baseline = setting();
        let own = ground(&baseline, &[]);
        assert_eq!(PollKnob.offer(&own).levels.len(), 3);
        let openmp = Ground { threading: Threading::OpenMp, ..own };
        assert!(PollKnob.offer(&openmp).rejected[0].reason.contains("OMP_WAIT_POLICY"));
        assert!(PollKnob.write(&mut setting(), &Level::Count(101)).is_err());
    }
}
