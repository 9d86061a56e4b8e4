//! The simulated machines are what their files say: each has the optimum and the character that
//! the comparison of searches relies on.

use std::path::Path;
use std::time::Duration;

use autotune::cli::simulated;
use autotune::knob;
use autotune::measure::{Bench, NoSensors, calibrate};
use autotune::model::{Axis, Level, Plan};
use autotune::plan::{self, Limits, Wish};
use autotune_engine::api::{Engine, Failure, Job, Setting, Work};
use autotune_engine::sim::{Simulator, World};

/// Fewer machines are no basis for a claim about searches.
const LEAST_WORLDS: usize = 12;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds"))
}

fn worlds() -> Vec<World> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    files.map(|path| World::read(&path).unwrap()).collect()
}

/// A machine, the plan of a sweep on it, and the true time of a turn of each setting.
struct Study {
    world: World,
    plan: Plan,
}

impl Study {
    fn of(name: &str) -> Self {
        Self::new(World::read(&folder().join(name).with_extension("toml")).unwrap())
    }

    fn new(world: World) -> Self {
        let machine = simulated::machine(&world);
        let (here, terrain) = (simulated::here(&machine), simulated::terrain(&machine));
        let card = simulated::model(&world, "m.gguf");
        let workload = simulated::workload(&world);
        let mut engine = Simulator::new(world.clone());
        let clock = engine.clock();
        let variants = engine.variants(&[]).unwrap();
        let identity = engine.identity().unwrap();
        let baseline = plan::baseline(&card, &here, &workload, &variants).0;
        let mut bench = Bench {
            engine: &mut engine,
            clock: &clock,
            sensors: &mut NoSensors,
            model: &card.path,
        };
        let look = plan::first_look(&workload);
        let calibration =
            calibrate(&mut bench, &baseline, &look, Duration::from_secs(900)).unwrap();
        let plan = plan::plan(Wish {
            model: &card,
            here,
            workload,
            engine: identity,
            variants,
            knobs: simulated::knobs(&world).unwrap(),
            terrain,
            fixed: Vec::new(),
            levels: Vec::new(),
            calibration: Some(calibration),
            limits: Limits::of(Some(Duration::from_secs(900)), None),
            prior: None,
            seed: 1,
            created_at: "2026-01-01T00:00:00Z".into(),
            command: "autotune sweep".into(),
        });
        Self { world, plan }
    }

    /// Seconds of a turn of the workload; `None` where it cannot run.
    fn turn_s(&self, setting: &Setting) -> Option<f64> {
        Some(self.world.truth(setting, &self.work(self.plan.workload.depth)).ok()?.total_s())
    }

    fn work(&self, depth: u32) -> Work {
        let workload = &self.plan.workload;
        Work {
            prompt_tokens: workload.prompt_tokens,
            generate_tokens: workload.generate_tokens,
            depth,
            repetitions: 1,
            warmup: false,
            delay_ms: 0,
            seed: 0,
            parallel: 1,
        }
    }

    /// Every setting of the space.
    fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![self.plan.baseline.clone()];
        for axis in &self.plan.axes {
            let next = settings.iter().flat_map(|setting| {
                axis.levels.iter().filter_map(|level| knob::apply(axis, setting, level))
            });
            settings = next.collect();
        }
        settings
    }

    /// The fastest setting of the space and its seconds.
    fn optimum(&self) -> (Setting, f64) {
        let timed = self.settings().into_iter().filter_map(|setting| {
            let seconds = self.turn_s(&setting)?;
            Some((setting, seconds))
        });
        timed.min_by(|a, b| a.1.total_cmp(&b.1)).expect("the baseline runs")
    }

    /// How much longer the default takes than the optimum (0.1 = 10 %).
    fn loss(&self) -> f64 {
        self.turn_s(&self.plan.baseline).unwrap() / self.optimum().1 - 1.0
    }

    fn with(&self, changes: &[(&str, &str)]) -> Setting {
        let mut setting = self.plan.baseline.clone();
        for (name, level) in changes {
            let level = level.parse().map_or_else(|_| Level::Word((*level).into()), Level::Count);
            knob::named(name).unwrap().write(&mut setting, &level).unwrap();
        }
        setting
    }

    fn seconds(&self, changes: &[(&str, &str)]) -> f64 {
        self.turn_s(&self.with(changes)).unwrap()
    }

    /// Seconds of prompt and generation.
    fn parts(&self, changes: &[(&str, &str)]) -> (f64, f64) {
        let setting = self.with(changes);
        let truth = self.world.truth(&setting, &self.work(self.plan.workload.depth)).unwrap();
        (truth.prefill_s, truth.decode_s())
    }

    fn axis(&self, name: &str) -> &Axis {
        self.plan.axes.iter().find(|axis| axis.knob == name).expect(name)
    }
}

