//! The build variant of the CPU code.

use autotune_engine::api::{Setting, VariantFault, VariantVerdict};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel};
use crate::model::{Level, Scope};

/// Variants tried at most: each costs a process and a load, and those further down the list lack
/// instructions that the ones before them have.
const LIMIT: usize = 4;

/// `isa_variant`: which build of the CPU code runs.
#[derive(Debug)]
pub struct IsaVariantKnob;

impl Knob for IsaVariantKnob {
    fn name(&self) -> &'static str {
        "isa_variant"
    }

    fn summary(&self) -> &'static str {
        "build variant of the CPU code (instruction sets it may use)"
    }

    fn explanation(&self) -> &'static str {
        "The engine ships one module per generation of processors and takes the one with the \
         highest score. Wider vectors are usually faster for prompts and make no difference to \
         generation, but they can lower the clock, and some virtual machines announce \
         instructions that kill the program. Only variants that passed their self-test are tried."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let own = self.read(ground.baseline);
        let mut offer = Offer { levels: vec![own.clone()], ..Offer::default() };
        for variant in ground.variants {
            let level = Level::Word(variant.name.clone());
            match &variant.verdict {
                _ if level == own => {}
                VariantVerdict::Usable if offer.levels.len() < LIMIT => offer.levels.push(level),
                VariantVerdict::Usable => {
                    let reason =
                        format!("{LIMIT} variants that the engine ranks higher are tried instead");
                    offer.reject(self, Some(level), reason);
                }
                VariantVerdict::Unsupported => {
                    offer.reject(self, Some(level), "the processor lacks instructions it needs");
                }
                VariantVerdict::Failed { fault: VariantFault::Untested, reason } => {
                    offer.reject(self, Some(level), format!("could not be tested: {reason}"));
                }
                VariantVerdict::Failed { reason, .. } => {
                    offer.reject(self, Some(level), format!("failed its self-test: {reason}"));
                }
            }
        }
        if offer.levels.len() < 2 {
            offer.reject(self, None, "the engine has one usable variant here");
        }
        offer
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Word(setting.process.isa_variant.clone().unwrap_or_else(|| "auto".to_owned()))
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        let Level::Word(word) = level else {
            let level = level.to_string();
            return Err(WrongLevel { knob: self.name(), level, wanted: "a variant's name" });
        };
        setting.process.isa_variant = (word != "auto").then(|| word.clone());
        Ok(())
    }

    /// No tool of llama.cpp has a flag for it: they load the module with the highest score.
    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting, variants};
    use super::*;
    use autotune_engine::api::VariantReport;

    #[test]
    fn what_failed_its_self_test_is_listed_with_the_reason_and_never_offered() {
        let (baseline, variants) = (setting(), variants());
        let offer = IsaVariantKnob.offer(&ground(&baseline, &variants));
        let word = |text: &str| Level::Word(text.into());
        assert_eq!(offer.levels, [word("icelake"), word("haswell")]);
        let reasons: Vec<&str> = offer.rejected.iter().map(|it| it.reason.as_str()).collect();
        assert!(reasons[0].contains("SIGILL") && reasons[1].contains("lacks"));
    }

    #[test]
    fn a_long_list_of_variants_is_cut() {
        let baseline = setting();
        let many: Vec<VariantReport> = (0..9)
            .map(|score| VariantReport {
                name: format!("variant{score}"),
                score,
                verdict: VariantVerdict::Usable,
            })
            .collect();
        let offer = IsaVariantKnob.offer(&ground(&baseline, &many));
        assert_eq!((offer.levels.len(), offer.rejected.len()), (LIMIT, 6));
    }
}
