//! How near the search comes to the best of all mixes.

use std::collections::BTreeMap;

use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

/// The smallest divergence of all mixes within so many bytes, by dynamic programming over the
/// pairs of bytes and divergence that no other pair beats.
fn optimum(problem: &Problem, most: u64) -> f64 {
    let mut front: BTreeMap<u64, f64> = BTreeMap::from([(0, 0.0)]);
    for tensor in 0..problem.tensors.len() {
        let mut next: BTreeMap<u64, f64> = BTreeMap::new();
        for (bytes, divergence) in &front {
            for part in (0..TYPES.len()).filter_map(|kind| problem.part(tensor, kind)) {
                let place = next.entry(bytes + part.bytes).or_insert(f64::INFINITY);
                *place = place.min(divergence + part.divergence);
            }
        }
        let mut least = f64::INFINITY;
        next.retain(|bytes, divergence| {
            let keep = *bytes <= most && *divergence < least;
            least = if keep { *divergence } else { least };
            keep
        });
        front = next;
    }
    *front.values().last().unwrap()
}

/// Every mix there is, with its total.
fn all_mixes(problem: &Problem) -> Vec<(Vec<usize>, Total)> {
    let mut mixes: Vec<Vec<usize>> = vec![Vec::new()];
    for tensor in &problem.tensors {
        let kinds = || (0..TYPES.len()).filter(|kind| tensor.cost(*kind).is_some());
        let longer = |mix: Vec<usize>| kinds().map(move |kind| [mix.clone(), vec![kind]].concat());
        mixes = mixes.into_iter().flat_map(longer).collect();
    }
    mixes.into_iter().map(|mix| (problem.total(&mix).unwrap(), mix)).map(|(a, b)| (b, a)).collect()
}

/// What the guards say, in the words of their description.
pub(super) fn keeps_guards(problem: &Problem, types: &[usize], total: &Total) -> bool {
    let (all, average) = (problem.weights(), total.bytes as f64 * 8.0 / problem.weights() as f64);
    problem.tensors.iter().zip(types).all(|(tensor, kind)| {
        let group = problem.tensors.iter().filter(|it| it.group == tensor.group);
        let small = (group.map(|it| it.weights).sum::<u64>() as f64) < 0.02 * all as f64;
        let ends = ["token_embd", "output"].contains(&&*tensor.group);
        let steps = match (small, ends) {
            _ if problem.guards.rules.is_empty() => return true,
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => return true,
        };
        let mut costs: Vec<Cost> = tensor.costs.iter().flatten().copied().collect();
        costs.sort_by_key(|cost| cost.bytes);
        let bits = |cost: &Cost| cost.bytes as f64 * 8.0 / tensor.weights as f64;
        let step = costs.iter().rposition(|cost| bits(cost) <= average).unwrap_or(0);
        let best = costs.iter().min_by(|a, b| a.error.total_cmp(&b.error)).unwrap();
        let own = tensor.cost(*kind).unwrap();
        own.bytes >= costs[step.saturating_sub(steps)].bytes.min(best.bytes)
    })
}

/// So many problems of one shape with a share of their bytes each, the same ones every time.
fn drawn_problems(
    count: usize,
    shape: impl Strategy<Value = Problem>,
) -> impl Iterator<Item = (Problem, f64)> {
    let mut runner = TestRunner::deterministic();
    let shape = (shape, 0.0..1.0_f64);
    (0..count).map(move |_| shape.new_tree(&mut runner).unwrap().current())
}

/// Asserts on the mean and the largest of what is lost against the optimum, as shares.
fn assert_near(gaps: &[f64], mean: f64, most: f64) {
    let (sum, largest) = gaps.iter().fold((0.0, 0.0_f64), |(a, b), gap| (a + gap, b.max(*gap)));
    assert!(gaps.iter().all(|gap| *gap > -1e-9), "better than the optimum");
    assert!(sum / gaps.len() as f64 <= mean && largest <= most, "{sum} {largest}");
}

