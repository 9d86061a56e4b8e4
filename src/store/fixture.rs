//! Documents for the tests of this module.

use autotune_engine::api::{
    Bytes, ContextSetting, Failure, Identity, LoadSetting, MemoryUse, ModelFacts, ProcessSetting,
    Run, Sample, Setting, ThreadSetting, Threading, Transition, Work,
};

use crate::model::{Machine, ModelCard, Outcome, Plan, Protocol, Purpose, Source, Trial, Workload};

pub(super) fn machine() -> Machine {
    let json = serde_json::json!({
        "schema": "autotune.machine/1",
        "tool_version": "0.1.0",
        "captured_at": "2026-01-02T03:04:05Z",
        "provenance": "captured",
        "os": { "name": "linux", "version": null, "kernel": null, "architecture": "x86_64",
            "hypervisor": null, "container": null },
        "cpu": { "vendor": null, "model": null, "microarchitecture": null, "isa": [],
            "isa_level": null, "packages": 1, "cores": 2, "threads": 2, "threads_online": 2,
            "threads_allowed": 2, "smt": 1, "kinds": [], "caches": [], "base_hz": null,
            "max_hz": null, "governor": null, "turbo": null },
        "numa": { "nodes": [], "distances": [] },
        "memory": { "total_bytes": 1, "available_bytes": 1, "swap_total_bytes": 0,
            "transparent_huge_pages": null, "huge_pages": [], "channels": null,
            "speed_mt_per_s": null, "kind": null },
        "limits": { "cgroup_version": null, "cpu_quota_cores": null, "cpuset": null,
            "memory_limit_bytes": null, "locked_memory_bytes": null, "usable_threads": 2 },
        "gpus": [],
        "storage": { "model_cache_path_device": null, "kind": null },
        "ceilings": null,
        "recommendation": { "offload": "none", "class": "small" },
        "unseen": {},
    });
    serde_json::from_value(json).expect("the contract's machine document")
}

pub(super) fn setting() -> Setting {
    Setting {
        process: ProcessSetting { isa_variant: Some("haswell".to_owned()), ..Default::default() },
        load: LoadSetting::default(),
        context: ContextSetting::default(),
        threads: ThreadSetting::of(2),
    }
}

pub(super) fn work() -> Work {
    Work {
        prompt_tokens: 64,
        generate_tokens: 2,
        depth: 0,
        repetitions: 2,
        warmup: true,
        delay_ms: 0,
        seed: 1,
        parallel: 1,
    }
}

pub(super) fn identity() -> Identity {
    Identity {
        name: "sim".to_owned(),
        version: "1".to_owned(),
        ggml_version: "1".to_owned(),
        binding_version: "1".to_owned(),
        threading: Threading::Ggml,
        synthetic: true,
    }
}

pub(super) fn plan() -> Plan {
    Plan {
        schema: Plan::SCHEMA.to_owned(),
        tool_version: "0.1.0".to_owned(),
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        command: "autotune sweep".to_owned(),
        model: model(),
        workload: Workload {
            name: "chat".to_owned(),
            description: String::new(),
            prompt_tokens: 64,
            generate_tokens: 2,
            depth: 0,
            context: 4096,
            ..Workload::default()
        },
        engine: identity(),
        variants: Vec::new(),
        baseline: setting(),
        baseline_notes: Vec::new(),
        axes: Vec::new(),
        rejected: Vec::new(),
        protocol: Protocol {
            slice: work(),
            strategy: crate::model::Strategy::Auto,
            record_grid: 0,
            fitness_pairs: 3,
            certify_blocks: 9,
            certify_within: 0.02,
            soak_ms: 0,
            curve_share: 0.25,
            audit: 0,
            target: None,
            finalists: 2,
            finalist_blocks: 1,
            confirm_pairs: [8, 12],
            indifference: 0.01,
            confidence: 0.95,
            budget_ms: None,
            max_trials: None,
            calibration: None,
        },
        prior: None,
        seed: 1,
        goals: Vec::new(),
        context_memory: Vec::new(),
    }
}

fn model() -> ModelCard {
    ModelCard {
        path: "/models/tiny.gguf".into(),
        name: Some("Tiny Model: 1B/Q4".to_owned()),
        architecture: "llama".to_owned(),
        file_bytes: Bytes(1),
        digest: "0".to_owned(),
        synthetic: true,
        parameters: 1,
        layers: 1,
        embedding: 1,
        heads: 1,
        kv_heads: 1,
        key_length: 1,
        value_length: 1,
        feed_forward: 1,
        experts: 0,
        experts_used: 0,
        vocabulary: 1,
        trained_context: 4096,
        sliding_window: None,
        types: Vec::new(),
        bytes_per_token: Bytes(1),
    }
}

fn trial(id: u32, outcome: Outcome, effective: Option<Setting>) -> Trial {
    Trial {
        schema: Trial::SCHEMA.to_owned(),
        id,
        purpose: Purpose::Search,
        block: 0,
        session: 0,
        source: Source::Measured,
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        elapsed_ms: 12,
        asked: setting(),
        effective,
        work: work(),
        outcome,
        caveats: vec!["the \"clock\" dropped, a lot\nindeed".to_owned()],
    }
}

pub(super) fn measured(id: u32) -> Trial {
    let sample = |step: u64| Sample {
        prefill_ns: 500_000_000 + step,
        decode_ns: 40_000_000 + step,
        token_ns: vec![20_000_000, 20_000_000 + step],
    };
    let run = Run {
        effective: setting(),
        samples: vec![sample(0), sample(1)],
        memory: MemoryUse {
            peak_resident_bytes: Some(Bytes(77)),
            resident: None,
            buffers: Vec::new(),
        },
        model: ModelFacts::default(),
        transition: Transition { load_ns: Some(5), ..Transition::default() },
        caveats: Vec::new(),
        answers: Vec::new(),
        graph: None,
    };
    trial(id, Outcome::measured(&run), Some(setting()))
}

pub(super) fn crashed(id: u32) -> Trial {
    let failure = Failure::Crashed {
        signal: Some(11),
        exit_code: None,
        reason: "signal 11, in \u{fc}ber-kernel".to_owned(),
        log: vec!["last, words".to_owned()],
    };
    trial(id, Outcome::Failed(failure), None)
}
