//! What the gate's rules do on simulated machines: false failures, power, indecision; and how long
//! change points take. `cargo bench --profile release --bench gate`
//!
//! A machine is made of four things: noise of each process, a level that wanders from slot to
//! slot, a trend, and spikes. A build is a race of two sides in blocks of four processes, ABBA and
//! BAAB by turns, judged by the very functions that judge real ones; nothing is confirmed by a
//! second session. The targets are asserted.

use std::time::Instant;

use autotune::judge::{
    HistoryRules, HistorySeries, Raced, Rule, Stage, judge_blocks, judge_history,
};
use autotune::model::{Better, GateVerdict, Weight};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Builds of each kind: none that fails in 299 shows a rate of at most 1 % with 95 % confidence.
const BUILDS: u64 = 299;
/// The slowdown that is allowed.
const DELTA: f64 = 0.02;

/// A machine, in logarithms of time.
struct Host {
    name: &'static str,
    /// Standard deviation of one process.
    noise: f64,
    /// Standard deviation of a step of the level, per process.
    walk: f64,
    /// How much slower it is at the end of a ramp, and over how many processes that comes.
    ramp: (f64, f64),
    /// Share of processes that are disturbed, and by how much.
    spikes: (f64, f64),
}

const HOSTS: [Host; 4] = [
    Host { name: "quiet", noise: 0.01, walk: 0.0005, ramp: (0.0, 1.0), spikes: (0.02, 0.10) },
    Host { name: "drifting", noise: 0.02, walk: 0.003, ramp: (0.0, 1.0), spikes: (0.02, 0.10) },
    Host {
        name: "thermal ramp",
        noise: 0.01,
        walk: 0.001,
        ramp: (0.15, 20.0),
        spikes: (0.02, 0.10),
    },
    Host { name: "noisy cloud", noise: 0.04, walk: 0.01, ramp: (0.0, 1.0), spikes: (0.02, 0.20) },
];

struct Chance(Xoshiro256PlusPlus);

