//! What is found in seeded series, and how often.

use super::*;
use crate::stats::chance::Normals;

/// Noise of one around levels that begin at the places given.
fn levels(normals: &mut Normals, points: usize, steps: &[(usize, f64)]) -> Vec<f64> {
    (0..points)
        .map(|index| {
            let level: f64 =
                steps.iter().filter(|(at, _)| *at <= index).map(|(_, step)| step).sum();
            level + normals.draw()
        })
        .collect()
}

fn found(values: &[f64]) -> Vec<usize> {
    change_points(values, 0.0).unwrap().into_iter().map(|change| change.index).collect()
}

#[test]
fn a_plain_step_is_found_with_its_levels() {
    let mut values = levels(&mut Normals::seeded(1), 40, &[(25, -8.0)]);
    let change = change_points(&values, 0.0).unwrap().remove(0);
    assert_eq!((change.index, change.points_before, change.points_after), (25, 25, 15));
    assert!(change.range.0 <= 25 && change.range.1 >= 25 && change.p_value < 1e-4, "{change:?}");
    assert!(change.before.abs() < 1.0 && (change.after + 8.0).abs() < 1.0, "{change:?}");
    assert_eq!(change_points(&values, 9.5), Some(vec![]), "smaller than asked for");
    values.reverse();
    assert_eq!(found(&values), [15]);
}

#[test]
fn steps_with_ten_points_on_each_side_are_found_at_their_place() {
    // Share of 400 series found; of those, share at the exact place; share with it in the range.
    for (points, at, step, seen, exact, within) in [
        (20, 10, 5.0, 0.97, 0.95, 0.98),
        (20, 10, 8.0, 0.99, 0.99, 0.99),
        (60, 30, 3.0, 0.98, 0.80, 0.98),
        (60, 50, 3.0, 0.97, 0.78, 0.98),
        (60, 30, 5.0, 0.99, 0.97, 0.99),
        (60, 50, 8.0, 1.00, 0.99, 0.99),
        (200, 190, 3.0, 0.98, 0.78, 0.98),
        (200, 100, 8.0, 1.00, 0.99, 0.99),
        (60, 30, 20.0, 1.0, 1.0, 1.0),
    ] {
        let mut normals = Normals::seeded(points as u64);
        let changes: Vec<LevelChange> = (0..400)
            .filter_map(|_| {
                let values = levels(&mut normals, points, &[(at, step)]);
                let changes = change_points(&values, 0.0).unwrap();
                changes.into_iter().min_by_key(|change| change.index.abs_diff(at))
            })
            .collect();
        let share = |of: &dyn Fn(&LevelChange) -> bool| {
            changes.iter().filter(|change| of(change)).count() as f64 / changes.len() as f64
        };
        let told = changes.len() as f64 / 400.0;
        let (hit, around) =
            (share(&|it| it.index == at), share(&|it| it.range.0 <= at && at <= it.range.1));
        let right = told >= seen && hit >= exact && around >= within;
        assert!(right, "{points} points, step {step} at {at}: {told}, {hit}, {around}");
    }
}

#[test]
fn three_points_after_a_step_are_enough_if_it_is_large() {
    let mut normals = Normals::seeded(3);
    let hits = (0..300).filter(|_| found(&levels(&mut normals, 60, &[(57, 6.0)])) == [57]).count();
    assert!(hits >= 290, "{hits} of 300");
}

#[test]
fn several_steps_are_told_apart() {
    let mut normals = Normals::seeded(4);
    let steps = [(40, 5.0), (52, -5.0), (90, 6.0), (140, -4.0)];
    let hits = (0..300).filter(|_| {
        let found = found(&levels(&mut normals, 200, &steps));
        found.len() == 4 && found.iter().zip(steps).all(|(at, (step, _))| at.abs_diff(step) <= 2)
    });
    let hits = hits.count();
    assert!(hits >= 285, "{hits} of 300");
}

#[test]
fn series_without_a_change_seldom_have_one() {
    for points in [12, 20, 60, 200] {
        let mut normals = Normals::seeded(points as u64 + 1);
        let wrong = (0..2000).filter(|_| !found(&normals.take(points)).is_empty()).count();
        // Measured: 0.6 % at 12 points, 0.3 % at 20, 0.2 % at 60, 0.04 % at 200.
        assert!(wrong <= 20, "{wrong} of 2000 with {points} points");
    }
}

#[test]
fn a_single_spike_is_never_a_change() {
    let mut normals = Normals::seeded(6);
    for points in [12, 20, 60] {
        for at in 0..points {
            for height in [5.0, 20.0, 1000.0, -30.0] {
                let mut values = normals.take(points);
                let calm = found(&values);
                values[at] += height;
                let spiked = found(&values);
                let near = |place: &usize| place.abs_diff(at) <= 1 || place.abs_diff(at + 1) <= 1;
                assert!(
                    calm == spiked || !spiked.iter().any(near),
                    "{height} at {at} of {points}: {spiked:?}"
                );
            }
        }
    }
}