fn gap(problem: &Problem, most: u64) -> f64 {
    let mix = choose(problem, &[], &budget(most, None)).unwrap();
    mix.predicted_divergence / optimum(problem, most) - 1.0
}

#[test]
fn few_tensors_have_the_best_mix_or_nearly_so() {
    let drawn = drawn_problems(300, problem(3..14, Guards::none()));
    let gaps: Vec<f64> = drawn.map(|(it, share)| gap(&it, bytes(&it, share))).collect();
    assert_near(&gaps, 0.001, 0.05);
}

#[test]
fn many_tensors_lose_less_than_can_be_measured() {
    let drawn = drawn_problems(15, problem(41..80, Guards::none()));
    let gaps: Vec<f64> = drawn.map(|(it, share)| gap(&it, bytes(&it, share))).collect();
    assert_near(&gaps, 0.002, 0.01);
}

#[test]
fn guards_and_time_are_limits_that_cost_little_more() {
    for (guards, time) in [(true, false), (false, true), (true, true)] {
        let guards = if guards { Guards::default() } else { Guards::none() };
        let gap = |(problem, share): (Problem, f64)| {
            let most = bytes(&problem, share);
            let mixes = all_mixes(&problem);
            let fast = mixes.iter().map(|(_, it)| it.seconds).fold(f64::INFINITY, f64::min);
            let seconds = if time { fast * 1.2 } else { f64::INFINITY };
            let fits = |types: &[usize], total: &Total| {
                total.bytes <= most
                    && total.seconds <= seconds
                    && keeps_guards(&problem, types, total)
            };
            let fitting = mixes.iter().filter(|(types, total)| fits(types, total));
            let best = fitting.map(|(_, it)| it.divergence).reduce(f64::min);
            match (choose(&problem, &[], &budget(most, Some(seconds))), best) {
                (Ok(mix), Some(best)) => mix.predicted_divergence / best - 1.0,
                (Err(_), None) => 0.0,
                (found, best) => panic!("{found:?} where the best is {best:?}"),
            }
        };
        let gaps: Vec<f64> = drawn_problems(100, problem(3..6, guards)).map(gap).collect();
        assert_near(&gaps, 0.002, 0.05);
    }
}

/// What no mix within the limits can be predicted below: the best of many Lagrangian bounds, each
/// of prices per byte and per second.
fn bound(problem: &Problem, bytes: u64, seconds: f64) -> f64 {
    let parts: Vec<Vec<Total>> = (0..problem.tensors.len())
        .map(|tensor| (0..TYPES.len()).filter_map(|kind| problem.part(tensor, kind)).collect())
        .collect();
    let at = |per_byte: f64, per_second: f64| {
        let price = |it: &Total| it.bytes as f64 * per_byte + it.seconds * per_second;
        let least = parts.iter().map(|parts| {
            parts.iter().map(|it| it.divergence + price(it)).fold(f64::INFINITY, f64::min)
        });
        least.sum::<f64>() - bytes as f64 * per_byte - seconds * per_second
    };
    let prices = (-240..0).map(|power| (f64::from(power) / 12.0).exp2());
    let pairs = prices.flat_map(|price| {
        (0..=40).map(move |part| f64::from(part) / 40.0).map(move |it| (price, it))
    });
    pairs.map(|(price, it)| at(price * (1.0 - it), price * it)).fold(0.0, f64::max)
}

#[test]
fn many_tensors_under_both_limits_stay_near_the_bound() {
    let gap = |(problem, share): (Problem, f64)| {
        let most = bytes(&problem, 0.1 + 0.6 * share);
        let free = choose(&problem, &[], &budget(most, None)).unwrap();
        let seconds = free.seconds * 0.93;
        let mix = choose(&problem, &[], &budget(most, Some(seconds))).unwrap();
        mix.predicted_divergence / bound(&problem, most, seconds) - 1.0
    };
    let gaps: Vec<f64> = drawn_problems(12, problem(41..80, Guards::none())).map(gap).collect();
    assert_near(&gaps, 0.03, 0.1);
}
