//! Which look is worth its time: expected improvement of a whole turn per second.
//!
//! Prefill and decode have a surrogate each, which sees only the knobs that act on its part. A
//! turn is their sum, so the best of one part and the best of the other are one setting without
//! ever having been seen together.

use std::collections::HashMap;

use autotune_engine::api::Setting;
use statrs::distribution::{ContinuousCDF, Normal};

use super::cost::Cost;
use super::field::{Field, Point};
use super::ledger::Ledger;
use super::surrogate::{Belief, Look, Surrogate};
use crate::model::{Phase, Plan, Purpose};

/// Change of the logarithm of time that a look at a cached result may be off by besides noise.
const CACHE_SD: f64 = 0.03;
/// Noise of one comparison where nothing is known of it.
const UNKNOWN_SD: f64 = 0.02;
/// A change of what is loaded pays for so many further looks there.
const LOOKS_PER_LOAD: f64 = 8.0;
/// A step from the best is worth a look unless it is believed to cost so many times as much.
const HOPEFUL: f64 = 1.06;
/// Best settings around which, and around the baseline, a large space is sampled.
const CENTRES: usize = 2;
/// Best points whose neighbours are tried too.
const CLIMBS: usize = 3;
/// Steps of one climb at most.
const STEPS: usize = 4;

/// What the trials of a search let believe.
#[derive(Debug)]
pub(super) struct Map<'l, 'a, 'f> {
    ledger: &'l Ledger<'a>,
    field: &'l Field<'f>,
    /// One per phase; `None` where the workload has no such part or nothing was seen.
    parts: [Option<Side>; 2],
}

/// One part of a turn.
#[derive(Debug)]
struct Side {
    phase: Phase,
    surrogate: Surrogate,
    /// Its share of the baseline's cost.
    share: f64,
}

/// A proposal and what it promises.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Promise {
    pub(super) setting: Setting,
    /// Expected improvement as a share of the best cost.
    pub(super) improvement: f64,
}

impl<'l, 'a, 'f> Map<'l, 'a, 'f> {
    /// The belief after the trials so far; `None` before the baseline ran.
    pub(super) fn new(ledger: &'l Ledger<'a>, field: &'l Field<'f>) -> Option<Self> {
        let shares = ledger.shares()?;
        let parts =
            [(Phase::Prefill, shares[0]), (Phase::Decode, shares[1])].map(|(phase, share)| {
                let looks = looks(ledger, field, phase);
                let seed = ledger.plan.seed ^ ((looks.len() as u64 / 5) << 20) ^ phase as u64;
                let surrogate = Surrogate::of(&looks, &field.unordered(phase), seed);
                (share > 0.0).then_some(()).and(surrogate).map(|surrogate| Side {
                    phase,
                    surrogate,
                    share,
                })
            });
        parts.iter().any(Option::is_some).then_some(Self { ledger, field, parts })
    }

    /// The cost of a turn in units of the baseline's.
    pub(super) fn turn(&self, point: &[u8], memory: &mut Memory) -> Belief {
        let (mut mean, mut variance) = (0.0, 0.0);
        for side in self.parts.iter().flatten() {
            let at = self.field.coordinates(point, side.phase);
            let key = (side.phase, at.iter().map(|it| it.to_bits()).collect::<Vec<_>>());
            let log = *memory.0.entry(key).or_insert_with(|| {
                let residual = side.surrogate.belief(&at);
                let setting = self.field.written(point);
                let prior = setting.map_or(0.0, |it| prior(self.ledger.plan, &it, side.phase));
                Belief { mean: residual.mean + prior, ..residual }
            });
            // Mean and variance of a log-normal variable.
            let square = log.sd * log.sd;
            let own = side.share * (log.mean + square / 2.0).exp();
            mean += own;
            variance += own * own * square.exp_m1();
        }
        Belief { mean, sd: variance.sqrt() }
    }

    /// The settings that were looked at with the cost that is believed of them, best first.
    pub(super) fn standing(&self) -> Vec<(Setting, f64)> {
        let mut memory = Memory::default();
        let mut standing: Vec<(Setting, f64)> = self
            .ledger
            .seen()
            .iter()
            .copied()
            .filter_map(|setting| {
                let point = self.field.point(setting)?;
                Some((setting.clone(), self.turn(&point, &mut memory).mean))
            })
            .collect();
        standing.sort_by(|a, b| a.1.total_cmp(&b.1));
        standing
    }

