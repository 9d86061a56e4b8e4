//! Whole sweeps on simulated machines, whose truth is known.

use std::path::Path;
use std::time::Duration;

use autotune_engine::api::{Bytes, Engine, Failure, Identity, Job, Run, VariantReport};
use autotune_engine::sim::{Simulator, VirtualClock, World};

use super::*;
use crate::knob;
use crate::measure::{NoSensors, calibrate};
use crate::model::{Level, ModelCard, Prior, PriorPoint, Purpose, Verdict};
use crate::plan::{self, Here, Limits, Wish};
use crate::stats::{Separation, paired_change};

/// A journal in memory, which may be where the program is killed.
#[derive(Default)]
struct Notes(Vec<Trial>);

impl Journal for Notes {
    fn append(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.push(trial.clone());
        Ok(())
    }
}

#[derive(Default)]
struct Earlier(Vec<Trial>);

impl Cache for Earlier {
    fn get(&mut self, setting: &Setting, work: &Work) -> Option<Trial> {
        self.0.iter().rfind(|trial| trial.asked == *setting && trial.work == *work).cloned()
    }

    fn put(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.push(trial.clone());
        Ok(())
    }
}

/// What befalls the run of this number, counted from 0 in each session.
type Fate = fn(&Plan, usize, &Job) -> Option<Failure>;

/// A simulated machine with accidents that no setting is the cause of.
struct Fateful<'a> {
    engine: &'a mut Simulator,
    plan: &'a Plan,
    fate: Fate,
    runs: usize,
}

impl Engine for Fateful<'_> {
    fn identity(&mut self) -> Result<Identity, Failure> {
        self.engine.identity()
    }

    fn variants(&mut self, weight_types: &[String]) -> Result<Vec<VariantReport>, Failure> {
        self.engine.variants(weight_types)
    }

    fn run(&mut self, job: &Job, deadline: Duration) -> Result<Run, Failure> {
        self.runs += 1;
        match (self.fate)(self.plan, self.runs - 1, job) {
            None => self.engine.run(job, deadline),
            Some(failure) => {
                if let Failure::TimedOut { .. } = failure {
                    self.engine.clock().advance(deadline);
                }
                Err(failure)
            }
        }
    }
}

fn killed() -> Failure {
    let reason = "killed by SIGKILL from outside".to_owned();
    Failure::Crashed { signal: Some(9), exit_code: None, reason, log: Vec::new() }
}

fn late() -> Failure {
    Failure::TimedOut { deadline_ms: 1, log: Vec::new() }
}

fn out_of_memory() -> Failure {
    Failure::OutOfMemory { reason: "the worker was killed".into(), log: Vec::new() }
}

struct Lab {
    engine: Simulator,
    clock: VirtualClock,
    plan: Plan,
    fate: Fate,
}

fn world(name: &str) -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds");
    World::read(&folder.join(name).with_extension("toml")).unwrap()
}

fn endless() -> Limits {
    Limits::of(None, None)
}

fn minutes(count: u64) -> Limits {
    Limits::of(Some(Duration::from_secs(60 * count)), None)
}

fn lab(world: World, seed: u64, limits: Limits) -> Lab {
    let machine = world.machine;
    let mut card = plan::tests::card();
    card.file_bytes = Bytes(world.model.size_bytes);
    let prior = peaks(&world);
    let mut engine = Simulator::seeded(world, seed);
    let clock = engine.clock();
    let here = Here {
        physical_cores: machine.cores,
        online_threads: machine.cores * machine.smt,
        usable_threads: machine.usable_threads.unwrap_or(machine.cores * machine.smt),
        available_memory: Some(Bytes(machine.memory_bytes)),
        gpu_memory: None,
        gpu_layers: None,
    };
    let plan =
        Plan { prior: Some(prior), ..planned(&mut engine, &clock, &card, here, limits, seed) };
    Lab { engine, clock, plan, fate: |_, _, _| None }
}

/// What measured peaks would let expect.
fn peaks(world: &World) -> Prior {
    let point = |threads: u32| {
        let peak = world.peak(threads);
        PriorPoint {
            threads,
            prefill_tok_per_s: Some(peak.flops / (2.0 * world.model.parameters as f64)),
            decode_tok_per_s: Some(peak.bandwidth_bytes_per_s / world.model.bytes_per_token as f64),
        }
    };
    let threads: Vec<PriorPoint> = (1..=world.usable_threads()).map(point).collect();
    Prior { threads, decode_roof_tok_per_s: None }
}

