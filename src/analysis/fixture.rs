//! Sweeps on simulated machines, for the tests of this module.

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{
    Bytes, ContextSetting, Engine, Job, LoadSetting, ProcessSetting, Setting, ThreadSetting, Work,
};
use autotune_engine::sim::{Simulator, World};

use crate::knob;
use crate::model::{
    Axis, Level, ModelCard, Outcome, Plan, Protocol, Purpose, Scope, Source, Strategy, Trial,
    Workload,
};

pub(super) const QUIET: &str = include_str!("../../tests/worlds/quiet-8c.toml");
pub(super) const NOISY: &str = include_str!("../../tests/worlds/noisy-2c-vm.toml");
pub(super) const CRASHING: &str = include_str!("../../tests/worlds/crashing-variant.toml");
pub(super) const FLAT: &str = include_str!("../../tests/worlds/flat.toml");

/// A plan with its trials so far.
pub(super) struct Sweep {
    pub(super) plan: Plan,
    pub(super) trials: Vec<Trial>,
    pub(super) session: u32,
    simulator: Simulator,
}

impl Sweep {
    pub(super) fn new(world: &str, seed: u64) -> Self {
        let world = World::parse(world, Path::new("world.toml")).unwrap();
        let mut simulator = Simulator::seeded(world, seed);
        let plan = plan(&mut simulator);
        Self { plan, trials: Vec::new(), session: 0, simulator }
    }

    /// Runs one visit.
    pub(super) fn visit(&mut self, purpose: Purpose, block: u32, setting: &Setting) {
        let job = Job {
            model: self.plan.model.path.clone(),
            setting: setting.clone(),
            work: self.plan.protocol.slice.clone(),
        };
        let answer = self.simulator.run(&job, Duration::from_secs(30));
        self.trials.push(Trial {
            schema: Trial::SCHEMA.to_owned(),
            id: u32::try_from(self.trials.len()).unwrap() + 1,
            purpose,
            block,
            session: self.session,
            source: Source::Measured,
            started_at: "2026-01-02T03:04:05Z".to_owned(),
            elapsed_ms: 1,
            asked: setting.clone(),
            effective: answer.as_ref().ok().map(|run| run.effective.clone()),
            work: job.work,
            outcome: match answer {
                Ok(run) => Outcome::measured(&run),
                Err(failure) => Outcome::Failed(failure),
            },
            caveats: Vec::new(),
        });
    }

    /// The baseline with one knob at another level.
    pub(super) fn with(&self, knob: &str, level: &Level) -> Setting {
        let axis = self.plan.axes.iter().find(|axis| axis.knob == knob).unwrap();
        knob::apply(axis, &self.plan.baseline, level).unwrap()
    }

    /// Every level of every knob beside the baseline, one setting per block.
    pub(super) fn screen(&mut self, rounds: u32) {
        let mut block = 0;
        for _ in 0..rounds {
            for axis in self.plan.axes.clone() {
                for level in axis.levels {
                    let setting = self.with(&axis.knob, &level);
                    let baseline = self.plan.baseline.clone();
                    if setting == baseline {
                        continue;
                    }
                    self.pair(Purpose::Search, block, &setting);
                    block += 1;
                }
            }
        }
    }

    /// Every level of every knob around a setting, in rounds.
    pub(super) fn curve(&mut self, best: &Setting, rounds: u32) {
        for block in 0..rounds {
            for axis in self.plan.axes.clone() {
                for level in &axis.levels {
                    let setting = knob::apply(&axis, best, level).unwrap();
                    self.visit(Purpose::Curve, block, &setting);
                }
            }
        }
    }

    /// Pairs of a setting and the baseline, the order turned round each time.
    pub(super) fn pairs(&mut self, purpose: Purpose, setting: &Setting, count: u32) {
        for block in 0..count {
            self.pair(purpose, block, setting);
        }
    }

    fn pair(&mut self, purpose: Purpose, block: u32, setting: &Setting) {
        let baseline = self.plan.baseline.clone();
        let order =
            if block.is_multiple_of(2) { [setting, &baseline] } else { [&baseline, setting] };
        for setting in order {
            self.visit(purpose, block, setting);
        }
    }
}

fn plan(simulator: &mut Simulator) -> Plan {
    let baseline = Setting {
        process: ProcessSetting { isa_variant: Some("icelake".into()), ..Default::default() },
        load: LoadSetting::default(),
        context: ContextSetting::default(),
        threads: ThreadSetting::of(2),
    };
    let counts = |levels: &[u32]| levels.iter().map(|count| Level::Count(*count)).collect();
    let words = |levels: &[&str]| levels.iter().map(|word| Level::Word((*word).into())).collect();
    let axis = |knob: &str, levels| Axis { knob: knob.to_owned(), scope: Scope::Context, levels };
    Plan {
        schema: Plan::SCHEMA.to_owned(),
        tool_version: "0".to_owned(),
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        command: "autotune sweep".to_owned(),
        model: model(),
        workload: Workload {
            name: "chat".to_owned(),
            description: String::new(),
            prompt_tokens: 512,
            generate_tokens: 128,
            depth: 0,
            context: 4096,
            ..Workload::default()
        },
        engine: simulator.identity().unwrap(),
        variants: simulator.variants(&[]).unwrap(),
        baseline,
        baseline_notes: Vec::new(),
        axes: vec![
            axis("threads", counts(&[1, 2, 4])),
            axis("ubatch", counts(&[128, 512, 2048])),
            axis("isa_variant", words(&["icelake", "haswell"])),
        ],
        rejected: Vec::new(),
        protocol: Protocol {
            slice: Work {
                prompt_tokens: 512,
                generate_tokens: 8,
                depth: 0,
                repetitions: 1,
                warmup: false,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
            strategy: Strategy::Auto,
            record_grid: 0,
            fitness_pairs: 3,
            finalists: 4,
            finalist_blocks: 3,
            certify_blocks: 9,
            certify_within: 0.02,
            confirm_pairs: [8, 16],
            soak_ms: 0,
            curve_share: 0.25,
            audit: 0,
            target: None,
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
        path: PathBuf::from("m.gguf"),
        name: None,
        architecture: "llama".to_owned(),
        file_bytes: Bytes(800_000_000),
        digest: "0".to_owned(),
        synthetic: true,
        parameters: 1_236_000_000,
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
        types: Vec::new(),
        bytes_per_token: Bytes(760_000_000),
    }
}
