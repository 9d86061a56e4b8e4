//! The tuner against itself: every strategy on every simulated machine whose truth is known, and
//! on every recorded grid, whose means are the truth.
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
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autotune::analysis::findings;
use autotune::cli::{replay, simulated};
use autotune::knob;
use autotune::measure::{Bench, NoSensors, calibrate};
use autotune::model::{Axis, Outcome, Plan, Purpose, Strategy, Trial, Verdict};
use autotune::plan::{self, Limits, Wish};
use autotune::search;
use autotune::stats::Separation;
use autotune::store::StoredRun;
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

/// Where searches are compared: machines made of formulas, and grids recorded on real ones.
enum Site {
    Simulated(Box<World>),
    Recorded(Box<Recorded>),
}

/// A recorded grid with what each of its settings cost.
struct Recorded {
    name: String,
    run: StoredRun,
    /// Cost of a turn, and seconds of a grid's visit, by setting.
    truth: HashMap<Setting, (f64, f64)>,
    /// Seconds that starting a process and loading take.
    load_s: f64,
}

impl Recorded {
    fn read(folder: &Path) -> Self {
        let run = StoredRun::read(folder).expect("a recorded grid can be read");
        let mut visits: HashMap<&Setting, Vec<(f64, f64)>> = HashMap::new();
        let mut loads = Vec::new();
        for trial in &run.trials {
            let Outcome::Measured(measured) = &trial.outcome else { continue };
            let pace = [trial.prefill_seconds_per_token(), trial.decode_seconds_per_token()];
            let [prefill, decode] = pace.map(Option::unwrap_or_default);
            let transition = &measured.transition;
            let load =
                [transition.process_ns, transition.load_ns].into_iter().flatten().sum::<u64>();
            loads.extend((load > 0).then_some(load as f64 / 1e9));
            let timed: f64 = measured.samples.iter().map(|it| it.total().as_secs_f64()).sum();
            let untimed = (trial.elapsed_ms as f64 / 1e3 - timed - load as f64 / 1e9).max(0.0);
            let once = timed / measured.samples.len().max(1) as f64;
            let visit = (run.plan.workload.cost(prefill, decode), once * REPETITIONS + untimed);
            visits.entry(&trial.asked).or_default().push(visit);
        }
        let truth = visits
            .into_iter()
            .map(|(setting, visits)| {
                // A replay draws from these visits, so their mean is the truth of its logarithms.
                let logs = visits.iter().map(|(cost, _)| cost.ln()).sum::<f64>();
                let cost = (logs / visits.len() as f64).exp();
                let mut seconds: Vec<f64> = visits.iter().map(|(_, seconds)| *seconds).collect();
                (setting.clone(), (cost, median(&mut seconds)))
            })
            .collect();
        let name = folder.file_name().map(|it| it.to_string_lossy().into_owned());
        Self { name: name.unwrap_or_default(), truth, load_s: median(&mut loads), run }
    }
}

impl Site {
    fn name(&self) -> &str {
        match self {
            Self::Simulated(world) => &world.name,
            Self::Recorded(recorded) => &recorded.name,
        }
    }

    /// The best cost, and machine seconds of a grid: each setting once, with five repetitions
    /// after a warm-up, ordered so that nothing is loaded twice.
    fn grid(&self) -> (f64, f64) {
        let lab = Lab::new(self, 1, Limits::of(None, None));
        let mut loaded: Vec<Setting> = Vec::new();
        let (mut best, mut total) = (f64::INFINITY, 0.0);
        for setting in search::settings(&lab.plan) {
            let Some((cost, seconds)) = self.visit(&lab.plan, &setting) else { continue };
            best = best.min(cost);
            total += seconds;
            let same = |known: &Setting| {
                (&known.process, &known.load) == (&setting.process, &setting.load)
            };
            if !loaded.iter().any(same) {
                total += match self {
                    Self::Simulated(world) => world.steps.process_s + world.steps.load_s,
                    Self::Recorded(recorded) => recorded.load_s,
                };
                loaded.push(setting);
            }
        }
        (best, total)
    }

    /// What a setting truly costs, and the seconds of a grid's visit to it; `None` where it
    /// cannot run.
    fn visit(&self, plan: &Plan, setting: &Setting) -> Option<(f64, f64)> {
        match self {
            Self::Simulated(world) => {
                let work = plan.work(setting);
                let truth = world.truth(setting, &work).ok()?;
                let per = |seconds: f64, tokens: u64| seconds / tokens.max(1) as f64;
                let cost = plan.workload.cost(
                    per(truth.prefill_s, work.all_prompt_tokens()),
                    per(truth.decode_s(), work.all_generated_tokens()),
                );
                let untimed = truth.prefill_s + truth.fill_s + world.steps.context_s;
                Some((cost, truth.total_s() * REPETITIONS + untimed))
            }
            Self::Recorded(recorded) => recorded.truth.get(setting).copied(),
        }
    }
}

