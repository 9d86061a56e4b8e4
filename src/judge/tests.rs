//! The rules on seeded machines: nothing fails that is not slower, what is slower does.

use super::*;
use crate::model::{Better, GateCell, GateClass, GateReason, GateVerdict, Waiver, Weight};
use crate::stats::chance::Normals;

const DELTA: f64 = 0.02;

fn raced<'a>(cells: &'a [Vec<f64>], session_noise: f64) -> Vec<Raced<'a>> {
    let one = |differences: &'a Vec<f64>| Raced {
        delta: DELTA,
        weight: Weight::Blocking,
        session_noise,
        differences,
    };
    cells.iter().map(one).collect()
}

fn blocks(normals: &mut Normals, slowdown: f64, sd: f64, count: usize) -> Vec<f64> {
    (0..count).map(|_| slowdown.ln_1p() + sd * normals.draw()).collect()
}

#[test]
fn nothing_that_is_not_slower_fails_and_what_is_does() {
    let mut normals = Normals::seeded(1);
    let rule = Rule::default();
    let (mut failed, mut caught) = (0, 0);
    for _ in 0..200 {
        let cells: Vec<Vec<f64>> = (0..4).map(|_| blocks(&mut normals, DELTA, 0.01, 48)).collect();
        let judged = judge_blocks(&rule, &raced(&cells, 0.0), Stage::Over);
        failed += usize::from(judged.iter().any(|it| it.verdict == GateVerdict::Fail));
        let cells: Vec<Vec<f64>> = (0..4)
            .map(|cell| blocks(&mut normals, if cell == 2 { 0.05 } else { 0.0 }, 0.01, 48))
            .collect();
        let judged = judge_blocks(&rule, &raced(&cells, 0.0), Stage::Over);
        caught += usize::from(judged[2].verdict == GateVerdict::Fail);
        assert!(judged[0].verdict != GateVerdict::Fail);
    }
    // At the limit itself: 1 % of 200 and three standard deviations.
    assert!(failed <= 6, "{failed}");
    assert!(caught >= 195, "{caught}");
}

#[test]
fn one_spike_fails_nobody() {
    let mut normals = Normals::seeded(2);
    for place in 0..6 {
        let mut cell = blocks(&mut normals, 0.0, 0.002, 6);
        cell[place] += 1.0;
        let cells = [cell];
        let judged = judge_blocks(&Rule::default(), &raced(&cells, 0.0), Stage::Over);
        assert_ne!(judged[0].verdict, GateVerdict::Fail);
    }
}

#[test]
fn an_interval_above_the_limit_is_a_failure_and_below_it_a_pass() {
    let mut normals = Normals::seeded(3);
    for slowdown in [-0.05, 0.0, 0.01, 0.02, 0.03, 0.05, 0.2] {
        let cells = [blocks(&mut normals, slowdown, 0.01, 24)];
        let judged = &judge_blocks(&Rule::default(), &raced(&cells, 0.003), Stage::Over)[0];
        let (low, high) = judged.interval.unwrap();
        match judged.verdict {
            GateVerdict::Fail => assert!(low >= DELTA, "{judged:?}"),
            GateVerdict::Pass => assert!(high <= DELTA, "{judged:?}"),
            _ => assert!(low <= DELTA && high >= DELTA && judged.reason.is_some(), "{judged:?}"),
        }
    }
}

#[test]
fn what_was_decided_at_a_look_stays_whatever_comes() {
    let mut normals = Normals::seeded(4);
    let mut slow = blocks(&mut normals, 0.3, 0.005, 6);
    let early = judge_blocks(&Rule::default(), &raced(&[slow.clone()], 0.0), Stage::Running);
    assert_eq!(early[0].verdict, GateVerdict::Fail);
    slow.extend(blocks(&mut normals, -0.9, 0.3, 42));
    let late = judge_blocks(&Rule::default(), &raced(&[slow], 0.0), Stage::Over);
    assert_eq!(early, late);
}

