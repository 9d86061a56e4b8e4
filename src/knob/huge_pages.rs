//! Transparent huge pages.

use autotune_engine::api::{HugePages, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `huge_pages`: transparent huge pages for anonymous memory.
#[derive(Debug)]
pub struct HugePagesKnob;

impl Knob for HugePagesKnob {
    fn name(&self) -> &'static str {
        "huge_pages"
    }

    fn summary(&self) -> &'static str {
        "transparent huge pages for anonymous memory"
    }

    fn explanation(&self) -> &'static str {
        "One entry of the address cache then covers 2 MiB instead of 4 KiB, which helps \
         reading gigabytes per token. It acts on repacked weights, weights read without \
         mapping, the KV cache and scratch space, never on a mapped file."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let levels = match ground.terrain.huge_pages.as_deref() {
            None => return Offer::nothing(self, ground, "this system does not tell of huge pages"),
            Some("never") => return Offer::nothing(self, ground, "the system has turned them off"),
            Some("always") => [HugePages::System, HugePages::Off],
            Some(_) => [HugePages::System, HugePages::On],
        };
        Offer::of(self, ground, levels.map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.process.huge_pages)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.huge_pages = parsed(self.name(), level, "`system`, `on` or `off`")?;
        Ok(())
    }

    fn spell(&self, _tool: Tool, _level: &Level) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn it_is_offered_only_where_it_does_something() {
        let mut baseline = setting();
        let offer = HugePagesKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("does not tell"), "{offer:?}");
        baseline.threads.threads = 8;
        for (system, level) in [("always", "off"), ("madvise", "on")] {
            let terrain = Terrain { huge_pages: Some(system.into()), ..Terrain::default() };
            let offer =
                HugePagesKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
            assert_eq!(offer.levels, ["system", level].map(word));
        }
    }
}