fn planned(
    engine: &mut Simulator,
    clock: &VirtualClock,
    card: &ModelCard,
    here: Here,
    limits: Limits,
    seed: u64,
) -> Plan {
    let workload = plan::built_in().remove(0);
    let variants = engine.variants(&[]).unwrap();
    let baseline = plan::baseline(card, &here, &workload, &variants).0;
    let look = plan::first_look(&workload);
    let identity = engine.identity().unwrap();
    let mut bench = Bench { engine, clock, sensors: &mut NoSensors, model: &card.path };
    let calibration = calibrate(&mut bench, &baseline, &look, Duration::from_secs(99)).unwrap();
    plan::plan(Wish {
        here,
        workload,
        variants,
        engine: identity,
        calibration: Some(calibration),
        limits,
        seed,
        ..plan::tests::wish(card)
    })
}

impl Lab {
    /// Sweeps until the end, or until so many trials are in the journal.
    fn sweep(&mut self, trials: Vec<Trial>, stop_at: usize, cache: Option<&mut Earlier>) -> Ending {
        let done = std::cell::Cell::new(trials.len());
        let mut journal = Notes::default();
        let mut engine =
            Fateful { engine: &mut self.engine, plan: &self.plan, fate: self.fate, runs: 0 };
        let ending = Sweep {
            plan: &self.plan,
            session: next_session(&trials),
            bench: Bench {
                engine: &mut engine,
                clock: &self.clock,
                sensors: &mut NoSensors,
                model: Path::new("m.gguf"),
            },
            journal: &mut journal,
            cache: cache.map(|cache| cache as &mut dyn Cache),
            room: None,
            date: &|| "2026-01-01T00:00:00Z".to_owned(),
            interrupted: &|| done.get() >= stop_at,
        }
        .run(trials.clone(), &mut |event| {
            if let Event::Finished { trial, .. } = event {
                assert!(
                    trial.id < 5000,
                    "no end: {:?} {} {:?}",
                    trial.purpose,
                    trial.block,
                    trial.asked
                );
                done.set(trial.id as usize);
            }
        })
        .unwrap();
        let journaled: Vec<Trial> = trials.into_iter().chain(journal.0).collect();
        assert_eq!(journaled, ending.trials, "what is returned is what was journaled");
        ending
    }

    fn full(&mut self) -> Ending {
        self.sweep(Vec::new(), usize::MAX, None)
    }

    /// Seconds of a turn, free of noise.
    fn turn_s(&self, setting: &Setting) -> Option<f64> {
        let work = &self.plan.protocol.slice;
        let truth = self.engine.world().truth(setting, work).ok()?;
        Some(self.plan.workload.turn_seconds(
            truth.prefill_s / f64::from(work.prompt_tokens),
            truth.decode_s() / f64::from(work.generate_tokens),
        ))
    }

    /// The fastest turn of the whole space.
    fn optimum_s(&self) -> f64 {
        let mut settings = vec![self.plan.baseline.clone()];
        for axis in &self.plan.axes {
            settings = settings
                .iter()
                .flat_map(|setting| {
                    axis.levels.iter().filter_map(|level| knob::apply(axis, setting, level))
                })
                .collect();
        }
        settings.iter().filter_map(|it| self.turn_s(it)).fold(f64::INFINITY, f64::min)
    }
}

fn winner(plan: &Plan, trials: &[Trial]) -> Option<Setting> {
    let confirmed =
        |trial: &&Trial| trial.purpose == Purpose::Confirm && trial.asked != plan.baseline;
    trials.iter().find(confirmed).map(|trial| trial.asked.clone())
}

/// Whether the confirmation calls the winner faster.
fn called_faster(plan: &Plan, trials: &[Trial]) -> bool {
    let turn = |trial: &Trial| {
        let sample = trial.outcome.samples().first()?;
        let tokens = &trial.work;
        let seconds = |time: u64, count: u32| time as f64 / 1e9 / f64::from(count);
        Some(plan.workload.turn_seconds(
            seconds(sample.prefill_ns, tokens.prompt_tokens),
            seconds(sample.decode_ns, tokens.generate_tokens),
        ))
    };
    let confirm = |trial: &&Trial| trial.purpose == Purpose::Confirm;
    let (base, won): (Vec<&Trial>, Vec<&Trial>) =
        trials.iter().filter(confirm).partition(|trial| trial.asked == plan.baseline);
    let differences: Vec<f64> = base
        .iter()
        .filter_map(|base| {
            let pair = |won: &&&Trial| (won.block, won.session) == (base.block, base.session);
            Some((turn(base)? / turn(won.iter().find(pair)?)?).ln())
        })
        .collect();
    paired_change(&differences, plan.protocol.confidence, plan.protocol.indifference)
        .is_some_and(|change| change.separation == Separation::Faster)
}

