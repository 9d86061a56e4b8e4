//! The flags of a setting, in one order for every program.

use autotune_engine::api::{
    ContextSetting, GpuLayers, LoadMode, Numa, Priority, Setting, ThreadSetting, Toggle,
};

use crate::knob::{self, Knob, Tool};

/// The flags that differ from the program's defaults, and those of the `tuned` knobs.
pub(super) fn of(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let bench = tool == Tool::LlamaBench;
    let default = ContextSetting::default();
    let threads = &setting.threads;
    let context = &setting.context;
    let mut flags = Flags { tool, setting, tuned, words: Vec::new() };
    flags.knob(&knob::ThreadsKnob, true);
    flags.knob(&knob::ThreadsBatchKnob, threads.threads_batch != threads.threads);
    if !bench {
        flags.word("--ctx-size", true, context.context);
    }
    flags.word("--batch-size", context.batch != default.batch, context.batch);
    flags.knob(&knob::UbatchKnob, context.ubatch != default.ubatch);
    flags.knob(&knob::FlashAttentionKnob, context.flash_attention != default.flash_attention);
    flags.gpu_layers();
    flags.word("--cache-type-k", context.type_k != default.type_k, context.type_k);
    flags.word("--cache-type-v", context.type_v != default.type_v, context.type_v);
    flags.placement();
    flags.load();
    flags.words
}

/// Whether a word of a command begins a new flag (a negative number does not).
pub(super) fn is_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

struct Flags<'a> {
    tool: Tool,
    setting: &'a Setting,
    tuned: &'a [&'a str],
    words: Vec<String>,
}

impl Flags<'_> {
    fn word(&mut self, flag: &str, wanted: bool, value: impl std::fmt::Display) {
        if wanted {
            self.words.extend([flag.to_owned(), value.to_string()]);
        }
    }

    fn knob(&mut self, knob: &dyn Knob, wanted: bool) {
        if wanted || self.tuned.contains(&knob.name()) {
            self.words.extend(knob.spell(self.tool, &knob.read(self.setting)));
        }
    }

    /// Always written: the default depends on the memory that is free at the time.
    fn gpu_layers(&mut self) {
        match (self.tool, self.setting.load.gpu_layers) {
            // llama-bench takes a number only; more layers than a model has mean all of them.
            (Tool::LlamaBench, GpuLayers::All) => self.word("--n-gpu-layers", true, 99),
            (Tool::LlamaBench, layers) => self.word("--n-gpu-layers", true, layers),
            (_, layers) => self.word("--gpu-layers", true, layers),
        }
    }

    fn placement(&mut self) {
        let threads = &self.setting.threads;
        let default = ThreadSetting::of(threads.threads);
        if let Some(mask) = &threads.cpu_mask {
            self.word("--cpu-mask", true, mask);
        }
        self.word("--cpu-strict", threads.strict == Toggle::On, 1);
        self.word("--poll", threads.poll != default.poll, threads.poll);
        let priority = match threads.priority {
            Priority::Low => -1,
            Priority::Normal => 0,
            Priority::Medium => 1,
            Priority::High => 2,
            Priority::Realtime => 3,
        };
        self.word("--prio", priority != 0, priority);
        let numa = self.setting.process.numa;
        self.word("--numa", numa != Numa::Disabled, numa);
    }

    fn load(&mut self) {
        let load = &self.setting.load;
        self.word("--load-mode", load.load_mode != LoadMode::Auto, load.load_mode);
        match (self.tool, load.repack) {
            (_, Toggle::On) => {}
            (Tool::LlamaBench, Toggle::Off) => self.word("--repack", true, 0),
            (_, Toggle::Off) => self.words.push("--no-repack".into()),
        }
    }
}
