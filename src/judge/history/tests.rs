//! Series as builds see them.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

/// Noise, roughly normal, of this standard deviation.
fn noise(seed: u64, sessions: usize, sd: f64) -> Vec<f64> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..sessions)
        .map(|_| sd * ((0..12).map(|_| chance.random_range(0.0..1.0)).sum::<f64>() - 6.0))
        .collect()
}

/// Seconds around one, with steps in the logarithm.
fn times(seed: u64, sessions: usize, sd: f64, steps: &[(usize, f64)]) -> HistorySeries {
    let level = |at: usize| -> f64 {
        steps.iter().filter(|(from, _)| *from <= at).map(|(_, step)| step).sum()
    };
    let values = noise(seed, sessions, sd);
    HistorySeries {
        cell: "tiny/load".into(),
        unit: "s".into(),
        better: Better::Lower,
        weight: Weight::Blocking,
        delta: 0.02,
        values: values.iter().enumerate().map(|(at, it)| (it + level(at)).exp()).collect(),
        labels: (0..sessions).map(|at| format!("c{at}")).collect(),
        accepted: Vec::new(),
    }
}

fn judge(series: HistorySeries) -> HistoryJudgement {
    judge_history(&[series], &HistoryRules::default()).unwrap().remove(0)
}

#[test]
fn a_recent_slowdown_fails() {
    let judged = judge(times(1, 60, 0.005, &[(54, 0.05)]));
    assert_eq!((judged.verdict, judged.reason), (GateVerdict::Fail, None));
    let [point] = judged.series.change_points.as_slice() else { panic!("{judged:?}") };
    assert!(point.worse && point.fails && (point.index, point.label.as_str()) == (54, "c54"));
    assert!((point.change - 0.05).abs() < 0.01 && (judged.slowdown.unwrap() - 0.05).abs() < 0.01);
    assert!(judged.p_value.unwrap() <= judged.p_required.unwrap());
    let why = judged.why.unwrap();
    assert!(
        why.starts_with("worse by ") && why.contains("since session 55 of 60 (`c54`)"),
        "{why}"
    );
    assert!(judged.next_action.unwrap().starts_with("look at what changed with `c54`"));
}

#[test]
fn speeds_are_judged_the_other_way_round() {
    let mut speeds = times(2, 60, 0.005, &[(54, 0.05)]);
    speeds.better = Better::Higher;
    let judged = judge(speeds.clone());
    assert_eq!(judged.verdict, GateVerdict::Pass, "faster: {judged:?}");
    let [point] = judged.series.change_points.as_slice() else { panic!("{judged:?}") };
    assert!(!point.worse && !point.fails && point.change > 0.04);
    speeds.values.iter_mut().for_each(|value| *value = 1.0 / *value);
    let judged = judge(speeds);
    let point = &judged.series.change_points[0];
    assert!(judged.verdict == GateVerdict::Fail && point.worse && point.change < -0.04);
    assert!((point.before - 1.0).abs() < 0.01 && point.after < 0.97, "{point:?}");
}

#[test]
fn a_slowdown_that_was_accepted_undone_or_is_small_does_not_fail() {
    let mut accepted = times(3, 60, 0.005, &[(54, 0.05)]);
    accepted.accepted = vec![54];
    let judged = judge(accepted);
    assert_eq!((judged.verdict, judged.series.change_points.len()), (GateVerdict::Pass, 1));
    let judged = judge(times(3, 60, 0.005, &[(51, 0.05), (56, -0.05)]));
    assert_eq!((judged.verdict, judged.series.change_points.len()), (GateVerdict::Pass, 2));
    let judged = judge(times(3, 60, 0.002, &[(52, 0.012)]));
    assert_eq!((judged.verdict, judged.series.change_points.len()), (GateVerdict::Pass, 0));
}

