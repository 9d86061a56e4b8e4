//! A setting as the command line of the llama.cpp program that people run.
//!
//! Flags are spelled as llama.cpp's `common/arg.cpp` and llama-bench's help of 2026 spell them
//! (the copy inside the pinned binding). A flag appears when it differs from that program's own
//! default or when its knob was tuned; what no flag can say becomes a note. Which setting deserves
//! to be exported is left to `analysis`, checking the command on a real server to its user.

mod flags;
mod ollama;
mod shell;

use std::path::Path;

use autotune_engine::api::{Setting, Toggle};

use crate::knob::{self, Tool};
use crate::model::Workload;

pub use ollama::{Modelfile, modelfile};
pub use shell::quoted;

/// A command that can be pasted into a POSIX shell, and what it cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments, unquoted.
    pub words: Vec<String>,
    /// What the program's flags cannot express, one sentence each.
    pub notes: Vec<String>,
}

impl Command {
    /// One line, quoted for a POSIX shell.
    #[must_use]
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// One flag per line, quoted and continued with backslashes.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for (place, word) in self.words.iter().enumerate() {
            match place {
                0 => {}
                _ if flags::is_flag(word) => text.push_str(" \\\n  "),
                _ => text.push(' '),
            }
            text.push_str(&quoted(word));
        }
        text
    }
}

/// The command that runs `model` under `setting`.
///
/// `tuned` names the knobs that were searched: their flags are written even at the default level,
/// so that a later llama.cpp with other defaults still runs what was measured.
#[must_use]
pub fn command(
    tool: Tool,
    setting: &Setting,
    model: &Path,
    workload: &Workload,
    tuned: &[&str],
) -> Command {
    let mut words = vec![program(tool).to_owned(), "--model".into(), file_argument(model)];
    words.extend(flags::of(tool, setting, tuned));
    if !setting.process.rpc.is_empty() && tool != Tool::Ollama {
        words.extend(["--rpc".to_owned(), setting.process.rpc.join(",")]);
    }
    if tool == Tool::LlamaBench {
        let counts = [
            ("--n-prompt", workload.prompt_tokens),
            ("--n-gen", workload.generate_tokens),
            ("--n-depth", workload.depth),
        ];
        for (flag, count) in counts.into_iter().filter(|(flag, n)| *n > 0 || *flag != "--n-depth") {
            words.extend([flag.to_owned(), count.to_string()]);
        }
    }
    Command { words, notes: notes(tool, setting, tuned) }
}

/// The program's name.
#[must_use]
pub fn program(tool: Tool) -> &'static str {
    match tool {
        Tool::LlamaServer => "llama-server",
        Tool::LlamaCli => "llama-cli",
        Tool::LlamaBench => "llama-bench",
        Tool::Ollama => "ollama",
    }
}