#[test]
fn too_few_blocks_are_no_verdict_and_say_so() {
    let cells = [vec![0.5; 5]];
    let judged = &judge_blocks(&Rule::default(), &raced(&cells, 0.0), Stage::Over)[0];
    assert_eq!(judged.reason, Some(GateReason::TooFewBlocks));
    assert!(tell(judged, DELTA, Some(10.0)).next_action.is_some());
    assert!(judge_blocks(&Rule::default(), &[], Stage::Over).is_empty());
}

#[test]
fn what_a_session_adds_can_hide_a_slowdown_and_then_more_blocks_are_not_asked_for() {
    let mut normals = Normals::seeded(5);
    let cells = [blocks(&mut normals, 0.04, 0.002, 48)];
    let sure = &judge_blocks(&Rule::default(), &raced(&cells, 0.0), Stage::Over)[0];
    let unsure = &judge_blocks(&Rule::default(), &raced(&cells, 0.02), Stage::Over)[0];
    assert_eq!(sure.verdict, GateVerdict::Fail);
    assert_eq!((unsure.verdict, unsure.blocks_needed), (GateVerdict::Inconclusive, None));
    assert!(tell(unsure, DELTA, None).next_action.unwrap().contains("calibrate"));
    let noisy = [blocks(&mut normals, 0.03, 0.04, 12)];
    let judged = &judge_blocks(&Rule::default(), &raced(&noisy, 0.0), Stage::Over)[0];
    assert!(judged.blocks_needed.is_none_or(|needed| needed > 12), "{judged:?}");
}

fn sampled(base: &[f64], head: &[f64], run_noise: f64) -> Judgement {
    let sampled = Sampled {
        delta: DELTA,
        weight: Weight::Blocking,
        run_noise,
        base: base.to_vec(),
        head: head.to_vec(),
    };
    judge_samples(&Rule::default(), &[sampled]).remove(0)
}

#[test]
fn samples_of_other_tools_fail_only_with_ranks_and_means_together() {
    let mut normals = Normals::seeded(6);
    let base = blocks(&mut normals, 0.0, 0.005, 8);
    assert_eq!(
        sampled(&base, &blocks(&mut normals, 0.2, 0.005, 8), 0.01).verdict,
        GateVerdict::Fail
    );
    assert_eq!(sampled(&base, &base, 0.0).verdict, GateVerdict::Pass);
    // One outlier moves the mean, and not the ranks.
    let mut spiked = base.clone();
    spiked[0] += 3.0;
    assert_ne!(sampled(&base, &spiked, 0.0).verdict, GateVerdict::Fail);
    // Three samples a side can never reach 1 %.
    let few = sampled(&base[..3], &blocks(&mut normals, 0.5, 0.001, 3), 0.0);
    assert_eq!(few.reason, Some(GateReason::TooFewBlocks), "{few:?}");
    assert!(few.blocks_needed.unwrap() >= 5);
    let lone = sampled(&base[..1], &base[..1], 0.0);
    assert_eq!(lone.reason, Some(GateReason::TooFewBlocks));
}

#[test]
fn a_new_session_is_held_against_the_spread_of_stored_ones() {
    let mut normals = Normals::seeded(7);
    let stored = |history: &[f64], now: f64, cells: usize| {
        let one = Stored {
            delta: DELTA,
            weight: Weight::Blocking,
            least_spread: LEAST_SPREAD,
            history,
            now,
        };
        judge_baseline(&Rule::default(), &vec![one; cells]).remove(0)
    };
    let history: Vec<f64> = (0..10).map(|_| 0.005 * normals.draw()).collect();
    assert_eq!(stored(&history, 0.0, 1).verdict, GateVerdict::Pass);
    assert_eq!(stored(&history, 0.10, 1).verdict, GateVerdict::Fail);
    assert_eq!(stored(&history, 0.10, 8).verdict, GateVerdict::Fail);
    // Five sessions that agree to the last digit do not make a machine without noise.
    assert_ne!(stored(&[0.0; 5], 0.0205, 1).verdict, GateVerdict::Fail);
    let thin = stored(&history[..4], 1.0, 1);
    assert_eq!(
        (thin.verdict, thin.reason),
        (GateVerdict::Inconclusive, Some(GateReason::ThinBaseline))
    );
    assert!(tell(&thin, DELTA, None).why.unwrap().contains("4 of 5"));
    assert_eq!(stored(&[], 0.0, 1).reason, Some(GateReason::ThinBaseline));
}