/// Every level that was asked for is one of the plan's.
fn assert_within_space(plan: &Plan, trials: &[Trial]) {
    for trial in trials {
        for (knob, _, level) in knob::changed(&plan.baseline, &trial.asked) {
            let axis = plan.axes.iter().find(|axis| axis.knob == knob.name()).unwrap();
            assert!(axis.levels.contains(&level), "{} {level}", knob.name());
            let rejected = plan.rejected.iter().any(|it| {
                it.knob == knob.name() && it.level.as_ref().is_none_or(|it| *it == level)
            });
            assert!(!rejected, "{} {level} was rejected", knob.name());
        }
    }
}

#[test]
fn the_planted_optimum_of_a_quiet_machine_is_found_and_confirmed() {
    for seed in 1..=10 {
        let mut lab = lab(world("quiet-8c"), seed, minutes(15));
        let ending = lab.full();
        assert_within_space(&lab.plan, &ending.trials);
        assert!(called_faster(&lab.plan, &ending.trials), "seed {seed}: {:?}", ending.reason);
        let won = lab.turn_s(&winner(&lab.plan, &ending.trials).unwrap()).unwrap();
        let regret = won / lab.optimum_s() - 1.0;
        assert!(regret < 0.02, "seed {seed}: {:.1} % off", 100.0 * regret);
    }
}

#[test]
fn where_nothing_differs_the_baseline_stays() {
    let alarms = (0..60)
        .filter(|seed| {
            let mut lab = lab(world("flat"), *seed, minutes(5));
            let ending = lab.full();
            called_faster(&lab.plan, &ending.trials)
        })
        .count();
    assert!(alarms <= 3, "{alarms} of 60 false alarms");
}

#[test]
fn a_sweep_survives_what_dies_and_never_tries_it_again() {
    let mut lab = lab(world("crashing-variant"), 1, minutes(15));
    assert!(lab.plan.baseline_notes[0].contains("plain llama.cpp crashes here"));
    let ending = lab.full();
    assert_within_space(&lab.plan, &ending.trials);
    let failed: Vec<&Trial> =
        ending.trials.iter().filter(|it| matches!(it.outcome, Outcome::Failed(_))).collect();
    assert!(!failed.is_empty(), "the world is made to fail");
    for trial in &failed {
        let tries = ending.trials.iter().filter(|other| other.asked == trial.asked).count();
        // What never answers may have been held up by something else, once.
        let most = if trial.outcome.may_be_accident() { Outcome::ACCIDENTS } else { 1 };
        assert!(tries <= most, "{tries} tries of {:?}", trial.asked);
    }
    assert!(winner(&lab.plan, &ending.trials).is_some());
}

#[test]
fn a_killed_sweep_goes_on_where_it_stopped() {
    let quiet = || {
        let mut world = world("quiet-8c");
        (world.noise.sample_sd, world.noise.drift_sd, world.noise.token_sd) = (0.0, 0.0, 0.0);
        lab(world, 3, endless())
    };
    let whole = quiet().full().trials;
    let best = quiet().optimum_s();
    for kill_at in (0..whole.len()).step_by(23) {
        let first = quiet().sweep(Vec::new(), kill_at, None);
        assert_eq!((first.reason, first.trials.len()), (None, kill_at));
        assert_eq!(first.trials[..], whole[..kill_at]);
        let resumed = quiet().sweep(first.trials, usize::MAX, None).trials;
        assert_eq!(resumed[..kill_at], whole[..kill_at]);
        // The new session has its own visit to the baseline before anything is compared.
        let began = resumed.get(kill_at).map(|trial| &trial.asked);
        assert!(
            kill_at == 0
                || began.is_none_or(|it| *it == quiet().plan.baseline || {
                    matches!(resumed[kill_at].purpose, Purpose::Confirm)
                }),
            "killed at {kill_at}"
        );
        let looks = resumed
            .iter()
            .filter(|it| it.purpose == Purpose::Search && it.asked != quiet().plan.baseline);
        let mut looks: Vec<&Setting> = looks.map(|trial| &trial.asked).collect();
        let count = looks.len();
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), count, "killed at {kill_at}: nothing is looked at twice");
        let won = winner(&quiet().plan, &resumed).expect("there is something to gain");
        let regret = quiet().turn_s(&won).unwrap() / best - 1.0;
        assert!(regret < 0.02, "killed at {kill_at}: {:.1} % off", 100.0 * regret);
    }
}