impl Chance {
    fn normal(&mut self) -> f64 {
        loop {
            let u = self.0.random_range(-1.0..1.0_f64);
            let v = self.0.random_range(-1.0..1.0_f64);
            let square = u * u + v * v;
            if square > 0.0 && square < 1.0 {
                return u * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }
}

/// The differences of each cell over all blocks; the first cell of the head is slower.
fn blocks(host: &Host, cells: usize, slowdown: f64, count: u32, seed: u64) -> Vec<Vec<f64>> {
    let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed));
    let (mut level, mut slot) = (0.0, 0.0_f64);
    let mut all = vec![Vec::new(); cells];
    for block in 0..count {
        let order = if block % 2 == 0 { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
        let mut sums = vec![[0.0; 2]; cells];
        for side in order {
            level += host.walk * chance.normal();
            slot += 1.0;
            let trend = host.ramp.0 * (1.0 - (-slot / host.ramp.1).exp());
            for (cell, sums) in sums.iter_mut().enumerate() {
                let spike = if chance.0.random_range(0.0..1.0) < host.spikes.0 {
                    host.spikes.1 * chance.normal().abs()
                } else {
                    0.0
                };
                let slower = if cell == 0 && side == 1 { slowdown.ln_1p() } else { 0.0 };
                sums[side] += level + trend + host.noise * chance.normal() + spike + slower;
            }
        }
        for (differences, sums) in all.iter_mut().zip(&sums) {
            differences.push((sums[1] - sums[0]) / 2.0);
        }
    }
    all
}

#[derive(Default)]
struct Tally {
    fail: u64,
    caught: u64,
    inconclusive: u64,
    pass: u64,
    blocks: u64,
}

fn builds(host: &Host, cells: usize, slowdown: f64) -> Tally {
    let rule = Rule::default();
    let mut tally = Tally::default();
    for seed in 0..BUILDS {
        let differences = blocks(host, cells, slowdown, rule.most_blocks, 7 + seed);
        let (mut judged, mut used) = (Vec::new(), 0);
        // As in a race: a verdict may come at each look, and what is decided stays.
        for look in [6, 12, 24, 48] {
            let raced: Vec<Raced<'_>> = differences
                .iter()
                .map(|differences| Raced {
                    delta: DELTA,
                    weight: Weight::Blocking,
                    session_noise: 0.0,
                    differences: &differences[..look],
                })
                .collect();
            let stage = if look == 48 { Stage::Over } else { Stage::Running };
            judged = judge_blocks(&rule, &raced, stage);
            used = look as u64;
            if judged.iter().all(autotune::judge::Judgement::is_decided) {
                break;
            }
        }
        tally.blocks += used;
        let failed = judged.iter().any(|it| it.verdict == GateVerdict::Fail);
        tally.fail += u64::from(failed);
        tally.caught += u64::from(judged[0].verdict == GateVerdict::Fail);
        let open = judged.iter().any(|it| it.verdict == GateVerdict::Inconclusive);
        tally.inconclusive += u64::from(!failed && open);
        tally.pass += u64::from(!failed && !open);
    }
    tally
}

fn share(count: u64) -> f64 {
    100.0 * count as f64 / BUILDS as f64
}

fn main() {
    if std::env::args().any(|it| it == "history") {
        return change_points();
    }
    println!("{BUILDS} builds each, limit {:.0} %, at most 48 blocks", 100.0 * DELTA);
    println!("host          cells  slower   fail  caught  undecided  passed  blocks");
    for (at, host) in HOSTS.iter().enumerate() {
        for cells in [4, 8] {
            for slowdown in [0.0, DELTA, 0.05, 0.10] {
                let tally = builds(host, cells, slowdown);
                println!(
                    "{:<13} {cells:>5} {:>5.0} % {:>6} {:>5.1} %    {:>5.1} % {:>5.1} %  {:>6.1}",
                    host.name,
                    100.0 * slowdown,
                    tally.fail,
                    share(tally.caught),
                    share(tally.inconclusive),
                    share(tally.pass),
                    tally.blocks as f64 / BUILDS as f64,
                );
                let named = format!("{} with {cells} cells at {slowdown}", host.name);
                if slowdown <= 0.0 {
                    assert_eq!(tally.fail, 0, "a false failure on {named}");
                }
                if slowdown <= 0.0 && host.name == "quiet" {
                    assert!(share(tally.inconclusive) < 10.0, "{named} is undecided too often");
                }
                if (slowdown - 0.05).abs() < 1e-9 && at < 3 && cells == 4 {
                    assert!(share(tally.caught) >= 95.0, "{named} is missed");
                }
                if (slowdown - 0.10).abs() < 1e-9 && cells == 4 {
                    assert!(share(tally.caught) >= 99.0, "{named} is missed");
                }
            }
        }
    }
    change_points();
}

/// Ten thousand series of 200 sessions, half of them with one step.
fn change_points() {
    const SERIES: u64 = 10_000;
    let rules = HistoryRules::default();
    let series: Vec<HistorySeries> = (0..SERIES)
        .map(|seed| {
            let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(seed));
            let at = 40 + (seed % 120) as usize;
            let value = |place: usize, draw: f64| {
                let step = if seed % 2 == 0 && place >= at { 0.05 } else { 0.0 };
                (step + 0.01 * draw).exp()
            };
            HistorySeries {
                cell: format!("cell-{seed}"),
                unit: "s".to_owned(),
                better: Better::Lower,
                weight: Weight::Blocking,
                delta: DELTA,
                values: (0..200).map(|place| value(place, chance.normal())).collect(),
                labels: (0..200).map(|place| place.to_string()).collect(),
                accepted: Vec::new(),
            }
        })
        .collect();
    let begun = Instant::now();
    let (mut exact, mut within, mut false_alarms) = (0, 0, 0);
    for (seed, one) in series.iter().enumerate() {
        let found = judge_history(std::slice::from_ref(one), &rules).expect("values are positive");
        let places: Vec<u32> =
            found[0].series.change_points.iter().map(|change| change.index).collect();
        if seed % 2 == 0 {
            let at = u32::try_from(40 + seed % 120).expect("below 200");
            exact += u32::from(places == [at]);
            within += u32::from(
                places.len() == 1 && {
                    let range = found[0].series.change_points[0].range;
                    range.0 <= at && at <= range.1
                },
            );
        } else {
            false_alarms += u32::from(!places.is_empty());
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "\n{SERIES} series of 200 sessions in {took:.1} s: of {} steps of five standard deviations \
         {exact} found at their very place and {within} within the range given; {false_alarms} of {} \
         without a step have one",
        SERIES / 2,
        SERIES / 2
    );
}
