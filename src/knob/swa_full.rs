//! The whole context for windowed layers.

use autotune_engine::api::{Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, parsed, word};
use crate::model::{Level, Scope};

/// `swa_full`: whether layers with a sliding window cache the whole context.
#[derive(Debug)]
pub struct SwaFullKnob;

impl Knob for SwaFullKnob {
    fn name(&self) -> &'static str {
        "swa_full"
    }

    fn summary(&self) -> &'static str {
        "whole context cached for layers with a sliding window"
    }

    fn explanation(&self) -> &'static str {
        "Layers that look only a window back need only that much cache. The full size costs \
         memory and time, and lets a server go back in a conversation without computing it \
         anew."
    }

    fn scope(&self) -> Scope {
        Scope::Context
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.model.sliding_window.is_none() {
            return Offer::nothing(self, ground, "no layer of the model has a sliding window");
        }
        Offer::of(self, ground, Toggle::ALL.iter().map(word))
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.context.swa_full)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.context.swa_full = parsed(self.name(), level, "`on` or `off`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match (tool, level.to_string() == "on") {
            (Tool::LlamaServer | Tool::LlamaCli, true) => vec!["--swa-full".into()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{card, ground, setting};
    use super::*;
    use crate::model::ModelCard;

    #[test]
    fn it_is_offered_only_where_it_does_something() {
        let mut baseline = setting();
        let offer = SwaFullKnob.offer(&ground(&baseline, &[]));
        assert_eq!(offer.levels.len(), 1);
        assert!(offer.rejected[0].reason.contains("sliding window"), "{offer:?}");
        baseline.context.context = 8192;
        let model = ModelCard { sliding_window: Some(128), ..card() };
        let offer = SwaFullKnob.offer(&Ground { model: &model, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 2);
    }
}