#[test]
fn an_old_slowdown_fails_by_the_level_it_left_behind() {
    let judged = judge(times(4, 60, 0.005, &[(30, 0.06)]));
    assert_eq!(judged.verdict, GateVerdict::Fail);
    assert!(judged.why.unwrap().contains("although no recent step fails"));
    assert!(!judged.series.change_points[0].fails);
    assert!((judged.series.drift.unwrap() - 0.06).abs() < 0.015);
    let mut accepted = times(4, 60, 0.005, &[(30, 0.06)]);
    accepted.accepted = vec![30];
    assert_eq!(judge(accepted).verdict, GateVerdict::Pass);
}

#[test]
fn a_slow_drift_fails_that_has_no_step() {
    let mut drifting = times(5, 80, 0.008, &[]);
    let slope = |at: usize| (0.0008 * at as f64).exp();
    drifting.values.iter_mut().enumerate().for_each(|(at, value)| *value *= slope(at));
    let judged = judge(drifting.clone());
    assert_eq!(judged.verdict, GateVerdict::Fail, "{judged:?}");
    assert!(judged.why.unwrap().contains("more than twice the 2.0 % allowed"));
    // The release that it is held against came late: half of the drift was there already.
    let mut pinned = drifting;
    pinned.accepted = vec![40];
    let rules = HistoryRules { pinned: Some("c44".into()), ..HistoryRules::default() };
    let judged = judge_history(&[pinned], &rules).unwrap().remove(0);
    assert_ne!(judged.verdict, GateVerdict::Fail, "{judged:?}");
}

#[test]
fn the_pinned_release_is_a_level_too() {
    let slowly = times(6, 70, 0.004, &[(20, 0.022), (40, 0.022), (55, 0.022)]);
    let rules = HistoryRules { pinned: Some("c10".into()), ..HistoryRules::default() };
    let judged = judge_history(std::slice::from_ref(&slowly), &rules).unwrap().remove(0);
    assert_eq!(judged.verdict, GateVerdict::Fail);
    let unknown = HistoryRules { pinned: Some("v9".into()), ..HistoryRules::default() };
    let error = judge_history(&[slowly], &unknown).unwrap_err();
    assert_eq!(error.to_string(), "no session is called `v9`");
}

#[test]
fn too_few_sessions_and_unstable_ones_say_nothing() {
    let judged = judge(times(7, 11, 0.005, &[]));
    assert_eq!(judged.reason, Some(GateReason::ThinBaseline));
    assert_eq!(judged.next_action.as_deref(), Some("record 1 session more"));
    let turns: Vec<(usize, f64)> =
        (1..15).map(|turn| (4 * turn, if turn % 2 == 1 { 0.1 } else { -0.1 })).collect();
    let judged = judge(times(8, 60, 0.005, &turns));
    assert_eq!(judged.reason, Some(GateReason::Unstable));
    assert!(judged.series.unstable.is_some() && judged.series.change_points.is_empty());
    assert!(judged.next_action.unwrap().starts_with("pin clocks"));
}

#[test]
fn a_single_spike_is_reported_and_is_no_change() {
    let mut spiked = times(9, 60, 0.005, &[]);
    spiked.values[57] *= 1.5;
    let judged = judge(spiked);
    assert_eq!((judged.verdict, judged.series.outliers.as_slice()), (GateVerdict::Pass, &[57][..]));
    assert!(judged.series.change_points.is_empty());
}

#[test]
fn what_could_not_be_seen_does_not_pass() {
    let judged = judge(times(10, 60, 0.05, &[]));
    assert_eq!(judged.reason, Some(GateReason::Blind), "{judged:?}");
    assert!(judged.minimum_detectable.unwrap() > 0.05);
    // Eight cells share 1 %: ranks of twelve sessions cannot reach their level.
    let cells: Vec<HistorySeries> = (0..8).map(|seed| times(seed, 12, 0.002, &[])).collect();
    let judged = judge_history(&cells, &HistoryRules::default()).unwrap();
    assert!(judged.iter().all(|cell| cell.reason == Some(GateReason::Blind)));
    assert!(judged[0].why.as_deref().unwrap().starts_with("cannot fail: needs 14 sessions"));
    // The step is plain, and three sessions after it are too few for any rank test.
    let judged = judge(times(11, 13, 0.002, &[(10, 0.2)]));
    assert_eq!(judged.reason, Some(GateReason::Blind), "{judged:?}");
    let why = judged.why.unwrap();
    assert!(why.contains("cannot fail: needs 4 sessions after it"), "{why}");
    assert_eq!(judged.next_action.as_deref(), Some("record 1 session more"));
}

