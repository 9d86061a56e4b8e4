//! A run made by hand: a small server with a crashing CPU variant and a model with a hostile name.

use std::path::PathBuf;

use autotune_engine::api::{
    BufferUse, Bytes, ContextSetting, Failure, FlashAttention, GpuLayers, Identity, LoadSetting,
    MemoryUse, ModelFacts, ProcessSetting, Run, Sample, Setting, Sum, ThreadSetting, Threading,
    Toggle, Transition, VariantFault, VariantReport, VariantVerdict, Work,
};
use serde_json::{Value, json};

use crate::model::{
    AmongFinalists, Axis, Candidate, CeilingClaim, Claims, ContextMemory, Curve, CurvePoint,
    Effect, FailedSetting, Findings, Fitness, Grade, Level, ModelCard, Outcome, Phase, Plan,
    Protocol, Purpose, Rejected, Scope, SoakFinding, Source, Strategy, Trial, TypeShare, Verdict,
    Workload,
};
use crate::stats::{Change, Estimate, Separation};

pub(super) fn machine() -> Value {
    json!({
        "schema": "autotune.machine/1",
        "provenance": "live",
        "os": {"name": "Debian GNU/Linux", "version": "13", "kernel": "6.12.41",
               "architecture": "x86_64", "hypervisor": "kvm", "container": null},
        "cpu": {"vendor": "GenuineIntel", "model": "Intel(R) Xeon(R) Platinum 8481C",
                "isa": ["avx2", "avx512f", "avx512_vnni", "amx_int8"], "isa_level": "x86-64-v4",
                "cores": 8, "threads": 16,
                "caches": [
                    {"level": 1, "kind": "data", "size_bytes": 49152, "instances": 8},
                    {"level": 2, "kind": "unified", "size_bytes": 2_097_152, "instances": 8},
                    {"level": 3, "kind": "unified", "size_bytes": 110_100_480, "instances": 1}],
                "governor": null},
        "numa": {"nodes": [{"id": 0}], "distances": [[10]]},
        "memory": {"total_bytes": 68_719_476_736_u64, "available_bytes": 61_203_283_968_u64},
        "limits": {"usable_threads": 16, "cpu_quota_cores": null},
        "gpus": [],
        "unseen": {"cpu.governor": "no cpufreq on this virtual machine"}
    })
}

fn setting(threads: u32, batch: u32, ubatch: u32, attention: FlashAttention, isa: &str) -> Setting {
    Setting {
        process: ProcessSetting { isa_variant: Some(isa.into()), ..ProcessSetting::default() },
        load: LoadSetting {
            gpu_layers: GpuLayers::Count(0),
            repack: Toggle::On,
            ..LoadSetting::default()
        },
        context: ContextSetting { ubatch, flash_attention: attention, ..ContextSetting::default() },
        threads: ThreadSetting { threads_batch: batch, ..ThreadSetting::of(threads) },
    }
}

pub(super) fn default() -> Setting {
    setting(8, 8, 512, FlashAttention::Auto, "icelake")
}

pub(super) fn tuned() -> Setting {
    setting(6, 16, 1024, FlashAttention::On, "icelake")
}

pub(super) fn plan() -> Plan {
    let word = |word: &str| Level::Word(word.into());
    let axis = |knob: &str, scope, levels: Vec<Level>| Axis { knob: knob.into(), scope, levels };
    let counts = |levels: &[u32]| levels.iter().map(|count| Level::Count(*count)).collect();
    Plan {
        schema: Plan::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-11-20T09:30:00Z".into(),
        command: "autotune sweep --model 'llama <script>.gguf' --budget 15m".into(),
        model: model(),
        workload: Workload {
            name: "chat".into(),
            description: "interactive chat".into(),
            prompt_tokens: 512,
            generate_tokens: 256,
            depth: 0,
            context: 4096,
            ..Workload::default()
        },
        engine: Identity {
            name: "llama.cpp".into(),
            version: "0.6.0-dev".into(),
            ggml_version: "0.26.0".into(),
            binding_version: "0.1.161".into(),
            threading: Threading::Ggml,
            synthetic: false,
        },
        variants: variants(),
        baseline: default(),
        baseline_notes: vec![
            "plain llama.cpp crashes here: it would load its `sapphirerapids` variant, which failed \
             its self-test (SIGILL); the baseline uses `icelake`"
                .into(),
        ],
        axes: vec![
            axis("threads", Scope::Setter, counts(&[1, 2, 4, 6, 8, 12, 16])),
            axis("threads_batch", Scope::Setter, counts(&[1, 2, 4, 8, 12, 16])),
            axis("ubatch", Scope::Context, counts(&[128, 256, 512, 1024, 2048])),
            axis("flash_attention", Scope::Context, vec![word("auto"), word("off"), word("on")]),
            axis("isa_variant", Scope::Process, vec![word("icelake"), word("haswell")]),
        ],
        rejected: vec![Rejected {
            knob: "isa_variant".into(),
            level: Some(word("sapphirerapids")),
            reason: "failed its self-test: SIGILL".into(),
        }],
        protocol: Protocol {
            slice: work(),
            strategy: Strategy::Auto,
            record_grid: 0,
            fitness_pairs: 6,
            finalists: 4,
            finalist_blocks: 6,
            certify_blocks: 28,
            certify_within: 0.02,
            confirm_pairs: [8, 24],
            soak_ms: 180_000,
            curve_share: 0.25,
            audit: 0,
            target: None,
            indifference: 0.01,
            confidence: 0.95,
            budget_ms: Some(900_000),
            max_trials: None,
            calibration: None,
        },
        prior: None,
        seed: 7,
        goals: Vec::new(),
        context_memory: context_memory(),
    }
}

