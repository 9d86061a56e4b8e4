//! Appending a trial to the journal, synced: what promise 2 ("no trial lost") costs per trial.
//! Beside it the same line without the journal, so that the disk's share can be seen.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use autotune::model::{Outcome, Purpose, Source, Trial};
use autotune::store::RunDirectory;
use autotune_engine::api::{
    ContextSetting, LoadSetting, MemoryUse, ModelFacts, ProcessSetting, Run, Sample, Setting,
    ThreadSetting, Transition, Work,
};
use divan::{Bencher, black_box};
use serde_json::json;

fn main() {
    divan::main();
}

/// A folder on the disk that holds the build, since a temporary folder may be in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder")
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn append_synced(bencher: Bencher<'_, '_>) {
    let folder = folder();
    let mut run = run_directory(&folder.path().join("run"));
    let mut trial = trial();
    trial.id = 0;
    bencher.bench_local(|| {
        trial.id += 1;
        run.append(black_box(&trial)).expect("room on the disk");
    });
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn plain_write_and_sync(bencher: Bencher<'_, '_>) {
    let folder = folder();
    let mut file = File::create(folder.path().join("lines")).expect("the build's own folder");
    let line = serde_json::to_string(&trial()).expect("plain values serialize") + "\n";
    bencher.bench_local(|| {
        file.write_all(black_box(line.as_bytes())).expect("room on the disk");
        file.sync_data().expect("room on the disk");
    });
}

#[divan::bench]
fn serialize_only() -> String {
    serde_json::to_string(black_box(&trial())).expect("plain values serialize")
}

/// A trial as a sweep writes it: two repetitions of 256 prompt and 64 generated tokens.
fn trial() -> Trial {
    let sample = Sample {
        prefill_ns: 1_234_567_890,
        decode_ns: 64 * 25_000_000,
        token_ns: (0..64).map(|index| 25_000_000 + index * 1_003).collect(),
    };
    let run = Run {
        effective: setting(),
        samples: vec![sample; 2],
        memory: MemoryUse::default(),
        model: ModelFacts::default(),
        transition: Transition::default(),
        caveats: Vec::new(),
        answers: Vec::new(),
        graph: None,
    };
    Trial {
        schema: Trial::SCHEMA.to_owned(),
        id: 1,
        purpose: Purpose::Search,
        block: 0,
        session: 0,
        source: Source::Measured,
        started_at: "2026-01-02T03:04:05Z".to_owned(),
        elapsed_ms: 6_000,
        asked: setting(),
        effective: Some(setting()),
        work: work(),
        outcome: Outcome::measured(&run),
        caveats: Vec::new(),
    }
}

fn setting() -> Setting {
    Setting {
        process: ProcessSetting { isa_variant: Some("haswell".to_owned()), ..Default::default() },
        load: LoadSetting::default(),
        context: ContextSetting::default(),
        threads: ThreadSetting::of(8),
    }
}

fn work() -> Work {
    Work {
        prompt_tokens: 256,
        generate_tokens: 64,
        depth: 0,
        repetitions: 2,
        warmup: true,
        delay_ms: 0,
        seed: 1,
        parallel: 1,
    }
}

/// A run directory with the documents of a real run.
fn run_directory(path: &Path) -> RunDirectory {
    let read = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/chat-2-core-vm").join(name);
        std::fs::read_to_string(file).expect("part of the project")
    };
    let machine = serde_json::from_str(&read("machine.json")).expect("a machine document");
    let plan = serde_json::from_value(with_settings(&read("plan.json"))).expect("a plan document");
    RunDirectory::create(path, &machine, &plan).expect("the build's own folder")
}

/// The plan document with today's shape of a setting, so that only what is not ours here is fixed.
fn with_settings(plan: &str) -> serde_json::Value {
    let mut plan: serde_json::Value = serde_json::from_str(plan).expect("JSON");
    plan["baseline"] = json!(setting());
    plan["protocol"]["slice"] = json!(work());
    plan
}