fn cell(name: &str, verdict: GateVerdict) -> GateCell {
    GateCell {
        name: name.to_owned(),
        group: "g".to_owned(),
        metric: "tg".to_owned(),
        unit: "tok/s".to_owned(),
        better: Better::Higher,
        class: GateClass::Timing,
        weight: Weight::Blocking,
        verdict,
        reason: None,
        why: None,
        next_action: None,
        base: Some(1.0),
        head: Some(1.0),
        slowdown: Some(0.01),
        interval: None,
        delta: DELTA,
        n: 6,
        p_t: None,
        p_guard: None,
        p_required: None,
        p_floor: None,
        minimum_detectable: None,
        blocks_needed: None,
        minutes_needed: None,
        blocks: Vec::new(),
        dropped: 0,
        waiver: None,
    }
}

#[test]
fn a_build_is_as_good_as_its_worst_blocking_cell_and_never_green_without_one() {
    use GateVerdict::{Fail, Inconclusive, Missing, New, NotComparable, Pass};
    let strict = Policy {
        on_inconclusive: OnInconclusive::Fail,
        on_missing: OnMissing::Fail,
        identical: false,
    };
    let warn = Policy { on_inconclusive: OnInconclusive::Warn, ..strict };
    let lenient = Policy { on_missing: OnMissing::Allow, ..warn };
    let same = Policy { identical: true, ..strict };
    for (verdicts, policy, wanted) in [
        (vec![Pass, Pass], strict, (Pass, 0)),
        (vec![Pass, Fail], warn, (Fail, 1)),
        (vec![Fail, NotComparable], warn, (Fail, 1)),
        (vec![Pass, Missing], warn, (Missing, 1)),
        (vec![Pass, Missing], lenient, (Pass, 0)),
        (vec![Missing], lenient, (NotComparable, 3)),
        (vec![Pass, NotComparable], warn, (NotComparable, 3)),
        (vec![Pass, Inconclusive], warn, (Inconclusive, 0)),
        (vec![Pass, Inconclusive], strict, (Inconclusive, 3)),
        (vec![Inconclusive], same, (Inconclusive, 0)),
        (vec![New], strict, (New, 3)),
        (vec![New, Pass], strict, (Pass, 0)),
        (vec![], strict, (NotComparable, 3)),
    ] {
        let cells: Vec<GateCell> = verdicts.iter().map(|verdict| cell("c", *verdict)).collect();
        let build = judge_build(&cells, policy);
        assert_eq!((build.verdict, build.exit_code), wanted, "{verdicts:?}");
        assert!(build.line.starts_with("gate: "), "{}", build.line);
    }
    // What is only reported fails nobody, and passes nobody either.
    let advisory = GateCell { weight: Weight::Advisory, ..cell("c", Fail) };
    assert_eq!(judge_build(&[advisory.clone(), cell("d", Pass)], strict).exit_code, 0);
    assert_eq!(judge_build(&[advisory], strict).exit_code, 3);
    let waiver = Waiver {
        cell: "c".to_owned(),
        ceiling: 0.06,
        reason: "r".to_owned(),
        issue: "i".to_owned(),
        expires: "2027-01-31".to_owned(),
    };
    let accepted = GateCell { waiver: Some(waiver), ..cell("c", Fail) };
    assert_eq!(judge_build(&[accepted], strict).verdict, Pass);
}
