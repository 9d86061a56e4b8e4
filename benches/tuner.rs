//! The tuner against itself: every strategy on every simulated machine whose truth is known.
//!
//! *Search*: machine time until the setting that leads is within 1, 2 and 5 % of the true optimum,
//! as a share of a grid's (every setting once with five repetitions, loads included) and against
//! random search and TPE. *Claims*: whole sweeps of 15 simulated minutes, and how often what they
//! print is true. *Step*: time of one proposal in a large space.
//!
//! `AUTOTUNE_SEEDS=50 cargo bench --profile release --bench tuner`. `AUTOTUNE_WORLDS=quiet` keeps
//! to worlds with that in their name. Machine time is simulated, so but for the step the table
//! does not depend on the machine that makes it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autotune::analysis::findings;
use autotune::cli::simulated;
use autotune::measure::{Bench, NoSensors, calibrate};
use autotune::model::{Plan, Purpose, Strategy, Trial, Verdict};
use autotune::plan::{self, Limits, Wish};
use autotune::search;
use autotune::stats::Separation;
use autotune::sweep::{Event, Journal, Sweep};
use autotune_engine::api::{Engine, Setting};
use autotune_engine::sim::{Simulator, VirtualClock, World};
use statrs::distribution::{Binomial, DiscreteCDF};

/// Looks after which a search that has not arrived counts as never arriving.
const MOST_LOOKS: usize = 120;
/// Distances from the optimum that are asked about.
const WITHIN: [f64; 3] = [0.01, 0.02, 0.05];
/// Repetitions of llama-bench, which a grid would be measured with.
const REPETITIONS: f64 = 5.0;

struct Forget;

impl Journal for Forget {
    fn append(&mut self, _: &Trial) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// A simulated machine with a plan, and the truth about every setting.
struct Lab {
    world: World,
    engine: Simulator,
    clock: VirtualClock,
    plan: Plan,
}

impl Lab {
    fn new(world: &World, seed: u64, limits: Limits) -> Self {
        let machine = simulated::machine(world);
        let card = simulated::model(world, "m.gguf");
        let workload = simulated::workload(world);
        let mut engine = Simulator::seeded(world.clone(), seed);
        let clock = engine.clock();
        let variants = engine.variants(&[]).expect("a simulated machine has variants");
        let here = simulated::here(&machine);
        let baseline = plan::baseline(&card, &here, &workload, &variants).0;
        let look = plan::first_look(&workload);
        let mut bench = Bench {
            engine: &mut engine,
            clock: &clock,
            sensors: &mut NoSensors,
            model: &card.path,
        };
        let deadline = Duration::from_secs(900);
        let calibration = calibrate(&mut bench, &baseline, &look, deadline).expect("it runs");
        let identity = engine.identity().expect("a simulator has a name");
        let plan = plan::plan(Wish {
            model: &card,
            here,
            workload,
            engine: identity,
            variants,
            knobs: simulated::knobs(world).expect("the tests read every world"),
            terrain: simulated::terrain(&machine),
            fixed: Vec::new(),
            levels: Vec::new(),
            calibration: Some(calibration),
            prior: plan::prior(&card, &machine),
            limits,
            seed,
            created_at: String::new(),
            command: String::new(),
        });
        Self { world: world.clone(), engine, clock, plan }
    }

    /// What a setting truly costs; `None` where it cannot run.
    fn cost(&self, setting: &Setting) -> Option<f64> {
        let work = self.plan.work(setting);
        let truth = self.world.truth(setting, &work).ok()?;
        let per =
            |seconds: f64, tokens: u64| if tokens == 0 { 0.0 } else { seconds / tokens as f64 };
        Some(self.plan.workload.cost(
            per(truth.prefill_s, work.all_prompt_tokens()),
            per(truth.decode_s(), work.all_generated_tokens()),
        ))
    }

    /// Runs until `stop` says so, and shows each journal to `observe`.
    fn sweep(&mut self, mut observe: impl FnMut(&Plan, &[Trial], f64) -> bool) -> Vec<Trial> {
        let (stop, mut trials) = (Cell::new(false), Vec::new());
        let begin = self.clock_s();
        let clock = self.clock.clone();
        let plan = self.plan.clone();
        let ending = Sweep {
            plan: &self.plan,
            session: 0,
            bench: Bench {
                engine: &mut self.engine,
                clock: &self.clock,
                sensors: &mut NoSensors,
                model: Path::new("m.gguf"),
            },
            journal: &mut Forget,
            cache: None,
            room: None,
            date: &String::new,
            interrupted: &|| stop.get(),
        }
        .run(Vec::new(), &mut |event| {
            if let Event::Finished { trial, .. } = event {
                trials.push((*trial).clone());
                let spent = seconds(&clock) - begin;
                stop.set(observe(&plan, &trials, spent));
            }
        });
        ending.expect("nothing is written").trials
    }

