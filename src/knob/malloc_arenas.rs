//! Arenas of the allocator.

use autotune_engine::api::Setting;

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, number};
use crate::model::{Level, Scope};

/// `malloc_arenas`: most arenas of glibc's allocator.
#[derive(Debug)]
pub struct MallocArenasKnob;

impl Knob for MallocArenasKnob {
    fn name(&self) -> &'static str {
        "malloc_arenas"
    }

    fn summary(&self) -> &'static str {
        "most arenas of glibc's allocator, 0 for its own choice"
    }

    fn explanation(&self) -> &'static str {
        "Every thread that allocates may get an arena. Fewer arenas waste less memory; the \
         kernels themselves allocate next to nothing while they compute, so speed hardly \
         changes."
    }

    fn scope(&self) -> Scope {
        Scope::Process
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.usable_threads < 2 {
            return Offer::nothing(self, ground, "one thread has one arena");
        }
        Offer::of(self, ground, [0, 1].map(Level::Count))
    }

    fn read(&self, setting: &Setting) -> Level {
        Level::Count(setting.process.malloc_arenas)
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.process.malloc_arenas = number(self.name(), level)?;
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
    fn one_thread_has_nothing_to_share() {
        let baseline = setting();
        let many = ground(&baseline, &[]);
        assert_eq!(MallocArenasKnob.offer(&many).levels.len(), 2);
        let one = Ground { usable_threads: 1, ..many };
        assert_eq!(MallocArenasKnob.offer(&one).levels.len(), 1);
    }
}