    /// A setting one step from the best in a single knob that was not looked at and is not
    /// believed to be hopeless: expected improvement can be sure of itself too early.
    pub(super) fn beside_the_best(&self) -> Option<Setting> {
        let mut memory = Memory::default();
        let (best, cost) = self.standing().into_iter().next()?;
        let best = self.field.point(&best)?;
        let seen = |setting: &Setting| {
            *setting == self.ledger.plan.baseline || self.ledger.has_seen(setting)
        };
        self.field.steps(&best).find_map(|point| {
            let setting = self.field.setting(&point)?;
            let wanted = !seen(&setting) && self.ledger.may_run(&setting);
            let hopeful = wanted && self.turn(&point, &mut memory).mean <= cost * HOPEFUL;
            hopeful.then_some(setting)
        })
    }

    /// The look that promises most per second among those not taken yet.
    pub(super) fn best_look(&self, cost: &Cost, chance: &mut impl rand::Rng) -> Option<Promise> {
        let mut memory = Memory::default();
        let standing = self.standing();
        let best = standing.first().map_or(1.0, |(_, cost)| *cost).min(1.0);
        let good = standing.iter().take(CENTRES).map(|(setting, _)| setting);
        let centres: Vec<Point> = good
            .chain([&self.ledger.plan.baseline])
            .filter_map(|setting| self.field.point(setting))
            .collect();
        let looked_at = self.ledger.seen().iter().copied().chain([&self.ledger.plan.baseline]);
        let seen: Vec<Point> = looked_at.filter_map(|it| self.field.point(it)).collect();
        let mut pool: Vec<(Point, f64, f64)> = Vec::new();
        let mut weigh = |point: Point, pool: &mut Vec<(Point, f64, f64)>| {
            if seen.contains(&point) || pool.iter().any(|(known, _, _)| *known == point) {
                return;
            }
            let belief = self.turn(&point, &mut memory);
            let improvement = expected_improvement(best, belief);
            let seconds = self.field.setting(&point).map_or(f64::INFINITY, |setting| {
                cost.look_ms(&setting, belief.mean, LOOKS_PER_LOAD)
            });
            pool.push((point, improvement, improvement / seconds.max(1e-3)));
        };
        let candidates = self.field.pool(&centres, chance);
        let small = candidates.len() == self.field.size();
        for point in self.promising(candidates, best) {
            weigh(point, &mut pool);
        }
        pool.sort_by(|a, b| b.2.total_cmp(&a.2));
        if !small {
            self.climb(&mut pool, &mut weigh);
        }
        let promise = |(point, improvement, _): &(Point, f64, f64)| {
            let setting = self.field.setting(point)?;
            let wanted = self.ledger.may_run(&setting);
            wanted.then_some(Promise { setting, improvement: improvement / best.max(1e-9) })
        };
        pool.iter().find_map(promise)
    }

    /// The points that improve most among those that may be looked at, without what they cost:
    /// what is dear to reckon is reckoned for a few of them.
    fn promising(&self, points: Vec<Point>, best: f64) -> Vec<Point> {
        /// Points whose costs are reckoned.
        const KEPT: usize = 300;
        let mut memory = Memory::default();
        let mut promising: Vec<(Point, f64)> = points
            .into_iter()
            .map(|point| {
                let belief = self.turn(&point, &mut memory);
                (point, expected_improvement(best, belief))
            })
            .filter(|(_, improvement)| *improvement > 0.0)
            .collect();
        promising.sort_by(|a, b| b.1.total_cmp(&a.1));
        let open = |point: &Point| {
            let setting = self.field.setting(point);
            setting.is_some_and(|it| !self.ledger.has_seen(&it) && self.ledger.may_run(&it))
        };
        promising.into_iter().map(|(point, _)| point).filter(open).take(KEPT).collect()
    }

    /// From the best points of a sample to better ones beside them.
    fn climb(
        &self,
        pool: &mut Vec<(Point, f64, f64)>,
        weigh: &mut impl FnMut(Point, &mut Vec<(Point, f64, f64)>),
    ) {
        let starts: Vec<Point> = pool.iter().take(CLIMBS).map(|it| it.0.clone()).collect();
        for start in starts {
            let mut top = start;
            for _ in 0..STEPS {
                let mut beside = Vec::new();
                for neighbour in self.field.neighbours(&top).collect::<Vec<_>>() {
                    weigh(neighbour, &mut beside);
                }
                let better = beside.iter().max_by(|a, b| a.2.total_cmp(&b.2)).cloned();
                let own = pool.iter().find(|it| it.0 == top).map_or(0.0, |it| it.2);
                pool.append(&mut beside);
                match better.filter(|it| it.2 > own) {
                    Some(better) => top = better.0,
                    None => break,
                }
            }
        }
        pool.sort_by(|a, b| b.2.total_cmp(&a.2));
    }
}

