//! How the file reaches memory.

use autotune_engine::api::{LoadMode, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// `load_mode`: how the file reaches memory.
#[derive(Debug)]
pub struct LoadModeKnob;

impl Knob for LoadModeKnob {
    fn name(&self) -> &'static str {
        "load_mode"
    }

    fn summary(&self) -> &'static str {
        "how the model file reaches memory"
    }

    fn explanation(&self) -> &'static str {
        "A mapped file is shared and can be dropped; read into anonymous memory it may get \
         huge pages, and locked it cannot be swapped out. Reading past the page cache spares \
         it at load. Generation differs little unless memory is short."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let locked = ground.terrain.locked_memory;
        let may_lock = locked.is_none_or(|limit| limit >= ground.model.file_bytes);
        let mut offer = Offer::default();
        for mode in [LoadMode::Auto, LoadMode::None, LoadMode::Mlock, LoadMode::DirectIo] {
            if mode == LoadMode::Mlock && !may_lock {
                let reason = format!(
                    "this process may lock {} and the model has {}",
                    locked.unwrap_or_default(),
                    ground.model.file_bytes
                );
                offer.reject(self, Some(word(mode)), reason);
            } else {
                offer.levels.push(word(mode));
            }
        }
        offer.with_own(self, ground)
    }

    fn read(&self, setting: &Setting) -> Level {
        word(setting.load.load_mode)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.load_mode =
            parsed(self.name(), level, "auto, none, mmap, mlock, mmap+mlock or dio")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench => flag("--load-mode", level),
            Tool::Ollama => match level.to_string().as_str() {
                "mmap" => vec!["use_mmap".into(), "true".into()],
                "none" => vec!["use_mmap".into(), "false".into()],
                _ => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;
    use autotune_engine::api::Bytes;

    #[test]
    fn what_may_not_be_locked_is_left_out() {
        let baseline = setting();
        assert_eq!(LoadModeKnob.offer(&ground(&baseline, &[])).levels.len(), 4);
        let small = Terrain { locked_memory: Some(Bytes(8 << 20)), ..Terrain::default() };
        let offer = LoadModeKnob.offer(&Ground { terrain: &small, ..ground(&baseline, &[]) });
        assert_eq!(offer.levels.len(), 3);
        assert!(offer.rejected[0].reason.contains("may lock 8.00 MiB"), "{offer:?}");
    }
}