#[test]
fn what_scatters_less_than_its_rounding_is_no_change() {
    assert_eq!(change_points(&[2.5; 40], 0.0), Some(vec![]));
    let mut normals = Normals::seeded(8);
    let wrong = (0..500)
        .filter(|_| {
            let rounded: Vec<f64> =
                levels(&mut normals, 60, &[]).iter().map(|value| (value / 2.0).round()).collect();
            !found(&rounded).is_empty()
        })
        .count();
    assert!(wrong <= 25, "{wrong} of 500");
    let step: Vec<f64> = (0..30).map(|index| if index < 18 { 1.0 } else { 2.0 }).collect();
    assert_eq!(found(&step), [18]);
}

#[test]
fn two_levels_that_take_turns_are_unstable() {
    let mut normals = Normals::seeded(9);
    let mut seen = 0;
    for _ in 0..300 {
        let mut high = false;
        let values: Vec<f64> = (0..60)
            .map(|_| {
                high ^= normals.draw() > 1.0;
                normals.draw() + if high { 10.0 } else { 0.0 }
            })
            .collect();
        let changes = change_points(&values, 0.0).unwrap();
        seen += usize::from(instability(&values, &changes, 0.0).is_some());
        // Modes nearer to each other than is allowed are none.
        let modes = instability(&values, &[], 20.0);
        assert!(!matches!(modes, Some(Instability::Bimodal { .. })), "{modes:?}");
    }
    assert!(seen >= 290, "{seen} of 300");
}

#[test]
fn wandering_is_unstable_and_slopes_steps_and_noise_are_not() {
    let mut normals = Normals::seeded(10);
    let (mut walks, mut slopes, mut steps, mut calm) = (0, 0, 0, 0);
    for _ in 0..300 {
        let unstable = |values: &[f64]| {
            let changes = change_points(values, 0.0).unwrap();
            usize::from(instability(values, &changes, 0.0).is_some())
        };
        let noise = normals.take(100);
        calm += unstable(&noise);
        let slope: Vec<f64> = (0..100).map(|at| noise[at] + 0.08 * at as f64).collect();
        slopes += unstable(&slope);
        steps += unstable(&levels(&mut normals, 100, &[(30, 5.0), (70, 5.0)]));
        let mut level = 0.0;
        let walk: Vec<f64> = noise
            .iter()
            .map(|draw| {
                level += draw;
                level
            })
            .collect();
        walks += unstable(&walk);
        assert_eq!(instability(&walk, &[], 1000.0), None, "it wanders within what is allowed");
    }
    assert!(
        walks >= 280 && slopes <= 6 && steps <= 6 && calm <= 3,
        "{walks} {slopes} {steps} {calm}"
    );
}

#[test]
fn many_changes_are_unstable() {
    let change = |index| LevelChange {
        index,
        before: 0.0,
        after: 1.0,
        points_before: 5,
        points_after: 5,
        p_value: 0.001,
        range: (index, index),
    };
    let values = Normals::seeded(11).take(40);
    let all = [change(10), change(20), change(30)];
    assert_eq!(instability(&values, &all, 0.0), Some(Instability::TooManyChanges { changes: 3 }));
    assert_eq!(instability(&values[..15], &all[..1], 0.0), None, "one is never too many");
}

#[test]
fn the_smallest_step_is_found_as_often_as_said() {
    for (points, after) in [(20, 5), (60, 3), (60, 10), (200, 5)] {
        let mut normals = Normals::seeded(12);
        // The step for a noise of one: a series' own estimate scatters around it.
        let step = smallest_step_for(1.0, points - after, after, 0.01).unwrap();
        let seen = (0..400)
            .filter(|_| !found(&levels(&mut normals, points, &[(points - after, step)])).is_empty())
            .count();
        // 80 % with three standard deviations, and what the rule of thumb is off by.
        assert!((284..=356).contains(&seen), "{seen} of 400, {after} after {points}");
    }
    let values = Normals::seeded(13).take(12);
    assert!(smallest_step(&values, 6, 0.01).unwrap() > 1.0);
    assert_eq!(smallest_step(&values, 3, 0.001), None, "ranks cannot");
    assert_eq!(smallest_step(&values, 2, 0.01), None);
    assert_eq!(smallest_step(&values[1..], 3, 0.01), None);
}

#[test]
fn what_cannot_be_searched_is_not() {
    assert_eq!(change_points(&[1.0; 11], 0.0), None);
    let mut values = vec![1.0; 20];
    values[4] = f64::NAN;
    assert_eq!(change_points(&values, 0.0), None);
    assert_eq!(instability(&values, &[], 0.0), None);
    assert!((change_floor(9, 3) - 2.0 / 220.0).abs() < 1e-15);
    assert!((change_floor(0, 3) - 1.0).abs() < 1e-15);
}

#[test]
#[ignore = "prints how often noise has a change, and how long a search takes"]
fn how_often_and_how_fast() {
    for points in [12, 20, 60, 200] {
        let mut normals = Normals::seeded(points as u64 + 7);
        let series: Vec<Vec<f64>> = (0..10_000).map(|_| normals.take(points)).collect();
        let start = std::time::Instant::now();
        let wrong = series.iter().filter(|values| !found(values).is_empty()).count();
        println!("{points} points: {wrong} of 10 000 in {:?}", start.elapsed());
    }
}