/// An engine of a site with a plan.
struct Lab<'s> {
    site: &'s Site,
    engine: Box<dyn Engine>,
    clock: VirtualClock,
    plan: Plan,
}

impl<'s> Lab<'s> {
    fn new(site: &'s Site, seed: u64, limits: Limits) -> Self {
        let (machine, card, workload, prior, levels, knobs);
        let (mut engine, clock): (Box<dyn Engine>, VirtualClock);
        match site {
            Site::Simulated(world) => {
                let simulator = Simulator::seeded(World::clone(world), seed);
                (clock, engine) = (simulator.clock(), Box::new(simulator));
                machine = simulated::machine(world);
                card = simulated::model(world, "m.gguf");
                workload = simulated::workload(world);
                prior = plan::prior(&card, &machine);
                knobs = simulated::knobs(world).expect("the tests read every world");
                levels = Vec::new();
            }
            Site::Recorded(recorded) => {
                let own = &recorded.run.plan;
                let record = replay::engine(&recorded.run, seed).expect("something was recorded");
                (clock, engine) = (record.clock(), Box::new(record));
                machine = replay::as_simulated(recorded.run.machine.clone());
                card = own.model.clone();
                workload = own.workload.clone();
                prior = own.prior.clone();
                let axis = |axis: &Axis| Some((knob::named(&axis.knob).ok()?, axis.levels.clone()));
                levels = own.axes.iter().filter_map(axis).collect::<Vec<_>>();
                knobs = levels.iter().map(|(knob, _)| *knob).collect();
            }
        }
        let here = simulated::here(&machine);
        let variants = engine.variants(&[]).expect("such a machine has variants");
        let baseline = plan::baseline(&card, &here, &workload, &variants).0;
        let look = plan::first_look(&workload);
        let mut bench = Bench {
            engine: engine.as_mut(),
            clock: &clock,
            sensors: &mut NoSensors,
            model: &card.path,
        };
        let deadline = Duration::from_secs(900);
        let calibration = calibrate(&mut bench, &baseline, &look, deadline).expect("it runs");
        let identity = engine.identity().expect("such an engine has a name");
        let plan = plan::plan(Wish {
            model: &card,
            here,
            workload,
            engine: identity,
            variants,
            knobs,
            terrain: simulated::terrain(&machine),
            fixed: Vec::new(),
            levels,
            calibration: Some(calibration),
            prior,
            limits,
            seed,
            created_at: String::new(),
            command: String::new(),
        });
        Self { site, engine, clock, plan }
    }

