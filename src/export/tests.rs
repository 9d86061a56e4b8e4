//! What holds of every target, and the settings that the tests of each are given.

use std::path::Path;
use std::process::Command as Process;

use autotune_engine::api::{
    Bytes, ContextSetting, CpuMask, Devices, FlashAttention, GpuLayers, HugePages, Identity,
    KvType, LoadMode, LoadSetting, MemoryPolicy, Numa, Placement, Priority, ProcessSetting,
    Setting, SplitMode, ThreadSetting, Threading, Toggle, Work,
};
use proptest::prelude::*;

use super::*;
use crate::knob::{self, Tool};
use crate::model::{
    Axis, Candidate, Claims, Effect, Findings, Level, Machine, Plan, Protocol, Scope, Strategy,
    Verdict, Workload,
};
use crate::stats::{Change, Estimate, Separation};

/// What llama-server would run with 4 threads and no device.
pub(crate) fn plain() -> Setting {
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

/// A setting with every knob off its default that needs no device and no other machine.
pub(crate) fn everything() -> Setting {
    Setting {
        process: ProcessSetting {
            isa_variant: Some("icelake".into()),
            numa: Numa::Isolate,
            memory_policy: MemoryPolicy::Interleave,
            huge_pages: HugePages::On,
            malloc_arenas: 2,
            tiled_products: Toggle::Off,
            graph_reuse: Toggle::Off,
            nice: 5,
            rpc: Vec::new(),
        },
        load: LoadSetting {
            gpu_layers: GpuLayers::Count(0),
            load_mode: LoadMode::MmapMlock,
            repack: Toggle::Off,
            cpu_experts: 2,
            overrides: vec!["ffn_.*_exps=CPU".parse().unwrap()],
            split_mode: SplitMode::None,
            tensor_split: "3/1".parse().unwrap(),
            main_gpu: 0,
            devices: Devices::None,
            no_host: Toggle::On,
        },
        context: ContextSetting {
            context: 8192,
            batch: 1024,
            ubatch: 256,
            flash_attention: FlashAttention::On,
            type_k: KvType::Q8_0,
            type_v: KvType::Bf16,
            kv_offload: Toggle::Off,
            op_offload: Toggle::Off,
            sequences: 2,
            kv_unified: Toggle::On,
            swa_full: Toggle::On,
        },
        threads: ThreadSetting {
            threads: 6,
            threads_batch: 8,
            cpu_mask: CpuMask::new([0, 2, 4]),
            strict: Toggle::On,
            poll: 100,
            priority: Priority::High,
            placement: Placement::Any,
        },
    }
}

/// Calls with a run whose tuned setting is this one and proven.
pub(crate) fn given<T>(setting: &Setting, model: &str, with: impl FnOnce(&Subject<'_>) -> T) -> T {
    let (plan, machine) = (plan(), Machine::default());
    let mut findings = findings();
    findings.best.setting = setting.clone();
    let run = "2026-01-02-tiny";
    let (plan, machine, findings) = (&plan, &machine, &findings);
    with(&Subject { plan, findings, machine, run, choice: Choice::Tuned, model })
}

fn change() -> Change {
    let (low, high) = (Some(1.01), Some(1.075));
    let speed_ratio = Estimate { value: 1.042, low, high, confidence: 0.95, n: 12 };
    Change { speed_ratio, separation: Separation::Faster }
}

fn candidate() -> Candidate {
    Candidate {
        setting: plain(),
        effective: None,
        prefill_tok_per_s: None,
        decode_tok_per_s: None,
        turn_s: None,
        ttft_s: None,
        itl_p50_s: None,
        itl_p99_s: None,
        peak_resident_bytes: Some(Bytes(1 << 30)),
        gpu_utilization: None,
        peak_card_bytes: None,
        buffers: Vec::new(),
        evidence: vec![1],
    }
}

/// Findings in which `ubatch` was measured alone.
pub(crate) fn findings() -> Findings {
    let effect = Effect {
        knob: "ubatch".into(),
        from: Level::Count(512),
        to: Level::Count(256),
        alone: Some(change()),
        withdrawn: None,
        cumulative: None,
        evidence: vec![2],
    };
    Findings {
        schema: Findings::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        baseline: candidate(),
        best: candidate(),
        tied_with: Vec::new(),
        verdict: Verdict::Confirmed {
            turn: change(),
            prefill: None,
            decode: None,
            evidence: vec![3],
        },
        curves: Vec::new(),
        effects: vec![effect],
        tried: Vec::new(),
        frontier: Vec::new(),
        surface: None,
        failures: Vec::new(),
        trials_measured: 3,
        trials_failed: 0,
        trials_cached: 0,
        looked_at: 2,
        space: 4,
        fitness: None,
        claims: Claims::default(),
        soak: None,
        noise: None,
        disturbed: 0.0,
        memory_error: None,
        stopped_because: "done".into(),
        caveats: Vec::new(),
    }
}

fn plan() -> Plan {
    let axis = |knob: &str| Axis { knob: knob.into(), scope: Scope::Context, levels: Vec::new() };
    Plan {
        schema: Plan::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-01-02T03:04:05Z".into(),
        command: "autotune sweep".into(),
        model: knob::tests::card(),
        workload: chat(),
        engine: Identity {
            name: "llama.cpp".into(),
            version: "1".into(),
            ggml_version: "2".into(),
            binding_version: "3".into(),
            threading: Threading::Ggml,
            synthetic: false,
        },
        variants: Vec::new(),
        baseline: plain(),
        baseline_notes: Vec::new(),
        axes: vec![axis("batch")],
        rejected: Vec::new(),
        protocol: protocol(),
        prior: None,
        seed: 1,
        goals: Vec::new(),
        context_memory: Vec::new(),
    }
}

fn protocol() -> Protocol {
    Protocol {
        slice: Work {
            prompt_tokens: 64,
            generate_tokens: 2,
            depth: 0,
            repetitions: 2,
            warmup: true,
            delay_ms: 0,
            seed: 1,
            parallel: 1,
        },
        strategy: Strategy::Auto,
        record_grid: 0,
        fitness_pairs: 3,
        finalists: 2,
        finalist_blocks: 1,
        certify_blocks: 9,
        certify_within: 0.02,
        confirm_pairs: [8, 12],
        indifference: 0.01,
        confidence: 0.95,
        soak_ms: 0,
        curve_share: 0.25,
        audit: 0,
        target: None,
        budget_ms: None,
        max_trials: None,
        calibration: None,
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
fn servers_that_a_setting_was_measured_with_are_named_once() {
    let mut setting = plain();
    setting.load.gpu_layers = GpuLayers::All;
    for tool in [Tool::LlamaServer, Tool::LlamaCli, Tool::LlamaBench] {
        setting.process.rpc = Vec::new();
        assert!(!line(tool, &setting, &[]).contains("--rpc"));
        setting.process.rpc = vec!["a:50052".into(), "b:50053".into()];
        let line = line(tool, &setting, &[]);
        assert!(line.contains(" --rpc a:50052,b:50053 "), "{line}");
        assert_eq!(line.matches("--rpc").count(), 1, "{line}");
    }
    assert!(!line(Tool::Ollama, &setting, &[]).contains("--rpc"));
}

#[test]
fn a_default_setting_needs_only_what_the_machine_or_the_program_would_decide() {
    assert_eq!(
        line(Tool::LlamaServer, &plain(), &[]),
        "llama-server --model m.gguf --threads 4 --ctx-size 4096 --gpu-layers 0 --parallel 1"
    );
}

#[test]
fn tuned_knobs_are_written_even_at_their_default() {
    let line = line(Tool::LlamaServer, &plain(), &["ubatch", "flash_attention"]);
    assert!(line.contains("--ubatch-size 512 --flash-attn auto"), "{line}");
}

#[test]
fn everything_that_can_be_said_is_said() {
    let setting = everything();
    assert_eq!(
        line(Tool::LlamaServer, &setting, &[]),
        "llama-server --model m.gguf --threads 6 --threads-batch 8 --ctx-size 8192 \
         --batch-size 1024 --ubatch-size 256 --flash-attn on --gpu-layers 0 --cache-type-k q8_0 \
         --cache-type-v bf16 --cpu-mask 0x15 --cpu-strict 1 --poll 100 --prio 2 --numa isolate \
         --load-mode mmap+mlock --no-repack --no-kv-offload --no-op-offload --parallel 2 \
         --kv-unified --swa-full --n-cpu-moe 2 --override-tensor 'ffn_.*_exps=CPU' \
         --split-mode none --tensor-split 3,1 --device none --no-host"
    );
    let bench = command(Tool::LlamaBench, &setting, Path::new("m.gguf"), &chat(), &[]);
    assert!(bench.line().ends_with("--no-host 1 --n-prompt 512 --n-gen 256"), "{}", bench.line());
    assert!(!bench.line().contains("threads-batch") && !bench.line().contains("ctx-size"));
    assert!(bench.notes[0].contains("one thread count"));
    let mut devices = plain();
    devices.load.gpu_layers = GpuLayers::All;
    assert!(line(Tool::LlamaServer, &devices, &[]).contains("--gpu-layers all"));
    assert!(line(Tool::LlamaBench, &devices, &[]).contains("--n-gpu-layers 99"));
}

#[test]
fn a_tuned_cpu_variant_becomes_a_note() {
    let made = command(Tool::LlamaServer, &plain(), Path::new("m.gguf"), &chat(), &["isa_variant"]);
    assert!(made.notes[0].contains("`icelake`"), "{:?}", made.notes);
    assert!(!made.line().contains("icelake"));
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

#[test]
fn every_target_has_a_name_of_its_own_and_says_what_it_writes() {
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
    assert!(TARGETS.iter().all(|target| target.summary().len() > 10));
}

#[test]
fn nothing_of_a_setting_is_lost_without_a_word() {
    // Each knob is off its default: every target says its level, or that it cannot.
    let setting = everything();
    given(&setting, "/m.gguf", |subject| {
        for target in TARGETS.iter().filter(|target| target.name() != "json") {
            let Exported { text, remarks } = export(*target, subject, &[]);
            let all = text + &remarks.join("\n");
            let all = all.replace("\n#   ", " ");
            for (knob, _, level) in knob::changed(&plain(), &setting) {
                let spelled =
                    [Tool::LlamaServer, Tool::LlamaBench, Tool::Ollama].iter().any(|tool| {
                        knob.spell(*tool, &level)
                            .first()
                            .is_some_and(|word| all.contains(word.as_str()))
                    });
                let said = spelled
                    || all.contains(&format!("`{}`", knob.name()))
                    || around(knob.name(), &all);
                assert!(said, "{} says nothing of {}:\n{all}", target.name(), knob.name());
            }
        }
    });
}

/// Whether something around the program says a knob's level, or a field of LM Studio's.
fn around(knob: &str, all: &str) -> bool {
    let words: &[&str] = match knob {
        "memory_policy" => &["numactl --interleave=all", "NUMAPolicy=interleave"],
        "huge_pages" => &["GLIBC_TUNABLES"],
        "malloc_arenas" => &["MALLOC_ARENA_MAX"],
        "tiled_products" => &["GGML_CPU_TILED_MM"],
        "graph_reuse" => &["LLAMA_GRAPH_REUSE_DISABLE"],
        "nice" => &["nice -n 5", "Nice=5"],
        "placement" => &["taskset 0x15"],
        "threads" => &["cpuThreadPoolSize", "LLAMA_ARG_THREADS"],
        "threads_batch" => &["one thread count"],
        "context" => &["contextLength", "LLAMA_ARG_CTX_SIZE", "llama-bench"],
        "batch" => &["evalBatchSize", "LLAMA_ARG_BATCH"],
        "ubatch" => &["LLAMA_ARG_UBATCH"],
        "flash_attention" => &["flashAttention", "LLAMA_ARG_FLASH_ATTN"],
        "gpu_layers" => &["offloadRatio"],
        "type_k" => &["kCacheQuantizationType", "LLAMA_ARG_CACHE_TYPE_K"],
        "type_v" => &["LLAMA_ARG_CACHE_TYPE_V"],
        "kv_offload" => &["offloadKVCacheToGpu", "LLAMA_ARG_KV_OFFLOAD"],
        "load_mode" => &["tryMmap", "LLAMA_ARG_LOAD_MODE"],
        "cpu_experts" => &["numCpuExpertLayersRatio", "LLAMA_ARG_N_CPU_MOE"],
        "numa" => &["LLAMA_ARG_NUMA"],
        "repack" => &["LLAMA_ARG_REPACK"],
        "sequences" => &["LLAMA_ARG_N_PARALLEL"],
        "kv_unified" => &["LLAMA_ARG_KV_UNIFIED"],
        "swa_full" => &["LLAMA_ARG_SWA_FULL"],
        "overrides" => &["LLAMA_ARG_OVERRIDE_TENSOR"],
        "split_mode" => &["LLAMA_ARG_SPLIT_MODE"],
        "tensor_split" => &["LLAMA_ARG_TENSOR_SPLIT"],
        "devices" => &["LLAMA_ARG_DEVICE"],
        "no_host" => &["LLAMA_ARG_NO_HOST"],
        _ => &[],
    };
    words.iter().any(|word| all.contains(word))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_shell_gives_the_program_the_very_words(path in "[^\0\r]{1,40}") {
        given(&everything(), &path, |subject| {
            for target in &TARGETS[..3] {
                let text = export(*target, subject, &[]).text;
                // The shell's own function stands for the program and all that is in front of it.
                let script = format!("env() {{ printf '%s\\0' \"$@\"; }}\n{text}");
                let output = Process::new("sh").arg("-c").arg(script).output().unwrap();
                let words = String::from_utf8(output.stdout).unwrap();
                let words: Vec<&str> = words.split_terminator('\0').collect();
                let model = words.iter().position(|word| *word == "--model").unwrap();
                let expected =
                    if path.starts_with('-') { format!("./{path}") } else { path.clone() };
                prop_assert_eq!(words[model - 1], target.name());
                prop_assert_eq!(words[model + 1], expected);
            }
            Ok(())
        })?;
    }

    #[test]
    fn names_of_others_end_no_comment(name in ".{0,40}\n?.{0,40}") {
        given(&plain(), "/m.gguf", |subject| {
            let subject = Subject { run: &name, ..*subject };
            for target in TARGETS.iter().filter(|target| target.comment().is_some()) {
                let quiet = export(*target, &Subject { run: "", ..subject }, &[]).text;
                let made = export(*target, &subject, std::slice::from_ref(&name)).text;
                let body = |text: &str| -> Vec<String> {
                    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
                };
                prop_assert_eq!(body(&quiet), body(&made));
            }
            Ok(())
        })?;
    }
}