    fn clock_s(&self) -> f64 {
        seconds(&self.clock)
    }
}

fn seconds(clock: &VirtualClock) -> f64 {
    autotune_engine::api::Clock::now(clock).as_secs_f64()
}

/// What one search took to come near the optimum; `None` where it never did.
#[derive(Clone, Copy)]
struct Arrival {
    seconds: [Option<f64>; 3],
    looks: [Option<usize>; 3],
    /// All that it spent.
    spent: f64,
}

fn arrive(world: &World, strategy: Strategy, seed: u64) -> Arrival {
    // The protocol of a usual sweep, without its end.
    let usual = Limits::of(Some(Duration::from_secs(900)), None);
    let mut lab = Lab::new(world, seed, Limits { strategy, ..usual });
    lab.plan.protocol.budget_ms = None;
    let study = Lab::new(world, seed, Limits::of(None, None));
    let best = optimum(&study);
    let base = study.cost(&study.plan.baseline).expect("the baseline runs");
    let mut arrival = Arrival { seconds: [None; 3], looks: [None; 3], spent: 0.0 };
    lab.sweep(|plan, trials, spent| {
        let looks = trials
            .iter()
            .filter(|it| it.purpose == Purpose::Search && it.asked != plan.baseline)
            .count();
        if trials.last().is_some_and(|trial| trial.purpose > Purpose::Certify) {
            return true;
        }
        arrival.spent = spent;
        let leader = search::leader(plan, trials);
        let own = leader.map_or(base, |(setting, _)| study.cost(&setting).unwrap_or(f64::MAX));
        for (place, within) in WITHIN.iter().enumerate() {
            if own <= best * (1.0 + within) && arrival.seconds[place].is_none() && looks > 0 {
                arrival.seconds[place] = Some(spent);
                arrival.looks[place] = Some(looks);
            }
        }
        arrival.seconds[0].is_some() || looks >= MOST_LOOKS
    });
    arrival
}

fn optimum(lab: &Lab) -> f64 {
    let costs = search::settings(&lab.plan).into_iter().filter_map(|it| lab.cost(&it));
    costs.fold(f64::INFINITY, f64::min)
}

/// Machine seconds of a grid: each setting once, with five repetitions after a warm-up, ordered so
/// that nothing is loaded twice.
fn grid_s(lab: &Lab) -> f64 {
    let mut loaded: Vec<(Setting, ())> = Vec::new();
    let (mut total, steps) = (0.0, lab.world.steps);
    for setting in search::settings(&lab.plan) {
        let Ok(truth) = lab.world.truth(&setting, &lab.plan.work(&setting)) else { continue };
        total += truth.total_s() * REPETITIONS + truth.prefill_s + truth.fill_s + steps.context_s;
        let same = |known: &Setting, own: &Setting| {
            (&known.process, &known.load) == (&own.process, &own.load)
        };
        if !loaded.iter().any(|(known, ())| same(known, &setting)) {
            total += steps.process_s + steps.load_s;
            loaded.push((setting, ()));
        }
    }
    total
}

/// What the claims of one sweep were worth.
#[derive(Default, Clone, Copy)]
struct Claims {
    sweeps: u32,
    faster: u32,
    /// Faster was said, and the truth is no faster than the zone of indifference allows.
    false_faster: u32,
    intervals: u32,
    intervals_true: u32,
    races: u32,
    races_true: u32,
    regret: f64,
    seconds: f64,
}

fn judge(world: &World, seed: u64) -> Claims {
    let mut lab = Lab::new(world, seed, Limits::of(Some(Duration::from_secs(900)), None));
    let begin = lab.clock_s();
    let trials = lab.sweep(|_, _, _| false);
    let seconds = lab.clock_s() - begin;
    let found = findings(&lab.plan, &trials, "");
    let truth = |setting: &Setting| lab.cost(setting).unwrap_or(f64::MAX);
    let base = truth(&lab.plan.baseline);
    let mut claims = Claims { sweeps: 1, seconds, ..Claims::default() };
    claims.regret = truth(&found.best.setting) / optimum(&lab) - 1.0;
    if let Verdict::Confirmed { turn, .. } = &found.verdict {
        let winner = trials
            .iter()
            .find(|it| it.purpose == Purpose::Confirm && it.asked != lab.plan.baseline)
            .map(|trial| base / truth(&trial.asked));
        if let (Some(true_ratio), Some(low), Some(high)) =
            (winner, turn.speed_ratio.low, turn.speed_ratio.high)
        {
            claims.intervals = 1;
            claims.intervals_true = u32::from(low <= true_ratio && true_ratio <= high);
            if turn.separation == Separation::Faster {
                claims.faster = 1;
                claims.false_faster = u32::from(true_ratio <= 1.0);
            }
        }
    }
    if let Some(race) = &found.claims.among_finalists {
        let runners = trials
            .iter()
            .filter(|it| it.purpose == Purpose::Certify && it.asked != lab.plan.baseline);
        let best = runners.map(|trial| truth(&trial.asked)).fold(f64::INFINITY, f64::min);
        claims.races = 1;
        claims.races_true = u32::from(truth(&race.setting) <= best * (1.0 + race.within) + 1e-12);
    }
    claims
}

/// Runs the jobs on all processors, results in order.
fn parallel<T: Send>(jobs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= jobs {
                        break;
                    }
                    let result = work(job);
                    results.lock().expect("no worker panics").insert(job, result);
                }
            });
        }
    });
    results.into_inner().expect("no worker panics").into_values().collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn worlds() -> Vec<World> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds");
    let wanted = std::env::var("AUTOTUNE_WORLDS").unwrap_or_default();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the worlds are in the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    paths.sort();
    paths.iter().map(|path| World::read(path).expect("the tests read every world")).collect()
}