/// Beliefs that were reckoned already, by phase and place.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<(Phase, Vec<u64>), Belief>);

/// What a look at this belief is expected to lower the best cost by (Jones, Schonlau and Welch,
/// 1998), the cost being taken as log-normal with this mean and deviation: what is unsure of a slow
/// setting is mostly how much slower it is.
fn expected_improvement(best: f64, belief: Belief) -> f64 {
    let relative = belief.sd / belief.mean.max(1e-12);
    let log_sd = relative.mul_add(relative, 1.0).ln().sqrt();
    if log_sd < 1e-9 {
        return (best - belief.mean).max(0.0);
    }
    let standard = Normal::standard();
    let distance = ((best / belief.mean).ln() + log_sd * log_sd / 2.0) / log_sd;
    best * standard.cdf(distance) - belief.mean * standard.cdf(distance - log_sd)
}

/// Every look of the search as the surrogate of a phase takes it: the logarithm of the time over
/// the baseline's beside it, less what was expected, looks at the same place put together.
fn looks(ledger: &Ledger<'_>, field: &Field<'_>, phase: Phase) -> Vec<Look> {
    let sd = ledger.noise_of(phase).unwrap_or(UNKNOWN_SD).max(1e-3);
    let mut gathered: Vec<(Vec<f64>, f64, f64)> = Vec::new();
    let mut add = |at: Vec<f64>, value: f64, weight: f64| match gathered
        .iter_mut()
        .find(|(known, _, _)| *known == at)
    {
        Some((_, sum, weights)) => {
            *sum += value * weight;
            *weights += weight;
        }
        None => gathered.push((at, value * weight, weight)),
    };
    let baseline = &ledger.plan.baseline;
    if let Some(point) = field.point(baseline) {
        let value = -prior(ledger.plan, baseline, phase);
        add(field.coordinates(&point, phase), value, 4.0 / (sd * sd));
    }
    for look in ledger.looks(&[Purpose::Search]) {
        let Some(point) = field.point(&look.trial.asked) else { continue };
        let Some(slower) = look.slower(phase) else { continue };
        let cached = look.trial.source == crate::model::Source::Cache;
        let sd = if cached { sd.hypot(CACHE_SD) } else { sd };
        let value = slower - prior(ledger.plan, &look.trial.asked, phase);
        add(field.coordinates(&point, phase), value, 1.0 / (sd * sd));
    }
    gathered
        .into_iter()
        .map(|(at, sum, weight)| Look { at, value: sum / weight, variance: 1.0 / weight })
        .collect()
}

/// What the machine's peaks let expect of a setting's time in a phase: the logarithm of its ratio
/// to the baseline's, from the thread count; 0 where nothing is known.
pub(super) fn prior(plan: &Plan, setting: &Setting, phase: Phase) -> f64 {
    let threads = |setting: &Setting| match phase {
        Phase::Prefill => setting.threads.threads_batch,
        Phase::Decode => setting.threads.threads,
    };
    let rate = |setting| plan.prior.as_ref()?.rate(phase, threads(setting));
    match (rate(&plan.baseline), rate(setting)) {
        (Some(base), Some(own)) => (base / own).ln(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn improvement_is_expected_where_a_belief_is_low_or_unsure() {
        let of = |mean, sd| expected_improvement(1.0, Belief { mean, sd });
        // As a call option at the money: 2 Φ(s/2) - 1, s the deviation of the logarithm.
        let log_sd = 1.01_f64.ln().sqrt();
        let exact = 2.0 * Normal::standard().cdf(log_sd / 2.0) - 1.0;
        assert!((of(1.0, 0.1) - exact).abs() < 1e-12 && exact > 0.039);
        assert!(of(0.9, 0.1) > of(1.0, 0.1) && of(1.0, 0.2) > of(1.0, 0.1));
        assert!((of(0.8, 0.0) - 0.2).abs() < 1e-12 && of(1.2, 0.0) == 0.0);
        // A setting that may be twenty or sixty times as slow promises nothing.
        assert!(of(40.0, 40.0) < 1e-3);
    }
}
