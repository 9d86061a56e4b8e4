//! Each thread on a CPU of its own.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `strict`: whether each thread is bound to one CPU of the mask.
#[derive(Debug)]
pub struct StrictKnob;

impl Knob for StrictKnob {
    fn name(&self) -> &'static str {
        "strict"
    }

    fn summary(&self) -> &'static str {
        "each thread bound to one CPU of the mask"
    }

    fn explanation(&self) -> &'static str {
        "Bound threads keep their caches and never meet on one CPU, but cannot step aside \
         when somebody else takes theirs. Without a mask it has no effect."
    }

    fn scope(&self) -> Scope {
        Scope::Setter
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.baseline.threads.cpu_mask.is_none() {
            let reason = "there is no CPU mask to bind threads to: `placement` tries both";
            return Offer::nothing(self, ground, reason);
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.threads.strict)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.threads.strict = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let value = Level::Word(if level.to_string() == "on" { "1" } else { "0" }.into());
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--cpu-strict", &value),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;
    use autotune_engine::api::CpuMask;

    #[test]
    fn without_a_mask_there_is_nothing_to_bind_to() {
        let mut baseline = setting();
        assert_eq!(StrictKnob.offer(&ground(&baseline, &[])).levels.len(), 1);
        baseline.threads.cpu_mask = CpuMask::new([0, 1]);
        assert_eq!(StrictKnob.offer(&ground(&baseline, &[])).levels.len(), 2);
    }
}