fn main() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let seeds = number("AUTOTUNE_SEEDS", 50);
    let worlds = worlds();
    searches(&worlds, seeds);
    claims(&worlds, seeds);
    step();
}

/// The share of searches that arrive, and the median time of a grid's that it takes.
fn searches(worlds: &[World], seeds: u64) {
    println!("Search: machine time to within 2 % of the optimum, in % of a grid's, {seeds} seeds");
    println!("(median; share of searches that arrive within {MOST_LOOKS} looks)\n");
    let names = [Strategy::Auto, Strategy::Tpe, Strategy::Coordinate, Strategy::Random];
    print!("{:18} {:>8}", "world", "settings");
    for name in names {
        print!(" {:>16}", name.word());
    }
    println!();
    // Logarithms of time over that of auto, by strategy.
    let mut slower = vec![Vec::new(); names.len()];
    let mut shares = Vec::new();
    let mut losses = Vec::new();
    for world in worlds {
        let study = Lab::new(world, 1, Limits::of(None, None));
        let (grid, settings) = (grid_s(&study), search::space_size(&study.plan));
        print!("{:18} {settings:>8}", world.name);
        let mut medians = Vec::new();
        let mut all: Vec<Vec<f64>> = Vec::new();
        for strategy in names {
            let seeds = usize::try_from(seeds).unwrap_or(50);
            let arrivals = parallel(seeds, |seed| arrive(world, strategy, seed as u64 + 1));
            let mut times: Vec<f64> = arrivals
                .iter()
                .map(|it| it.seconds[1].unwrap_or(it.spent.max(1e-9) * 2.0))
                .collect();
            all.push(times.clone());
            let arrived = arrivals.iter().filter(|it| it.seconds[1].is_some()).count();
            let middle = median(&mut times);
            let share = 100 * arrived / arrivals.len().max(1);
            print!(" {:>9.1} {:>4} %", 100.0 * middle / grid, share);
            medians.push(middle);
        }
        println!();
        if is_slower(&all[0], &all[1]) {
            losses.push(world.name.clone());
        }
        shares.push(medians[0] / grid);
        for (place, middle) in medians.iter().enumerate() {
            slower[place].push((middle / medians[0]).ln());
        }
    }
    let mean = |logs: &[f64]| (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
    println!();
    for (name, logs) in names.iter().zip(&slower) {
        println!(
            "{:11} takes {:.2} times as long as auto (geometric mean)",
            name.word(),
            mean(logs)
        );
    }
    let worst = shares.iter().copied().fold(0.0, f64::max);
    println!(
        "auto: {:.1} % of the grid on the median world, {:.1} % on the worst",
        100.0 * median(&mut shares),
        100.0 * worst
    );
    let none = if losses.is_empty() { "none".to_owned() } else { losses.join(", ") };
    println!("worlds where tpe is faster than auto (paired by seed, one-sided 1 %): {none}\n");
}

/// Whether one is slower than the other by the mean logarithm of their ratio, seed by seed.
fn is_slower(one: &[f64], other: &[f64]) -> bool {
    /// The normal quantile at 99 %.
    const SURE: f64 = 2.326;
    let logs: Vec<f64> = one.iter().zip(other).map(|(a, b)| (a / b).ln()).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    // A hundredth is no loss that anybody would notice.
    mean > 0.01 && mean > SURE * (variance / count).sqrt()
}

/// The chance of so few successes if each had this chance (lower tail of the binomial).
fn so_few(successes: u32, of: u32, chance: f64) -> f64 {
    Binomial::new(chance, u64::from(of)).map_or(1.0, |it| it.cdf(u64::from(successes)))
}

fn claims(worlds: &[World], seeds: u64) {
    println!("Claims: whole sweeps of 15 simulated minutes, {seeds} seeds\n");
    println!(
        "{:18} {:>7} {:>13} {:>14} {:>12} {:>14}",
        "world", "faster", "false faster", "interval true", "race true", "median regret"
    );
    let mut all = Claims::default();
    for world in worlds {
        let seeds = usize::try_from(seeds).unwrap_or(50);
        let claims = parallel(seeds, |seed| judge(world, seed as u64 + 1));
        let mut regrets: Vec<f64> = claims.iter().map(|it| it.regret).collect();
        let sum = claims.iter().fold(Claims::default(), Claims::plus);
        println!(
            "{:18} {:>4}/{:<3} {:>12} {:>9}/{:<4} {:>7}/{:<4} {:>12.1} %",
            world.name,
            sum.faster,
            sum.sweeps,
            sum.false_faster,
            sum.intervals_true,
            sum.intervals,
            sum.races_true,
            sum.races,
            100.0 * median(&mut regrets)
        );
        all = all.plus(&sum);
    }
    let rate = |part: u32, whole: u32| 100.0 * f64::from(part) / f64::from(whole.max(1));
    println!(
        "\nall: intervals true {:.1} % of {}, races true {:.1} % of {}, false improvements {:.2} % of {}",
        rate(all.intervals_true, all.intervals),
        all.intervals,
        rate(all.races_true, all.races),
        all.races,
        rate(all.false_faster, all.sweeps),
        all.sweeps
    );
    println!(
        "chance of so few true ones if 95 % were: intervals {:.3}, races {:.3}; of so many false \
         improvements if 5 % were: {:.3}\n",
        so_few(all.intervals_true, all.intervals, 0.95),
        so_few(all.races_true, all.races, 0.95),
        so_few(all.sweeps - all.false_faster, all.sweeps, 0.95),
    );
}

impl Claims {
    fn plus(self, other: &Self) -> Self {
        Self {
            sweeps: self.sweeps + other.sweeps,
            faster: self.faster + other.faster,
            false_faster: self.false_faster + other.false_faster,
            intervals: self.intervals + other.intervals,
            intervals_true: self.intervals_true + other.intervals_true,
            races: self.races + other.races,
            races_true: self.races_true + other.races_true,
            regret: self.regret + other.regret,
            seconds: self.seconds + other.seconds,
        }
    }
}

/// The time of one proposal after 60 looks in the largest space of all worlds.
fn step() {
    let worlds = worlds();
    let largest = worlds
        .iter()
        .max_by_key(|world| search::space_size(&Lab::new(world, 1, Limits::of(None, None)).plan));
    let Some(world) = largest else { return };
    let mut lab = Lab::new(world, 1, Limits::of(None, None));
    let size = search::space_size(&lab.plan);
    let trials = lab.sweep(|_, trials, _| trials.len() >= 100);
    let now = search::Now { elapsed: Duration::ZERO, session: 0 };
    let mut times: Vec<f64> = (60..trials.len())
        .map(|count| {
            let begin = Instant::now();
            std::hint::black_box(search::next(&lab.plan, &trials[..count], now));
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let middle = median(&mut times);
    println!(
        "Step: {middle:.1} ms a step after 60 to {} trials in `{}` ({size} settings), at most {:.1}",
        trials.len(),
        world.name,
        times.last().copied().unwrap_or(f64::NAN)
    );
}