#[test]
fn every_world_can_be_planned_repeats_itself_and_has_an_optimum() {
    let worlds = worlds();
    assert!(worlds.len() >= LEAST_WORLDS, "{} worlds", worlds.len());
    for world in worlds {
        let study = Study::new(world.clone());
        assert!(study.plan.axes.len() >= 2, "{}", world.name);
        let (best, seconds) = study.optimum();
        assert!(seconds > 0.0 && study.loss() >= 0.0);
        let job = Job {
            model: "m.gguf".into(),
            setting: best,
            work: Work { repetitions: 3, warmup: true, ..study.plan.protocol.slice.clone() },
        };
        let run = |seed| {
            let mut simulator = Simulator::seeded(world.clone(), seed);
            let run = simulator.run(&job, Duration::from_secs(3600)).unwrap();
            (run, simulator.clock())
        };
        assert_eq!(run(7).0, run(7).0, "{}", world.name);
        assert_ne!(run(7).0.samples, run(8).0.samples, "{}", world.name);
    }
}

#[test]
fn where_there_is_nothing_to_gain_the_default_is_as_good_as_anything() {
    for name in ["flat", "flat-2c-vm", "noisy-2c-vm", "unified-memory"] {
        let loss = Study::of(name).loss();
        assert!(loss < 0.01, "{name}: {loss}");
    }
    for name in ["flat", "flat-2c-vm"] {
        let study = Study::of(name);
        let worst = study.settings().iter().filter_map(|it| study.turn_s(it)).fold(0.0, f64::max);
        assert!(worst / study.optimum().1 < 1.01, "{name}: {worst}");
    }
}

#[test]
fn a_server_generates_with_few_threads_and_reads_prompts_with_all() {
    let study = Study::of("smt-server-64t");
    let best = study.optimum().0.threads;
    assert!(best.threads <= 16 && best.threads_batch == 64, "{best:?}");
    assert!(study.loss() > 0.08, "{}", study.loss());
}

#[test]
fn slow_cores_are_left_alone() {
    let study = Study::of("hybrid-laptop");
    assert_eq!(study.plan.baseline.threads.threads, 6, "one for each fast core");
    let best = study.optimum().0.threads;
    assert!(best.threads <= 6, "{best:?}");
    assert!(study.seconds(&[("threads", "8")]) > 1.2 * study.seconds(&[]));
}

#[test]
fn two_nodes_are_worse_than_one_until_pages_are_where_they_are_read() {
    let study = Study::of("numa-2-nodes");
    let mut levels = study.axis("placement").levels.iter().map(ToString::to_string);
    let one = levels.find(|level| level.starts_with("one_node")).unwrap();
    let node = [("placement", one.as_str()), ("threads", "24"), ("threads_batch", "24")];
    let two = study.parts(&[]).1;
    assert!(study.parts(&node).1 < 0.9 * two);
    assert!(study.parts(&[("numa", "distribute")]).1 < 0.7 * study.parts(&node).1);
    assert!(study.parts(&[("memory_policy", "interleave")]).1 < 0.8 * study.parts(&node).1);
    assert!(study.loss() > 0.5, "{}", study.loss());
}