    /// What a setting truly costs; `None` where it cannot run.
    fn cost(&self, setting: &Setting) -> Option<f64> {
        self.site.visit(&self.plan, setting).map(|(cost, _)| cost)
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
                engine: self.engine.as_mut(),
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

fn arrive(site: &Site, best: f64, strategy: Strategy, seed: u64) -> Arrival {
    // The protocol of a usual sweep, without its end.
    let usual = Limits::of(Some(Duration::from_secs(900)), None);
    let mut lab = Lab::new(site, seed, Limits { strategy, ..usual });
    lab.plan.protocol.budget_ms = None;
    let truth = |setting: &Setting| site.visit(&lab.plan, setting).map(|(cost, _)| cost);
    let known = truth(&lab.plan.baseline).expect("the baseline runs");
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
        let own = search::leader(plan, trials).map_or(known, |(setting, _)| {
            site.visit(plan, &setting).map_or(f64::MAX, |(cost, _)| cost)
        });
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

fn judge(site: &Site, best: f64, seed: u64) -> Claims {
    let mut lab = Lab::new(site, seed, Limits::of(Some(Duration::from_secs(900)), None));
    let begin = lab.clock_s();
    let trials = lab.sweep(|_, _, _| false);
    let seconds = lab.clock_s() - begin;
    let found = findings(&lab.plan, &trials, "");
    let truth = |setting: &Setting| lab.cost(setting).unwrap_or(f64::MAX);
    let base = truth(&lab.plan.baseline);
    let mut claims = Claims { sweeps: 1, seconds, ..Claims::default() };
    claims.regret = truth(&found.best.setting) / best - 1.0;
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
                claims.false_faster = u32::from(true_ratio <= 1.0 + lab.plan.protocol.indifference);
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

fn sites() -> Vec<Site> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds");
    let wanted = std::env::var("AUTOTUNE_WORLDS").unwrap_or_default();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the worlds are in the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    paths.sort();
    let site = |path: &PathBuf| {
        if path.extension().is_some_and(|it| it == "toml") {
            let world = World::read(path).expect("the tests read every world");
            Some(Site::Simulated(Box::new(world)))
        } else {
            let recorded = path.join("trials.jsonl").exists();
            recorded.then(|| Site::Recorded(Box::new(Recorded::read(path))))
        }
    };
    paths.iter().filter_map(site).collect()
}

fn main() {
    let number = |name: &str, usual: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let seeds = usize::try_from(number("AUTOTUNE_SEEDS", 50)).unwrap_or(50);
    let sites = sites();
    // The best cost and the seconds of a grid.
    let grids = parallel(sites.len(), |place| sites[place].grid());
    searches(&sites, &grids, seeds);
    claims(&sites, &grids, seeds);
    step(&sites);
}

/// The share of searches that arrive, and the median time of a grid's that it takes.
fn searches(sites: &[Site], grids: &[(f64, f64)], seeds: usize) {
    println!(
        "Search: machine time to within 1, 2 and 5 % of the optimum, in % of a grid's; median of"
    );
    println!(
        "{seeds} seeds; looks until 2 %; share of searches that get there in {MOST_LOOKS} looks\n"
    );
    let names = [Strategy::Auto, Strategy::Tpe, Strategy::Coordinate, Strategy::Random];
    print!("{:18} {:>8}", "world", "settings");
    for name in names {
        print!(" | {:>29}", format!("{}: 1 % 2 % 5 %, looks", name.word()));
    }
    println!();
    // Logarithms of time over that of auto, by strategy.
    let mut slower = vec![Vec::new(); names.len()];
    let (mut shares, mut losses) = (Vec::new(), Vec::new());
    for (site, (best, grid)) in sites.iter().zip(grids) {
        let settings = search::space_size(&Lab::new(site, 1, Limits::of(None, None)).plan);
        print!("{:18} {settings:>8}", site.name());
        let mut all: Vec<Vec<f64>> = Vec::new();
        for strategy in names {
            let arrivals = parallel(seeds, |seed| arrive(site, *best, strategy, seed as u64 + 1));
            let times = |place: usize| -> Vec<f64> {
                let never = |it: &Arrival| it.spent.max(1e-9) * 2.0;
                arrivals.iter().map(|it| it.seconds[place].unwrap_or(never(it))).collect()
            };
            let [near, middle, far] =
                [0, 1, 2].map(|place| 100.0 * median(&mut times(place)) / grid);
            let mut looks: Vec<f64> = arrivals
                .iter()
                .map(|it| it.looks[1].map_or(f64::INFINITY, |looks| looks as f64))
                .collect();
            let arrived = arrivals.iter().filter(|it| it.seconds[1].is_some()).count();
            let share = 100 * arrived / arrivals.len().max(1);
            let looks = median(&mut looks);
            print!(" | {near:>5.2} {middle:>5.2} {far:>5.2} {looks:>4.0} {share:>4} %");
            all.push(times(1));
        }
        println!();
        if is_slower(&all[0], &all[1]) {
            losses.push(site.name().to_owned());
        }
        let middles: Vec<f64> = all.iter_mut().map(|times| median(times)).collect();
        shares.push(middles[0] / grid);
        for (place, middle) in middles.iter().enumerate() {
            slower[place].push((middle / middles[0]).ln());
        }
    }
    let mean = |logs: &[f64]| (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
    println!();
    for (name, logs) in names.iter().zip(&slower) {
        let ratio = mean(logs);
        println!("{:11} takes {ratio:.2} times as long as auto (geometric mean)", name.word());
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

fn claims(sites: &[Site], grids: &[(f64, f64)], seeds: usize) {
    println!("Claims: whole sweeps of 15 simulated minutes, {seeds} seeds\n");
    println!(
        "{:18} {:>7} {:>13} {:>14} {:>12} {:>14}",
        "world", "faster", "false faster", "interval true", "race true", "median regret"
    );
    let mut all = Claims::default();
    for (site, (best, _)) in sites.iter().zip(grids) {
        let claims = parallel(seeds, |seed| judge(site, *best, seed as u64 + 1));
        let mut regrets: Vec<f64> = claims.iter().map(|it| it.regret).collect();
        let sum = claims.iter().fold(Claims::default(), Claims::plus);
        println!(
            "{:18} {:>4}/{:<3} {:>12} {:>9}/{:<4} {:>7}/{:<4} {:>12.1} %",
            site.name(),
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
fn step(sites: &[Site]) {
    let largest = sites
        .iter()
        .max_by_key(|site| search::space_size(&Lab::new(site, 1, Limits::of(None, None)).plan));
    let Some(site) = largest else { return };
    let mut lab = Lab::new(site, 1, Limits::of(None, None));
    let settings = search::space_size(&lab.plan);
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
        "Step: {middle:.1} ms a step after 60 to {} trials in `{}` ({settings} settings), at most {:.1}",
        trials.len(),
        site.name(),
        times.last().copied().unwrap_or(f64::NAN)
    );
}