/// A model of 768 MiB whose cache takes 32 KiB per token.
fn context_memory() -> Vec<ContextMemory> {
    let at = |context: u32| ContextMemory {
        context,
        memory: Sum {
            weights_bytes: Bytes(768 << 20),
            kv_bytes: Bytes(u64::from(context) << 15),
            compute_bytes: Bytes((256 << 20) + (u64::from(context) << 10)),
            rest_bytes: Bytes(40 << 20),
        },
        devices: Sum::default(),
    };
    [4096, 8192, 16_384, 32_768].map(at).to_vec()
}

fn model() -> ModelCard {
    ModelCard {
        path: PathBuf::from("/models/llama <script>.gguf"),
        name: Some("Llama 3.2 1B <script>alert(1)</script>".into()),
        architecture: "llama".into(),
        file_bytes: Bytes(807_694_464),
        digest: "b3:6f1d9c".into(),
        synthetic: false,
        parameters: 1_235_814_400,
        layers: 16,
        embedding: 2048,
        heads: 32,
        kv_heads: 8,
        key_length: 64,
        value_length: 64,
        feed_forward: 8192,
        experts: 0,
        experts_used: 0,
        vocabulary: 128_256,
        trained_context: 131_072,
        sliding_window: None,
        types: vec![
            TypeShare { name: "Q4_K".into(), tensors: 96, bytes: Bytes(498_073_600) },
            TypeShare { name: "Q6_K".into(), tensors: 17, bytes: Bytes(300_000_000) },
        ],
        bytes_per_token: Bytes(799_862_912),
    }
}

fn variants() -> Vec<VariantReport> {
    let report = |name: &str, score, verdict| VariantReport { name: name.into(), score, verdict };
    vec![
        report(
            "sapphirerapids",
            127,
            VariantVerdict::Failed { fault: VariantFault::Crashed, reason: "SIGILL".into() },
        ),
        report("icelake", 63, VariantVerdict::Usable),
        report("haswell", 15, VariantVerdict::Usable),
        report("zen4", 0, VariantVerdict::Unsupported),
    ]
}

fn work() -> Work {
    Work {
        prompt_tokens: 256,
        generate_tokens: 32,
        depth: 0,
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed: 7,
        parallel: 1,
    }
}

pub(super) fn estimate(value: f64, spread: f64, n: u32) -> Estimate {
    let (low, high) = (Some(value * (1.0 - spread)), Some(value * (1.0 + spread)));
    Estimate { value, low, high, confidence: 0.95, n }
}

pub(super) fn change(value: f64, separation: Separation) -> Change {
    Change { speed_ratio: estimate(value, 0.02, 16), separation }
}

/// 60 visits: the default every third time, the tuned setting often, a crash, a slow drift.
pub(super) fn trials() -> Vec<Trial> {
    let haswell = setting(8, 8, 512, FlashAttention::Auto, "haswell");
    let wide = setting(16, 16, 2048, FlashAttention::Off, "icelake");
    let visits = (1..=60_u32).map(|id| match id {
        17 => (id, wide.clone(), 0.0, 0.0),
        id if id % 3 == 0 => (id, default(), 412.0, 38.4),
        id if id > 36 => (id, tuned(), 521.0, 44.9),
        id if id % 3 == 1 => (id, haswell.clone(), 300.0, 33.0),
        id => (id, wide.clone(), 430.0 + f64::from(id % 7) * 9.0, 36.0),
    });
    visits.map(|(id, asked, prefill, decode)| trial(id, asked, prefill, decode)).collect()
}