/// A file name that no program takes for a flag.
fn file_argument(path: &Path) -> String {
    let text = path.to_string_lossy().into_owned();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

fn notes(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(variant) = &setting.process.isa_variant
        && tuned.contains(&knob::Knob::name(&knob::IsaVariantKnob))
    {
        notes.push(format!(
            "measured with the CPU variant `{variant}`; no flag of {} selects it: a build with \
             dynamic CPU modules loads the one it scores best, so keep only \
             `libggml-cpu-{variant}` beside the program to force it",
            program(tool)
        ));
    }
    if tool == Tool::LlamaBench && setting.threads.threads != setting.threads.threads_batch {
        notes.push(format!(
            "llama-bench has one thread count for prompt and generation; the setting uses {} for \
             prompts and {} for generation",
            setting.threads.threads_batch, setting.threads.threads
        ));
    }
    notes.extend(unsaid(tool, setting, tuned));
    if setting.threads.strict == Toggle::On && setting.threads.cpu_mask.is_none() {
        notes.push("strict placement has no effect without a CPU mask".into());
    }
    notes
}

/// Levels that the program has no word for, and the variables that stand in where there are some.
fn unsaid(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let plain = knob::plain(setting);
    let mut notes: Vec<String> = flags::written(setting, tuned)
        .filter(|knob| knob.read(setting) != knob.read(&plain))
        .filter(|knob| knob.spell(tool, &knob.read(setting)).is_empty())
        // Told elsewhere, or by a variable.
        .filter(|knob| !["threads_batch", "isa_variant"].contains(&knob.name()))
        .filter(|knob| !variables(setting).iter().any(|(own, _)| *own == knob.name()))
        .map(|knob| {
            let (name, level, program) = (knob.name(), knob.read(setting), program(tool));
            match name {
                "nice" => format!("run it under `nice -n {level}`"),
                "memory_policy" => format!("run it under numactl: the memory policy is {level}"),
                _ => format!("{program} has no flag for `{name}`, which is {level}"),
            }
        })
        .collect();
    notes.extend(
        variables(setting).into_iter().map(|(_, variable)| format!("run it with {variable} set")),
    );
    notes
}

/// Variables that a setting takes, with the knob that each belongs to.
fn variables(setting: &Setting) -> Vec<(&'static str, String)> {
    let knob = |name: &str| match name {
        "GLIBC_TUNABLES" => "huge_pages",
        "MALLOC_ARENA_MAX" => "malloc_arenas",
        "GGML_CPU_TILED_MM" => "tiled_products",
        _ => "graph_reuse",
    };
    let variables = setting.process.environment();
    variables.into_iter().map(|(name, value)| (knob(name), format!("{name}={value}"))).collect()
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{
        ContextSetting, CpuMask, FlashAttention, GpuLayers, KvType, LoadMode, LoadSetting, Numa,
        Placement, Priority, ProcessSetting, ThreadSetting,
    };

    use super::*;

    fn plain() -> Setting {
        Setting {
            process: ProcessSetting { isa_variant: Some("icelake".into()), ..Default::default() },
            load: LoadSetting {
                gpu_layers: GpuLayers::Count(0),
                repack: Toggle::On,
                ..LoadSetting::default()
            },
            context: ContextSetting::default(),
            threads: ThreadSetting::of(4),
        }
    }

    fn chat() -> Workload {
        Workload {
            name: "chat".into(),
            description: "a chat".into(),
            prompt_tokens: 512,
            generate_tokens: 256,
            depth: 0,
            context: 4096,
            ..Workload::default()
        }
    }

    fn line(tool: Tool, setting: &Setting, tuned: &[&str]) -> String {
        command(tool, setting, Path::new("m.gguf"), &chat(), tuned).line()
    }

    #[test]
    fn servers_that_a_setting_was_measured_with_are_named() {
        let mut setting = plain();
        assert!(!line(Tool::LlamaServer, &setting, &[]).contains("--rpc"));
        setting.process.rpc = vec!["a:1".into(), "b:2".into()];
        for tool in [Tool::LlamaServer, Tool::LlamaCli, Tool::LlamaBench] {
            assert!(line(tool, &setting, &[]).contains("--rpc a:1,b:2"), "{tool:?}");
        }
        assert!(!line(Tool::Ollama, &setting, &[]).contains("--rpc"));
    }

    #[test]
    fn a_default_setting_needs_only_what_the_machine_would_decide() {
        assert_eq!(
            line(Tool::LlamaServer, &plain(), &[]),
            "llama-server --model m.gguf --threads 4 --ctx-size 4096 --gpu-layers 0"
        );
    }

    #[test]
    fn tuned_knobs_are_written_even_at_their_default() {
        let line = line(Tool::LlamaServer, &plain(), &["ubatch", "flash_attention"]);
        assert!(line.contains("--ubatch-size 512 --flash-attn auto"), "{line}");
    }

    #[test]
    fn everything_that_can_be_said_is_said() {
        let mut setting = plain();
        setting.process.numa = Numa::Isolate;
        setting.load.load_mode = LoadMode::MmapMlock;
        setting.load.gpu_layers = GpuLayers::All;
        setting.load.repack = Toggle::Off;
        setting.context = ContextSetting {
            context: 8192,
            batch: 1024,
            ubatch: 256,
            flash_attention: FlashAttention::On,
            type_k: KvType::Q8_0,
            type_v: KvType::Q4_0,
            ..ContextSetting::default()
        };
        setting.threads = ThreadSetting {
            threads: 6,
            threads_batch: 8,
            cpu_mask: CpuMask::new([0, 2, 4]),
            strict: Toggle::On,
            poll: 100,
            priority: Priority::Low,
            placement: Placement::Any,
        };
        assert_eq!(
            line(Tool::LlamaServer, &setting, &[]),
            "llama-server --model m.gguf --threads 6 --threads-batch 8 --ctx-size 8192 \
             --batch-size 1024 --ubatch-size 256 --flash-attn on --gpu-layers all \
             --cache-type-k q8_0 --cache-type-v q4_0 --cpu-mask 0x15 --cpu-strict 1 --poll 100 \
             --prio -1 --numa isolate --load-mode mmap+mlock --no-repack"
        );
        let bench = command(Tool::LlamaBench, &setting, Path::new("m.gguf"), &chat(), &[]);
        assert!(bench.line().contains("--n-gpu-layers 99"), "{}", bench.line());
        assert!(bench.line().ends_with("--repack 0 --n-prompt 512 --n-gen 256"));
        assert!(!bench.line().contains("threads-batch") && !bench.line().contains("ctx-size"));
        assert!(bench.notes[0].contains("one thread count"));
    }

    #[test]
    fn a_tuned_cpu_variant_becomes_a_note() {
        let made =
            command(Tool::LlamaServer, &plain(), Path::new("m.gguf"), &chat(), &["isa_variant"]);
        assert!(made.notes[0].contains("`icelake`"), "{:?}", made.notes);
        assert!(!made.line().contains("icelake"));
    }

    #[test]
    fn servers_are_named_to_every_program_that_reaches_them() {
        let mut setting = plain();
        setting.process.rpc = vec!["a:50052".into(), "b:50053".into()];
        setting.load.gpu_layers = GpuLayers::All;
        for tool in [Tool::LlamaServer, Tool::LlamaCli, Tool::LlamaBench] {
            let line = line(tool, &setting, &[]);
            assert!(line.contains(" --rpc a:50052,b:50053 "), "{line}");
            assert!(!self::line(tool, &plain(), &[]).contains("--rpc"));
        }
        let made = modelfile(&setting, Path::new("m.gguf"), &[]);
        assert!(made.notes.iter().any(|note| note.contains("a:50052")), "{:?}", made.notes);
    }

    #[test]
    fn a_hostile_path_stays_one_argument() {
        let made = command(Tool::LlamaCli, &plain(), Path::new("-x $(rm) 'a'.gguf"), &chat(), &[]);
        assert!(made.line().contains(r"--model './-x $(rm) '\''a'\''.gguf' "), "{}", made.line());
    }

    #[test]
    fn the_long_form_has_a_flag_per_line() {
        let made = command(Tool::LlamaServer, &plain(), Path::new("m.gguf"), &chat(), &[]);
        let lines: Vec<_> = made.lines().lines().map(str::to_owned).collect();
        assert_eq!(lines[..2], ["llama-server \\", "  --model m.gguf \\"]);
    }
}
