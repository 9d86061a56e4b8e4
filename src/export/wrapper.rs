//! What a process gets from outside: variables, memory policy, CPUs, niceness.

use autotune_engine::api::{CpuMask, LoadMode, MemoryPolicy, Priority, Setting};

use crate::model::CpuList;

/// The parts of a setting that no flag of a program says and something around it can.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wrapper {
    /// Variables of the process.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Where its memory comes from.
    pub(super) memory: MemoryPolicy,
    /// CPUs that it may use; `None` where the program has a flag for them.
    pub(super) cpus: Option<CpuMask>,
    /// Its niceness.
    pub(super) nice: i8,
}

impl Wrapper {
    /// Of a program that has a flag for its CPUs, as llama.cpp's have.
    pub(super) fn of(setting: &Setting) -> Self {
        let process = &setting.process;
        Self {
            environment: process.environment(),
            memory: process.memory_policy,
            cpus: None,
            nice: process.nice,
        }
    }

    /// Of a program without a flag for its CPUs.
    pub(super) fn with_cpus(setting: &Setting) -> Self {
        Self { cpus: setting.threads.cpu_mask.clone(), ..Self::of(setting) }
    }

    /// The words in front of the program; none where nothing is needed.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if !self.environment.is_empty() {
            words.push("env".to_owned());
            words.extend(self.environment.iter().map(|(name, value)| format!("{name}={value}")));
        }
        words.extend(self.programs());
        words
    }

    /// The same without the variables, for formats that have a place of their own for those.
    pub(super) fn programs(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let policy = match self.memory {
            MemoryPolicy::Default => None,
            MemoryPolicy::Local => Some("--localalloc".to_owned()),
            MemoryPolicy::Interleave => Some("--interleave=all".to_owned()),
            MemoryPolicy::Bind(node) => Some(format!("--membind={node}")),
        };
        words.extend(policy.into_iter().flat_map(|policy| ["numactl".to_owned(), policy]));
        if let Some(mask) = &self.cpus {
            words.extend(["taskset".to_owned(), mask.to_string()]);
        }
        if self.nice != 0 {
            words.extend(["nice".to_owned(), "-n".to_owned(), self.nice.to_string()]);
        }
        words
    }
}

/// CPUs as the kernel lists them: `0-3,8`.
pub(super) fn cpu_list(mask: &CpuMask) -> String {
    mask.cpus().map(u32::from).collect::<CpuList>().to_string()
}

/// Whether the model is kept from being swapped out.
pub(super) fn locks_memory(setting: &Setting) -> bool {
    matches!(setting.load.load_mode, LoadMode::Mlock | LoadMode::MmapMlock)
}

/// Whether threads run in a real-time class.
pub(super) fn is_real_time(setting: &Setting) -> bool {
    matches!(setting.threads.priority, Priority::Medium | Priority::High | Priority::Realtime)
}

/// What the user who starts the program must be allowed.
pub(super) fn privileges(setting: &Setting) -> Vec<String> {
    let mut notes = Vec::new();
    if setting.process.nice < 0 {
        notes.push(format!("a niceness of {} needs root or CAP_SYS_NICE", setting.process.nice));
    }
    if is_real_time(setting) {
        notes.push(format!(
            "priority {} needs root, CAP_SYS_NICE or a real-time limit (`ulimit -r`); without one \
             llama.cpp warns and goes on",
            setting.threads.priority
        ));
    }
    if locks_memory(setting) {
        notes.push(
            "locking the model needs a limit of locked memory (`ulimit -l`) above its size; \
             without it llama.cpp warns and goes on"
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{HugePages, ProcessSetting};

    use super::*;
    use crate::export::tests::plain;

    #[test]
    fn a_default_process_needs_nothing_in_front() {
        assert!(Wrapper::with_cpus(&plain()).words().is_empty());
        assert!(privileges(&plain()).is_empty());
    }

    #[test]
    fn what_no_flag_says_stands_in_front_of_the_program() {
        let mut setting = plain();
        setting.process = ProcessSetting {
            memory_policy: MemoryPolicy::Bind(1),
            huge_pages: HugePages::On,
            nice: -5,
            ..setting.process
        };
        setting.threads.cpu_mask = "0x15".parse().ok();
        assert_eq!(
            Wrapper::with_cpus(&setting).words().join(" "),
            "env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 numactl --membind=1 taskset 0x15 nice -n -5"
        );
        assert!(!Wrapper::of(&setting).programs().contains(&"taskset".to_owned()));
        assert!(privileges(&setting)[0].contains("-5"));
    }

    #[test]
    fn neighbouring_cpus_are_a_range() {
        let list = |mask: &str| cpu_list(&mask.parse().unwrap());
        assert_eq!(list("0x10f"), "0-3,8");
        assert_eq!(list("0x15"), "0,2,4");
    }
}
