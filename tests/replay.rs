//! A recorded grid is a machine too: recorded with the simulator here, searched as any other.

#[path = "engine/contract.rs"]
mod contract;
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune::cli::simulated;
use autotune::knob;
use autotune::measure::{Bench, NoSensors, Visit, visit};
use autotune::model::{Axis, Level, Plan, Purpose, Scope};
use autotune::plan::{self, Limits, Wish};
use autotune::store::RunDirectory;
use autotune_engine::api::{Engine, Job, ModelFacts, Setting, ThreadSetting, Work};
use autotune_engine::replay::{Measured, Record, Recording, Replay};
use autotune_engine::sim::{Simulator, World};

use support::{autotune, run};

/// The grid: what of the quiet machine differs most.
const GRID: [(&str, &[u32]); 3] =
    [("threads", &[2, 4, 8]), ("threads_batch", &[4, 8, 16]), ("ubatch", &[128, 256, 512])];
/// Visits to each setting.
const VISITS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(900);

fn world() -> World {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds"));
    World::read(&folder.join("quiet-8c.toml")).unwrap()
}

fn work() -> Work {
    Work {
        prompt_tokens: 512,
        generate_tokens: 32,
        depth: 0,
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed: 1,
        parallel: 1,
    }
}

fn planned(world: &World) -> Plan {
    let machine = simulated::machine(world);
    let mut engine = Simulator::new(world.clone());
    let card = simulated::model(world, "recorded.gguf");
    plan::plan(Wish {
        model: &card,
        here: simulated::here(&machine),
        workload: plan::built_in().remove(0),
        engine: engine.identity().unwrap(),
        variants: engine.variants(&[]).unwrap(),
        knobs: knob::usual(),
        terrain: simulated::terrain(&machine),
        fixed: Vec::new(),
        levels: Vec::new(),
        calibration: None,
        limits: Limits::of(None, None),
        prior: None,
        seed: 3,
        created_at: "2026-01-01T00:00:00Z".into(),
        command: "autotune sweep".into(),
    })
}

fn grid(baseline: &Setting) -> Vec<Setting> {
    let mut settings = vec![baseline.clone()];
    for (name, levels) in GRID {
        let levels: Vec<Level> = levels.iter().copied().map(Level::Count).collect();
        let axis = Axis { knob: name.into(), scope: Scope::Context, levels: levels.clone() };
        let next = settings.iter().flat_map(|setting| {
            levels.iter().filter_map(|level| knob::apply(&axis, setting, level))
        });
        settings = next.collect();
    }
    settings
}

/// Visits every setting of the grid in turn and keeps the journal.
fn recorded(folder: &Path, world: &World) -> Plan {
    let mut plan = planned(world);
    plan.axes.retain(|axis| GRID.iter().any(|(name, _)| axis.knob == *name));
    for axis in &mut plan.axes {
        let (_, levels) = GRID.iter().find(|(name, _)| axis.knob == *name).unwrap();
        axis.levels = levels.iter().copied().map(Level::Count).collect();
    }
    let mut run = RunDirectory::create(folder, &simulated::machine(world), &plan).unwrap();
    let mut engine = Simulator::new(world.clone());
    let clock = engine.clock();
    let mut bench = Bench {
        engine: &mut engine,
        clock: &clock,
        sensors: &mut NoSensors,
        model: &plan.model.path,
    };
    let mut id = 0;
    for block in 0..VISITS {
        for setting in grid(&plan.baseline) {
            id += 1;
            let visited = Visit {
                id,
                purpose: Purpose::Search,
                block,
                session: 0,
                setting,
                work: work(),
                started_at: "2026-01-01T00:00:00Z".into(),
            };
            run.append(&visit(&mut bench, visited, PATIENCE)).unwrap();
        }
    }
    plan
}

/// Seconds of a turn, free of noise.
fn turn_s(world: &World, plan: &Plan, setting: &Setting) -> f64 {
    let work = work();
    let truth = world.truth(setting, &work).unwrap();
    plan.workload.turn_seconds(
        truth.prefill_s_per_token(&work).unwrap(),
        truth.decode_s_per_token().unwrap(),
    )
}

/// A sweep over the grid on the record, and its findings.
fn swept(home: &Path, engine: &str, more: &[&str]) -> (support::Printed, PathBuf) {
    let out = home.join("out");
    let _ = std::fs::remove_dir_all(&out);
    let mut command = autotune(home);
    command.args(["sweep", "--engine", engine, "--budget", "10m", "--no-cache", "--out"]);
    command.arg(&out);
    for (name, levels) in GRID {
        let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
        command.args(["--grid", &format!("{name}={}", levels.join(","))]);
    }
    command.args(["--knobs", "threads,threads_batch,ubatch"]).args(more);
    (run(&mut command), out)
}

