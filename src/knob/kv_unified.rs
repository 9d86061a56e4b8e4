//! One cache for all sequences.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `kv_unified`: whether all sequences share one cache.
#[derive(Debug)]
pub struct KvUnifiedKnob;

impl Knob for KvUnifiedKnob {
    fn name(&self) -> &'static str {
        "kv_unified"
    }

    fn summary(&self) -> &'static str {
        "one KV cache for all sequences"
    }

    fn explanation(&self) -> &'static str {
        "With one cache a long conversation may take what short ones leave; with shares of \
         their own, attention of each runs over its own part alone."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.baseline.context.sequences < 2 {
            return Offer::nothing(self, ground, "one sequence has the cache to itself");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.context.kv_unified)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.kv_unified = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer, true) => vec!["--kv-unified".into()],
            (Tool::LlamaServer, false) => vec!["--no-kv-unified".into()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn it_is_offered_only_where_it_does_something() {
        let mut baseline = setting();
        let offer = KvUnifiedKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("to itself"), "{offer:?}");
        baseline.context.sequences = 4;
        assert_eq!(KvUnifiedKnob.offer(&ground(&baseline, &[])).levels.len(), 2);
    }
}
