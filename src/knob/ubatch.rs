//! Tokens of a prompt computed at once.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, count, flag};
use crate::model::{Level, Scope};

/// `ubatch`: the physical batch.
#[derive(Debug)]
pub struct UbatchKnob;

impl Knob for UbatchKnob {
    fn name(&self) -> &'static str {
        "ubatch"
    }

    fn summary(&self) -> &'static str {
        "prompt tokens computed at once (physical batch)"
    }

    fn explanation(&self) -> &'static str {
        "A larger physical batch reads the weights less often per prompt token, until its \
         activations no longer fit into the caches; it also costs memory for the computation. \
         Generation of a single sequence does not use it. The logical batch is raised along with \
         it where it has to be."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Prefill
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let own = ground.baseline.context.ubatch;
        let slice = ground.prompt_slice;
        let runs_as = |level: u32| level.min(slice);
        let mut offer = Offer::default();
        let mut levels = vec![own];
        for level in (6..=11).map(|exponent| 1_u32 << exponent).filter(|level| *level != own) {
            let bound = ground.baseline.context.context;
            if level > bound {
                let reason = format!("larger than the context of {bound} tokens");
                offer.reject(self, Some(Level::Count(level)), reason);
            } else if let Some(same) =
                levels.iter().find(|other| runs_as(**other) == runs_as(level))
            {
                let reason = format!(
                    "the same run as {same}: a prompt slice of {slice} tokens never fills it"
                );
                offer.reject(self, Some(Level::Count(level)), reason);
            } else {
                levels.push(level);
            }
        }
        levels.sort_unstable();
        offer.levels = levels.into_iter().map(Level::Count).collect();
        if offer.levels.len() < 2 {
            let reason = format!("a prompt slice of {slice} tokens fits into the smallest one");
            offer.reject(self, None, reason);
        }
        offer
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.context.ubatch)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.ubatch = count(self.name(), level)?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--ubatch-size", level),
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    fn offered(slice: u32, context: u32) -> (Vec<String>, Offer) {
        let mut baseline = setting();
        baseline.context.context = context;
        let offer = UbatchKnob.offer(&Ground { prompt_slice: slice, ..ground(&baseline, &[]) });
        (offer.levels.iter().map(ToString::to_string).collect(), offer)
    }

    #[test]
    fn levels_that_the_slice_never_fills_are_the_same_run() {
        assert_eq!(offered(512, 4096).0, ["64", "128", "256", "512"]);
        assert_eq!(offered(2048, 4096).0, ["64", "128", "256", "512", "1024", "2048"]);
        assert_eq!(offered(128, 4096).0, ["64", "512"]);
        let (_, offer) = offered(512, 4096);
        assert!(offer.rejected.iter().any(|rejected| {
            rejected.level == Some(Level::Count(1024))
                && rejected.reason.contains("same run as 512")
        }));
    }

    #[test]
    fn levels_stay_within_the_context() {
        assert_eq!(offered(2048, 600).0, ["64", "128", "256", "512"]);
    }

    #[test]
    fn a_tiny_prompt_leaves_nothing_to_choose() {
        let (levels, offer) = offered(32, 4096);
        assert_eq!(levels, ["512"]);
        assert!(offer.rejected.iter().any(|rejected| rejected.level.is_none()));
    }
}