fn trial(id: u32, asked: Setting, prefill: f64, decode: f64) -> Trial {
    let drift = 1.0 + 0.0008 * f64::from(id) + 0.01 * f64::from(id * 7 % 5);
    let outcome = if prefill == 0.0 {
        Outcome::Failed(Failure::Crashed {
            signal: Some(11),
            exit_code: None,
            reason: "the worker was killed by SIGSEGV <b>".into(),
            log: vec!["ggml: last words".into()],
        })
    } else {
        Outcome::measured(&run(id, &asked, prefill / drift, decode / drift))
    };
    Trial {
        schema: Trial::SCHEMA.into(),
        id,
        purpose: match id {
            0..=30 => Purpose::Search,
            31..=42 => Purpose::Finalist,
            _ => Purpose::Confirm,
        },
        block: id / 6,
        session: 0,
        source: if id == 4 { Source::Cache } else { Source::Measured },
        started_at: format!("2026-11-20T09:{:02}:{:02}Z", 31 + id * 11 / 60, id * 11 % 60),
        elapsed_ms: 9_000,
        effective: Some(asked.clone()),
        asked,
        work: work(),
        outcome,
        caveats: if id == 9 { vec!["another process used 1.2 cores".into()] } else { Vec::new() },
    }
}

fn run(id: u32, asked: &Setting, prefill: f64, decode: f64) -> Run {
    let per_token = 1e9 / decode;
    let jitter = |token: u64| 1.0 + 0.004 * ((token * 37 + u64::from(id) * 11) % 23) as f64;
    let token_ns: Vec<u64> =
        (0..32).map(|token| nanoseconds(per_token * 0.96 * jitter(token))).collect();
    Run {
        effective: asked.clone(),
        samples: vec![Sample {
            prefill_ns: nanoseconds(256e9 / prefill),
            decode_ns: token_ns.iter().sum(),
            token_ns,
        }],
        memory: MemoryUse {
            peak_resident_bytes: Some(Bytes(1_280_000_000)),
            resident: None,
            buffers: buffers(),
        },
        model: ModelFacts::default(),
        transition: Transition { load_ns: Some(412_000_000), ..Transition::default() },
        caveats: Vec::new(),
        answers: Vec::new(),
        graph: None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of a fixture")]
fn nanoseconds(value: f64) -> u64 {
    value.round() as u64
}

fn buffers() -> Vec<BufferUse> {
    let buffer = |name: &str, model, context, compute| BufferUse {
        name: name.into(),
        model_bytes: Bytes(model),
        context_bytes: Bytes(context),
        compute_bytes: Bytes(compute),
    };
    vec![
        buffer("CPU_Mapped", 508_000_000, 134_217_728, 270_000_000),
        buffer("CPU_REPACK", 299_000_000, 0, 0),
    ]
}

fn candidate(setting: Setting, prefill: f64, decode: f64, evidence: Vec<u32>) -> Candidate {
    let n = u32::try_from(evidence.len()).unwrap();
    Candidate {
        effective: Some(setting.clone()),
        setting,
        prefill_tok_per_s: Some(estimate(prefill, 0.011, n)),
        decode_tok_per_s: Some(estimate(decode, 0.008, n)),
        turn_s: Some(estimate(512.0 / prefill + 256.0 / decode, 0.009, n)),
        ttft_s: Some(estimate(512.0 / prefill + 1.0 / decode, 0.012, n)),
        itl_p50_s: Some(1.0 / decode),
        itl_p99_s: Some(1.06 / decode),
        peak_resident_bytes: Some(Bytes(1_280_000_000)),
        gpu_utilization: None,
        peak_card_bytes: None,
        buffers: buffers(),
        evidence,
    }
}

pub(super) fn findings() -> Findings {
    let of = |setting: &Setting| {
        let all = trials();
        all.iter().filter(|t| &t.asked == setting).map(|t| t.id).collect::<Vec<_>>()
    };
    let (default, tuned) = (default(), tuned());
    let seen = crate::analysis::findings(&plan(), &trials(), "");
    Findings {
        tried: seen.tried,
        frontier: seen.frontier,
        surface: seen.surface,
        schema: Findings::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        baseline: candidate(default.clone(), 401.0, 37.4, of(&default)),
        best: candidate(tuned.clone(), 503.0, 43.4, of(&tuned)),
        tied_with: vec![setting(6, 12, 1024, FlashAttention::On, "icelake")],
        verdict: Verdict::Confirmed {
            turn: change(1.178, Separation::Faster),
            prefill: Some(change(1.254, Separation::Faster)),
            decode: Some(change(1.161, Separation::Faster)),
            evidence: (43..=60).collect(),
        },
        curves: curves(),
        effects: effects(),
        failures: vec![FailedSetting {
            setting: setting(16, 16, 2048, FlashAttention::Off, "icelake"),
            kind: "crashed".into(),
            reason: "the worker was killed by SIGSEGV <b>".into(),
            evidence: vec![17],
        }],
        looked_at: 31,
        space: 1260,
        fitness: Some(Fitness {
            spread: 0.014,
            grade: Grade::B,
            resolves: 0.0077,
            pairs: 28,
            evidence: vec![1, 2],
        }),
        claims: Claims {
            among_finalists: Some(AmongFinalists {
                setting: tuned.clone(),
                within: 0.017,
                confidence: 0.95,
                finalists: 3,
                blocks: 13,
                evidence: vec![31, 32, 33],
            }),
            ceiling: Some(CeilingClaim {
                roof_tok_per_s: 47.1,
                share: 0.921,
                evidence: vec![43, 45],
            }),
            space: None,
        },
        soak: Some(SoakFinding {
            seconds: 181.0,
            slower_at_end: 0.004,
            evidence: vec![58, 59, 60],
        }),
        trials_measured: 58,
        trials_failed: 1,
        trials_cached: 1,
        noise: Some(0.014),
        disturbed: 0.0,
        memory_error: None,
        stopped_because: "the winner was confirmed".into(),
        caveats: vec!["another process used 1.2 cores during trial 9".into()],
    }
}

fn effects() -> Vec<Effect> {
    let count = Level::Count;
    let effect = |knob: &str, from, to, alone, evidence| Effect {
        knob: knob.into(),
        from,
        to,
        alone,
        withdrawn: alone,
        cumulative: alone,
        evidence,
    };
    let faster = |value| Some(change(value, Separation::Faster));
    vec![
        effect("threads", count(8), count(6), faster(1.112), vec![3, 5, 6, 8]),
        effect("threads_batch", count(8), count(16), faster(1.041), vec![9, 11]),
        effect(
            "ubatch",
            count(512),
            count(1024),
            Some(change(1.006, Separation::NotSeparated)),
            vec![12, 14],
        ),
        effect(
            "flash_attention",
            Level::Word("auto".into()),
            Level::Word("on".into()),
            None,
            vec![],
        ),
    ]
}

fn curves() -> Vec<Curve> {
    let curve =
        |knob: &str, phase, points: Vec<CurvePoint>| Curve { knob: knob.into(), phase, points };
    let word = |word: &str| Level::Word(word.into());
    let scaling = |rates: &[(u32, f64)]| -> Vec<CurvePoint> {
        let one = rates[0].1;
        rates
            .iter()
            .map(|(threads, rate)| CurvePoint {
                level: Level::Count(*threads),
                tok_per_s: Some(estimate(*rate, 0.03, 4)),
                speedup: Some(rate / one),
                efficiency: Some(rate / one / f64::from(*threads)),
                evidence: vec![*threads, threads + 1],
            })
            .collect()
    };
    let levels = |rates: &[(Level, Option<f64>)]| -> Vec<CurvePoint> {
        rates
            .iter()
            .map(|(level, rate)| CurvePoint {
                level: level.clone(),
                tok_per_s: rate.map(|rate| estimate(rate, 0.015, 4)),
                speedup: rate.zip(rates[0].1).map(|(rate, first)| rate / first),
                efficiency: None,
                evidence: vec![20, 21],
            })
            .collect()
    };
    let decode = [(1, 10.1), (2, 19.4), (4, 34.0), (6, 41.5), (8, 37.4), (12, 36.2), (16, 34.9)];
    let prefill = [(1, 62.0), (2, 121.0), (4, 232.0), (8, 401.0), (12, 440.0), (16, 468.0)];
    let ubatch = [(128, 371.0), (256, 389.0), (512, 401.0), (1024, 409.0), (2048, 398.0)];
    let ubatch = ubatch.map(|(level, rate)| (Level::Count(level), Some(rate)));
    let attention = [("auto", 37.4), ("off", 36.1), ("on", 37.9)];
    let attention = attention.map(|(level, rate)| (word(level), Some(rate)));
    let isa = |icelake, haswell| {
        levels(&[
            (word("icelake"), Some(icelake)),
            (word("haswell"), Some(haswell)),
            (word("sapphirerapids"), None),
        ])
    };
    vec![
        curve("threads", Phase::Decode, scaling(&decode)),
        curve("threads_batch", Phase::Prefill, scaling(&prefill)),
        curve("ubatch", Phase::Prefill, levels(&ubatch)),
        curve("flash_attention", Phase::Decode, levels(&attention)),
        curve("isa_variant", Phase::Prefill, isa(401.0, 292.0)),
        curve("isa_variant", Phase::Decode, isa(37.4, 32.8)),
    ]
}