#[test]
fn advisory_cells_leave_the_error_to_the_blocking_ones() {
    let mut cells: Vec<HistorySeries> =
        (0..8).map(|seed| times(20 + seed, 40, 0.005, &[])).collect();
    let level = |cells: &[HistorySeries]| {
        let slower = times(12, 40, 0.005, &[(33, 0.1)]);
        let all: Vec<HistorySeries> = std::iter::once(slower).chain(cells.to_vec()).collect();
        judge_history(&all, &HistoryRules::default()).unwrap()[0].p_required.unwrap()
    };
    let shared = level(&cells);
    for cell in &mut cells {
        cell.weight = Weight::Advisory;
    }
    assert!(shared < 0.001 && level(&cells) > 0.004);
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let told = |change: fn(&mut HistorySeries)| {
        let mut series = times(13, 20, 0.01, &[]);
        change(&mut series);
        judge_history(&[series], &HistoryRules::default()).unwrap_err().to_string()
    };
    for (value, word) in [(0.0, "0"), (-1.5, "-1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let mut series = times(13, 20, 0.01, &[]);
        series.values[3] = value;
        let error = judge_history(&[series], &HistoryRules::default()).unwrap_err();
        let line =
            format!("session 4 (`c3`) of `tiny/load` has the value {word}, not a positive number");
        assert_eq!(error.to_string(), line);
    }
    assert_eq!(told(|it| it.labels.truncate(19)), "`tiny/load` has 20 values and 19 labels");
    assert!(told(|it| it.accepted.push(20)).contains("no session 21"));
    assert!(told(|it| it.delta = 0.0).starts_with("the slowdown allowed of `tiny/load` is 0,"));
    let rules = HistoryRules { alpha: 1.0, ..HistoryRules::default() };
    assert!(judge_history(&[], &rules).is_err());
    assert_eq!(judge_history(&[], &HistoryRules::default()), Ok(Vec::new()));
}

#[test]
fn builds_without_a_change_hardly_ever_fail() {
    for (sessions, sd) in [(20, 0.01), (60, 0.01), (60, 0.03), (200, 0.05)] {
        let failed = (0..300)
            .filter(|build| {
                let cells: Vec<HistorySeries> =
                    (0..8).map(|cell| times(build * 100 + cell, sessions, sd, &[])).collect();
                let judged = judge_history(&cells, &HistoryRules::default()).unwrap();
                judged.iter().any(|cell| cell.verdict == GateVerdict::Fail)
            })
            .count();
        // 1 % of 300 with three standard deviations.
        assert!(failed <= 8, "{failed} of 300 builds with {sessions} sessions");
    }
}

#[test]
fn true_slowdowns_fail_as_soon_as_five_sessions_show_them() {
    let caught = (0..200)
        .filter(|build| {
            let mut cells: Vec<HistorySeries> =
                (0..4).map(|cell| times(build * 10 + cell, 60, 0.01, &[])).collect();
            cells[2] = times(build * 10 + 5000, 60, 0.01, &[(55, 0.05)]);
            let judged = judge_history(&cells, &HistoryRules::default()).unwrap();
            judged[2].verdict == GateVerdict::Fail
        })
        .count();
    // Measured: 87 % for five standard deviations and the error of four cells.
    assert!(caught >= 160, "{caught} of 200");
}