#[test]
fn budget_and_limit_of_trials_are_honoured() {
    for count in [1, 2, 5, 15] {
        let mut lab = lab(world("noisy-2c-vm"), count, minutes(count));
        let ending = lab.full();
        let spent = spent(&lab.plan, &ending.trials);
        let overrun = spent.saturating_sub(Duration::from_secs(60 * count));
        assert!(overrun < Duration::from_secs(5), "{count} min: {overrun:?} too long");
    }
    for most in [1, 2, 3, 10, 40, 100] {
        let limits = Limits::of(None, Some(most));
        let mut lab = lab(world("quiet-8c"), 1, limits);
        let trials = lab.full().trials;
        assert!(!trials.is_empty() && trials.len() <= most as usize, "{most}");
        let confirmed = trials.iter().filter(|it| it.purpose == Purpose::Confirm).count();
        assert!(most < 40 || confirmed >= 14, "{most}: {confirmed} left to confirm");
    }
}

#[test]
fn the_model_is_loaded_seldom() {
    let mut lab = lab(world("quiet-8c"), 2, minutes(15));
    let trials = lab.full().trials;
    let loads = |trials: &[Trial]| {
        let cells: Vec<_> = trials.iter().map(|it| (&it.asked.process, &it.asked.load)).collect();
        cells.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    let search: Vec<Trial> =
        trials.iter().filter(|it| it.purpose == Purpose::Search).cloned().collect();
    let loads = loads(&search);
    assert!(loads * 3 <= search.len(), "{loads} loads in {} visits", search.len());
}

#[test]
fn earlier_results_steer_and_are_never_quoted() {
    let mut earlier = Earlier::default();
    let mut first = lab(world("quiet-8c"), 5, minutes(15));
    let ending = first.sweep(Vec::new(), usize::MAX, Some(&mut earlier));
    assert_eq!(ending.cache.hits, 0);
    let mut second = lab(world("quiet-8c"), 5, minutes(15));
    let ending = second.sweep(Vec::new(), usize::MAX, Some(&mut earlier));
    assert!(ending.cache.hits > 0 && ending.cache.hits <= ending.cache.asked);
    for trial in ending.trials.iter().filter(|trial| trial.source == Source::Cache) {
        assert_eq!((trial.purpose, trial.elapsed_ms), (Purpose::Search, 0));
        assert_ne!(trial.asked, second.plan.baseline);
    }
    assert!(called_faster(&second.plan, &ending.trials));
}

#[test]
fn what_auto_turned_out_to_be_is_not_tried_again() {
    let mut lab = lab(world("quiet-8c"), 1, minutes(15));
    let trials = lab.full().trials;
    let on = |trial: &&Trial| trial.asked.context.flash_attention.word() == "on";
    let off = |trial: &&Trial| trial.asked.context.flash_attention.word() == "off";
    let axis = lab.plan.axes.iter().find(|axis| axis.knob == "flash_attention").unwrap();
    assert!(axis.levels.contains(&Level::Word("on".into())));
    assert_eq!(trials.iter().filter(on).count(), 0);
    assert!(trials.iter().any(|trial| off(&trial)));
}

#[test]
fn one_killed_worker_does_not_end_the_search() {
    let fates: [Fate; 4] = [
        |_, run, _| (run == 2).then(killed),
        |_, run, _| (run == 30).then(killed),
        |_, run, _| (run == 31).then(late),
        |_, run, _| (run == 32).then(out_of_memory),
    ];
    for fate in fates {
        let mut lab = lab(world("quiet-8c"), 1, endless());
        lab.fate = fate;
        let ending = lab.full();
        let lost: Vec<&Trial> =
            ending.trials.iter().filter(|it| matches!(it.outcome, Outcome::Failed(_))).collect();
        let [lost] = lost[..] else { panic!("{lost:?}") };
        let kind = lost.outcome.kind();
        assert!(called_faster(&lab.plan, &ending.trials), "{kind}: {:?}", ending.reason);
    }
}

#[test]
fn what_fails_by_accident_twice_is_left_alone() {
    let mut lab = lab(world("quiet-8c"), 1, endless());
    lab.fate =
        |plan, _, job| (job.setting.threads.threads != plan.baseline.threads.threads).then(late);
    let ending = lab.full();
    let failed = |trial: &&Trial| matches!(trial.outcome, Outcome::Failed(_));
    for trial in ending.trials.iter().filter(failed) {
        let tries = ending.trials.iter().filter(|other| other.asked == trial.asked).count();
        assert!(tries <= Outcome::ACCIDENTS, "{tries}");
    }
    // A level that never runs is given up, with whatever it is combined.
    let failures = ending.trials.iter().filter(failed).count();
    let levels = lab.plan.axes.iter().find(|axis| axis.knob == "threads").unwrap().levels.len();
    assert!(failures <= levels * 3 * Outcome::ACCIDENTS, "{failures} for {levels} levels");
}

#[test]
fn a_pair_with_a_time_out_is_dropped_and_the_confirmation_goes_on() {
    let confirmed = |trials: &[Trial]| {
        let pairs = trials.iter().filter(|trial| trial.purpose == Purpose::Confirm);
        pairs.map(|trial| trial.outcome.kind()).collect::<Vec<_>>()
    };
    let mut lab = lab(world("quiet-8c"), 1, minutes(15));
    let before = lab.full().trials.iter().take_while(|it| it.purpose != Purpose::Confirm).count();
    let mut lab = self::lab(world("quiet-8c"), 1, minutes(15));
    let first = lab.sweep(Vec::new(), before, None).trials;
    // The first visit of the confirmation is one to the winner.
    lab.fate = |_, run, _| (run == 0).then(late);
    let ending = lab.sweep(first.clone(), usize::MAX, None);
    assert_eq!(confirmed(&ending.trials)[..2], ["timed-out", "measured"]);
    assert_eq!(ending.reason, Some(Reason::Settled));
    assert!(called_faster(&lab.plan, &ending.trials));
    let found = crate::analysis::findings(&lab.plan, &ending.trials, "");
    assert!(matches!(found.verdict, Verdict::Confirmed { .. }), "{:?}", found.verdict);
    lab.fate = |plan, _, job| (job.setting != plan.baseline).then(late);
    let ending = lab.sweep(first, usize::MAX, None);
    assert_eq!(confirmed(&ending.trials).iter().filter(|kind| **kind == "timed-out").count(), 2);
    assert_eq!(ending.reason, Some(Reason::WinnerFailed));
    let found = crate::analysis::findings(&lab.plan, &ending.trials, "");
    assert!(matches!(found.verdict, Verdict::Unconfirmed { .. }), "{:?}", found.verdict);
}

#[test]
fn a_baseline_that_ran_before_may_fail_at_first() {
    let mut lab = lab(world("quiet-8c"), 1, minutes(15));
    lab.fate = |_, run, _| (run == 0).then(killed);
    let ending = lab.full();
    assert_eq!(ending.trials[0].asked, lab.plan.baseline);
    assert!(called_faster(&lab.plan, &ending.trials), "{:?}", ending.reason);
    lab.fate = |plan, _, job| (job.setting == plan.baseline).then(killed);
    assert_eq!(lab.full().reason, Some(Reason::BaselineFailed));
}

#[test]
fn a_sweep_begins_with_the_baseline() {
    for seed in 0..20 {
        let limits = Limits::of(None, Some(2));
        let mut lab = lab(world("quiet-8c"), seed, limits);
        assert_eq!(lab.full().trials[0].asked, lab.plan.baseline, "seed {seed}");
    }
}

#[test]
fn another_day_is_no_gain() {
    // Nothing differs on this machine, but it is three times as fast when the sweep goes on.
    let mut day = world("flat");
    (day.noise.sample_sd, day.noise.drift_sd, day.noise.token_sd) = (0.0, 0.0, 0.0);
    let mut next_day = day.clone();
    next_day.machine.core_flops *= 3.0;
    next_day.machine.core_bandwidth_bytes_per_s *= 3.0;
    next_day.machine.bandwidth_bytes_per_s *= 3.0;
    for kill_at in 1..10 {
        let mut slow = lab(day.clone(), 1, endless());
        let first = slow.sweep(Vec::new(), kill_at, None).trials;
        let mut fast = lab(next_day.clone(), 2, endless());
        fast.plan = slow.plan.clone();
        let trials = fast.sweep(first, usize::MAX, None).trials;
        assert_eq!(trials[kill_at].asked, fast.plan.baseline);
        assert!(!called_faster(&fast.plan, &trials), "killed at {kill_at}");
    }
}

#[test]
fn a_setting_that_hangs_does_not_take_much_more_than_the_budget() {
    for seed in 0..20 {
        let mut lab = lab(world("quiet-8c"), seed, minutes(1));
        lab.fate = |plan, _, job| (job.setting != plan.baseline).then(late);
        let ending = lab.full();
        let over = spent(&lab.plan, &ending.trials).saturating_sub(Duration::from_secs(60));
        assert!(over < Duration::from_secs(12), "seed {seed}: {over:?} too long");
    }
}