#[test]
fn a_search_on_a_record_finds_the_best_that_was_recorded() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("recorded");
    let world = world();
    let plan = recorded(&folder, &world);
    let best = grid(&plan.baseline)
        .iter()
        .map(|setting| turn_s(&world, &plan, setting))
        .fold(f64::INFINITY, f64::min);
    for (engine, more) in [
        (format!("replay:{}", folder.display()), &[][..]),
        (format!("replay:{}/trials.jsonl", folder.display()), &["--model", "other.gguf"][..]),
    ] {
        let (printed, out) = swept(home.path(), &engine, more);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let text = std::fs::read_to_string(out.join("findings.json")).unwrap();
        let findings: serde_json::Value = serde_json::from_str(&text).unwrap();
        let setting = findings["best"]["setting"].clone();
        let found: Setting = serde_json::from_value(setting).unwrap();
        let lost = turn_s(&world, &plan, &found) / best - 1.0;
        assert!(lost < 0.01, "{:.1} % off: {found:?}", 100.0 * lost);
        let text = std::fs::read_to_string(out.join("plan.json")).unwrap();
        let replayed: Plan = serde_json::from_str(&text).unwrap();
        assert!(replayed.engine.synthetic && replayed.engine.name == "replay");
        let name = if more.is_empty() { "recorded.gguf" } else { "other.gguf" };
        assert_eq!(replayed.model.path, Path::new(name));
    }
}

#[test]
fn without_a_word_about_knobs_only_what_was_recorded_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("recorded");
    let recorded = recorded(&folder, &world());
    let out = home.path().join("out");
    let mut command = autotune(home.path());
    command.args(["sweep", "--engine", &format!("replay:{}", folder.display())]);
    command.args(["--budget", "10m", "--no-cache", "--out"]).arg(&out);
    let printed = run(&mut command);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let replayed: Plan = serde_json::from_str(&read("plan.json")).unwrap();
    let levels = |plan: &Plan| -> Vec<(String, usize)> {
        plan.axes.iter().map(|axis| (axis.knob.clone(), axis.levels.len())).collect()
    };
    assert_eq!(levels(&replayed), levels(&recorded));
    let findings: serde_json::Value = serde_json::from_str(&read("findings.json")).unwrap();
    assert_eq!(findings["trials_failed"], 0, "{}", printed.stderr);
}

#[test]
fn grids_of_a_real_machine_are_worlds_too() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds"));
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let grids: Vec<PathBuf> = entries.filter(|it| it.join("trials.jsonl").exists()).collect();
    assert!(grids.len() >= 2, "{grids:?}");
    for grid in grids {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("out");
        let mut command = autotune(home.path());
        command.args(["sweep", "--engine", &format!("replay:{}", grid.display())]);
        command.args(["--budget", "5m", "--no-cache", "--out"]).arg(&out);
        let printed = run(&mut command);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let text = std::fs::read_to_string(out.join("findings.json")).unwrap();
        let findings: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(findings["trials_failed"], 0, "{}", printed.stderr);
        assert!(findings["trials_measured"].as_u64().unwrap() > 30, "{}", printed.stderr);
    }
}

#[test]
fn what_is_no_record_is_refused_in_a_line() {
    let home = tempfile::tempdir().unwrap();
    let engine = format!("replay:{}", home.path().join("nowhere").display());
    let printed = swept(home.path(), &engine, &[]).0;
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    assert!(printed.stderr.contains("nowhere"), "{}", printed.stderr);
    let folder = home.path().join("empty");
    let world = world();
    drop(RunDirectory::create(&folder, &simulated::machine(&world), &planned(&world)).unwrap());
    let printed = swept(home.path(), &format!("replay:{}", folder.display()), &[]).0;
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    assert!(printed.stderr.contains("nothing was measured"), "{}", printed.stderr);
}

fn job(setting: Setting) -> Job {
    Job { model: "m.gguf".into(), setting, work: work() }
}

fn four_threads(plan: &Plan) -> Setting {
    let threads = ThreadSetting::of(4);
    Setting { threads, ..plan.baseline.clone() }
}

#[test]
fn the_simulator_keeps_the_promises_of_every_engine() {
    let world = world();
    let setting = four_threads(&planned(&world));
    contract::hold(&mut Simulator::new(world), &job(setting));
}

#[test]
fn a_replay_keeps_the_promises_of_every_engine() {
    let world = world();
    let setting = four_threads(&planned(&world));
    let mut engine = Simulator::new(world);
    let run = engine.run(&job(setting.clone()), PATIENCE).unwrap();
    let record = Record {
        asked: setting.clone(),
        work: work(),
        elapsed: Duration::from_secs(5),
        outcome: Ok(Measured {
            effective: run.effective,
            samples: run.samples,
            memory: run.memory,
            transition: run.transition,
        }),
    };
    let recording = Recording {
        identity: engine.identity().unwrap(),
        variants: engine.variants(&[]).unwrap(),
        devices: Vec::new(),
        model: ModelFacts::default(),
        records: vec![record],
        canonical: knob::canonical,
    };
    contract::hold(&mut Replay::seeded(recording, 1), &job(setting));
}