#[test]
fn a_card_has_an_edge_and_the_last_layer_that_fits_is_best() {
    let study = Study::of("gpu-partial");
    let at = |layers: u32| study.turn_s(&study.with(&[("gpu_layers", &layers.to_string())]));
    let most = (0..=41).rev().find(|layers| at(*layers).is_some()).unwrap();
    let own = knob::named("gpu_layers").unwrap().read(&study.plan.baseline);
    assert!(matches!(own, Level::Count(count) if count < most && count > 20), "{own} of {most}");
    for layers in 1..=most {
        assert!(at(layers).unwrap() < at(layers - 1).unwrap(), "{layers}");
    }
    let beyond = study.with(&[("gpu_layers", "all")]);
    let failure = study.world.truth(&beyond, &study.work(0)).unwrap_err();
    assert!(matches!(failure, Failure::OutOfMemory { .. }), "{failure}");
}

#[test]
fn a_card_that_holds_all_leaves_the_physical_batch() {
    let study = Study::of("gpu-full");
    let (best, _) = study.optimum();
    assert!(best.context.ubatch >= 1024 && study.loss() > 0.01, "{best:?}");
    let (few, many) = (study.seconds(&[("threads", "1")]), study.seconds(&[("threads", "8")]));
    assert!((few / many - 1.0).abs() < 1e-9);
    assert!(study.seconds(&[("gpu_layers", "24")]) > 3.0 * study.seconds(&[]));
}

#[test]
fn experts_are_what_is_left_behind() {
    let study = Study::of("moe-offload");
    let best = study.optimum().0.load;
    assert_eq!(knob::named("gpu_layers").unwrap().read(&study.optimum().0).to_string(), "all");
    assert!((1..=36).contains(&best.cpu_experts), "{best:?}");
    assert!(study.loss() > 0.1, "{}", study.loss());
    let none = study.with(&[("gpu_layers", "all"), ("cpu_experts", "0")]);
    assert!(study.turn_s(&none).is_none(), "all of it does not fit");
}

#[test]
fn a_model_in_the_cache_waits_for_its_threads() {
    let study = Study::of("tiny-in-cache");
    let best = study.optimum().0.threads;
    assert!(best.threads <= 8 && best.threads_batch > 16 && best.poll == 100, "{best:?}");
    assert!(study.loss() > 0.2, "{}", study.loss());
}

#[test]
fn a_quota_is_a_cliff_for_the_default() {
    let study = Study::of("quota-of-16");
    assert_eq!(study.plan.baseline.threads.threads, 16);
    let best = study.optimum().0.threads;
    assert_eq!((best.threads, best.threads_batch), (3, 3));
    assert!(study.loss() > 5.0, "{}", study.loss());
}

#[test]
fn the_best_variant_that_lives_is_not_the_best_scored() {
    let study = Study::of("crashing-variant");
    let best = study.optimum().0;
    assert_eq!(best.process.isa_variant.as_deref(), Some("icelake"));
    let failing = study.settings().iter().filter(|it| study.turn_s(it).is_none()).count();
    assert!(failing > 20, "{failing}");
}

#[test]
fn the_best_physical_batch_depends_on_the_depth() {
    let study = Study::of("vulkan-igpu");
    let best_at = |depth| {
        let timed = [64, 128, 256, 512, 1024, 2048].map(|ubatch: u32| {
            let setting = study.with(&[("ubatch", &ubatch.to_string())]);
            (ubatch, study.world.truth(&setting, &study.work(depth)).unwrap().prefill_s)
        });
        timed.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
    };
    assert!(best_at(0) >= 1024 && best_at(16_384) <= 256, "{} {}", best_at(0), best_at(16_384));
}

#[test]
fn there_is_something_to_find_under_recorded_noise() {
    for name in ["loaded-vm", "moderate-vm"] {
        let study = Study::of(name);
        assert_eq!(study.optimum().0.context.flash_attention.word(), "off", "{name}");
        assert!(study.loss() > 0.1, "{name}: {}", study.loss());
    }
}
