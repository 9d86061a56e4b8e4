//! Tensors placed by name.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, word};
use crate::model::{Level, Scope};

/// `overrides`: tensors that are placed by their names.
#[derive(Debug)]
pub struct OverridesKnob;

impl Knob for OverridesKnob {
    fn name(&self) -> &'static str {
        "overrides"
    }

    fn summary(&self) -> &'static str {
        "tensors placed by name: PATTERN=BUFFER, several with `;` between them"
    }

    fn explanation(&self) -> &'static str {
        "A regular expression names tensors and a kind of buffer takes them, the first that \
         fits deciding. Which tensors are worth it depends on the model, so levels come from \
         --grid or --fix alone."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        Offer::nothing(self, ground, "no pattern was named; --grid overrides='exps=CPU' tries one")
    }

    fn read(&self, setting: &Setting) -> Level {
        match setting.load.overrides.as_slice() {
            [] => word("none"),
            list => word(list.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")),
        }
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        let wrong = |_| WrongLevel {
            knob: self.name(),
            level: level.to_string(),
            wanted: "`none` or placements such as exps=CPU",
        };
        setting.load.overrides = match level.to_string().as_str() {
            "none" => Vec::new(),
            text => text.split(';').map(str::parse).collect::<Result<_, _>>().map_err(wrong)?,
        };
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let text = level.to_string();
        // All of them cut at the first equals sign and at commas, wherever these stand.
        let cut = |one: &str| one.rsplit_once('=').is_some_and(|(it, _)| it.contains([',', '=']));
        match tool {
            _ if text == "none" || text.split(';').any(cut) => Vec::new(),
            Tool::LlamaServer | Tool::LlamaCli => {
                vec!["--override-tensor".into(), text.replace(';', ",")]
            }
            // There a comma begins another test.
            Tool::LlamaBench => vec!["--override-tensor".into(), text],
            Tool::Ollama => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    #[test]
    fn several_patterns_are_one_level() {
        let mut changed = setting();
        let level = word("exps=CPU;blk.1=CUDA0");
        OverridesKnob.write(&mut changed, &level).unwrap();
        assert_eq!(
            (changed.load.overrides.len(), OverridesKnob.read(&changed)),
            (2, level.clone())
        );
        let spelled = OverridesKnob.spell(Tool::LlamaServer, &level);
        assert_eq!(spelled, ["--override-tensor", "exps=CPU,blk.1=CUDA0"]);
        // No quoting saves a comma from llama.cpp's programs.
        for cut in ["blk.{1,2}=CPU", "(?=a)b=CPU"] {
            assert!(OverridesKnob.spell(Tool::LlamaServer, &word(cut)).is_empty(), "{cut}");
            assert!(OverridesKnob.spell(Tool::LlamaBench, &word(cut)).is_empty(), "{cut}");
        }
        assert_eq!(OverridesKnob.offer(&ground(&changed, &[])).levels, [level]);
    }
}
