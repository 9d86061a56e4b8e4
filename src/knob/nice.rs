//! Niceness of the process.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, word};
use crate::model::{Level, Scope};

/// `nice`: niceness of the process.
#[derive(Debug)]
pub struct NiceKnob;

impl Knob for NiceKnob {
    fn name(&self) -> &'static str {
        "nice"
    }

    fn summary(&self) -> &'static str {
        "niceness of the process, -20 to 19; below 0 needs a privilege"
    }

    fn explanation(&self) -> &'static str {
        "Where other programs want the same CPUs, a lower niceness takes more of them. On an \
         idle machine it changes nothing. What was not allowed is told."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        Offer::of(self, ground, ["-10", "0", "5"].map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.nice)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        let nice: Option<i8> = level.to_string().parse().ok();
        setting.process.nice =
            nice.filter(|nice| (-20..=19).contains(nice)).ok_or_else(|| WrongLevel {
                knob: self.name(),
                level: level.to_string(),
                wanted: "a number from -20 to 19",
            })?;
        Ok(())
    }

    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn only_what_the_kernel_has_is_taken() {
        let mut changed = setting();
        assert!(NiceKnob.write(&mut changed, &Level::Count(20)).is_err());
        NiceKnob.write(&mut changed, &Level::Count(5)).unwrap();
        assert_eq!(NiceKnob.read(&changed), word("5"));
        assert!(NiceKnob.offer(&ground(&changed, &[])).levels.contains(&word("5")));
    }
}
