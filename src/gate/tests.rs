//! Races of arms that are made of numbers.

use std::cell::Cell;
use std::time::Duration;

use autotune_engine::api::{Clock, Failure};

use super::*;
use crate::judge::Rule;
use crate::measure::NoSensors;
use crate::model::{GateCell, GateReason, GateVerdict, Waiver, Weight};

/// Time that a visit moves.
#[derive(Debug, Default)]
struct Steps(Cell<u64>);

impl Clock for Steps {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.get())
    }
}

/// An arm whose costs are made from the number of the visit.
struct Made<'a> {
    clock: &'a Steps,
    cost: fn(u32) -> f64,
    visits: u32,
    answer: u32,
    crash_at: Option<u32>,
    seen: Vec<Vec<bool>>,
}

impl<'a> Made<'a> {
    fn new(clock: &'a Steps, cost: fn(u32) -> f64) -> Self {
        Self { clock, cost, visits: 0, answer: 7, crash_at: None, seen: Vec::new() }
    }
}

impl Arm for Made<'_> {
    fn visit(&mut self, _: usize, open: &[bool]) -> Result<Visit, Failure> {
        self.clock.0.set(self.clock.0.get() + 10);
        self.visits += 1;
        self.seen.push(open.to_vec());
        if self.crash_at == Some(self.visits) {
            return Err(crash());
        }
        let cost = (self.cost)(self.visits);
        let costs = open.iter().map(|open| if *open { vec![cost; 3] } else { vec![] }).collect();
        Ok(Visit { costs, answers: vec![self.answer], doubts: Vec::new() })
    }
}

fn crash() -> Failure {
    let reason = "SIGSEGV".to_owned();
    Failure::Crashed { signal: Some(11), exit_code: None, reason, log: Vec::new() }
}

/// An arm that never gets through.
struct Dead;

impl Arm for Dead {
    fn visit(&mut self, _: usize, _: &[bool]) -> Result<Visit, Failure> {
        Err(crash())
    }
}

fn suite(delta: f64) -> Suite {
    let wanted = |quantity: &str| Wanted {
        quantity: quantity.parse().unwrap(),
        name: format!("m/{quantity}"),
        delta,
        ceiling: None,
        weight: Weight::Blocking,
        session_noise: 0.0,
    };
    Suite {
        subjects: vec![Subject {
            name: "m".to_owned(),
            wanted: vec![wanted("pp64"), wanted("memory")],
        }],
    }
}

fn wobble(visit: u32) -> f64 {
    1.0 + 0.001 * f64::from(visit % 3)
}

fn race(base: &mut Made<'_>, head: &mut Made<'_>, budget_s: u64) -> Result<Finish, RaceError> {
    race_of(&suite(0.02), base, head, budget_s)
}

fn race_of(
    suite: &Suite,
    base: &mut Made<'_>,
    head: &mut dyn Arm,
    budget_s: u64,
) -> Result<Finish, RaceError> {
    let clock = base.clock;
    let race = Race {
        arms: [base, head],
        suite,
        rule: Rule::default(),
        budget: Duration::from_secs(budget_s),
        clock,
        sensors: &mut NoSensors,
        canary: &mut Silent,
        stopped: &|| false,
        only: Vec::new(),
        exhaustive: false,
    };
    race.run(&mut |_| ())
}

fn judged(finish: &Finish, about: impl FnOnce(&mut Circumstances<'_>)) -> Vec<GateCell> {
    let evidence = Evidence { canary: None, against: None };
    let mut circumstances =
        Circumstances { identical: false, same_answers: true, evidence: &evidence, waivers: &[] };
    about(&mut circumstances);
    raced(&suite(0.02), &Rule::default(), finish, circumstances)
}

#[test]
fn equal_sides_pass_after_the_first_look_and_a_slow_one_fails_there() {
    let clock = Steps::default();
    let finish =
        race(&mut Made::new(&clock, wobble), &mut Made::new(&clock, wobble), 10_000).unwrap();
    assert_eq!(finish.blocks, 6);
    let cells = judged(&finish, |_| ());
    assert!(cells.iter().all(|cell| cell.verdict == GateVerdict::Pass), "{cells:?}");
    let slow = race(
        &mut Made::new(&clock, wobble),
        &mut Made::new(&clock, |visit| 1.25 * wobble(visit)),
        10_000,
    );
    let cells = judged(&slow.unwrap(), |_| ());
    assert!(cells.iter().all(|cell| cell.verdict == GateVerdict::Fail), "{cells:?}");
    assert!((cells[0].slowdown.unwrap() - 0.25).abs() < 0.01);
    assert!(cells[0].base.unwrap() > cells[0].head.unwrap(), "speeds sink");
}

#[test]
fn a_steady_drift_is_nobodys_slowdown() {
    // Each visit of either side takes a little longer than the one before.
    let clock = Steps::default();
    let drifting = |visit: u32| 1.0 + 0.01 * f64::from(visit);
    let finish =
        race(&mut Made::new(&clock, drifting), &mut Made::new(&clock, drifting), 10_000).unwrap();
    assert!(finish.differences[0].iter().all(|it| it.abs() < 0.01), "{:?}", finish.differences);
    assert_ne!(judged(&finish, |_| ())[0].verdict, GateVerdict::Fail);
}

#[test]
fn time_that_is_up_ends_it_before_a_block_that_would_not_fit() {
    let clock = Steps::default();
    let finish = race(&mut Made::new(&clock, wobble), &mut Made::new(&clock, wobble), 130).unwrap();
    assert_eq!(finish.blocks, 3);
    let cells = judged(&finish, |_| ());
    assert_eq!(cells[0].reason, Some(GateReason::TooFewBlocks));
}

#[test]
fn a_crash_is_tried_again_once_and_then_named() {
    let clock = Steps::default();
    let mut head = Made { crash_at: Some(2), ..Made::new(&clock, wobble) };
    assert!(race(&mut Made::new(&clock, wobble), &mut head, 10_000).is_ok());
    let error = race_of(&suite(0.02), &mut Made::new(&clock, wobble), &mut Dead, 1000).unwrap_err();
    assert_eq!((error.side, error.subject.as_str()), ("head", "m"));
}

#[test]
fn what_speaks_against_a_failure_makes_it_undecided() {
    let clock = Steps::default();
    let slow = |visit| 1.25 * wobble(visit);
    let finish =
        race(&mut Made::new(&clock, wobble), &mut Made::new(&clock, slow), 10_000).unwrap();
    let reasons = |about: fn(&mut Circumstances<'_>)| judged(&finish, about)[0].reason;
    assert_eq!(reasons(|it| it.identical = true), Some(GateReason::Identical));
    let moved = Evidence { canary: None, against: Some("the machine moved".to_owned()) };
    let cells = judged(&finish, |it| it.evidence = Box::leak(Box::new(moved)));
    assert_eq!(cells[0].reason, Some(GateReason::Environment));
    for (ceiling, covered) in [(0.5, true), (0.1, false)] {
        let waiver = Waiver {
            cell: "m/pp64".to_owned(),
            ceiling,
            reason: "r".to_owned(),
            issue: "i".to_owned(),
            expires: "2027-01-31".to_owned(),
        };
        let mut suite = suite(0.02);
        suite.subjects[0].wanted[0].ceiling = Some(ceiling);
        let (mut base, mut head) = (Made::new(&clock, wobble), Made::new(&clock, slow));
        let finish = race_of(&suite, &mut base, &mut head, 10_000).unwrap();
        let evidence = Evidence { canary: None, against: None };
        let about = Circumstances {
            identical: false,
            same_answers: true,
            evidence: &evidence,
            waivers: &[waiver],
        };
        let cells = raced(&suite, &Rule::default(), &finish, about);
        assert_eq!(cells[0].verdict, GateVerdict::Fail);
        assert_eq!(cells[0].waiver.is_some(), covered, "{ceiling}");
    }
    // A second session that sees nothing takes a failure back.
    let mut cells = judged(&finish, |_| ());
    let fine = race(&mut Made::new(&clock, wobble), &mut Made::new(&clock, wobble), 10_000);
    confirmed(&mut cells, &judged(&fine.unwrap(), |_| ()));
    assert_eq!(cells[0].reason, Some(GateReason::Unconfirmed));
    let mut again = judged(&finish, |_| ());
    confirmed(&mut again, &judged(&finish, |_| ()));
    assert_eq!(again[0].verdict, GateVerdict::Fail);
}

#[test]
fn other_answers_are_not_comparable_whatever_the_times() {
    let clock = Steps::default();
    let mut head = Made { answer: 8, ..Made::new(&clock, wobble) };
    let finish = race(&mut Made::new(&clock, wobble), &mut head, 10_000).unwrap();
    let cells = judged(&finish, |_| ());
    assert!(cells.iter().all(|cell| cell.reason == Some(GateReason::OutputChanged)), "{cells:?}");
    let allowed = judged(&finish, |it| it.same_answers = false);
    assert_eq!(allowed[0].verdict, GateVerdict::Pass);
}

#[test]
fn a_cell_that_is_decided_is_no_longer_measured() {
    // Blocks by turns slower and faster keep the timed cell open; bytes are decided at the first
    // look. The head is visited twice in a block.
    let clock = Steps::default();
    let noisy = |visit: u32| if visit % 4 == 1 || visit % 4 == 2 { 1.0 } else { 1.3 };
    let mut head = Made::new(&clock, noisy);
    let finish = race(&mut Made::new(&clock, |_| 1.15), &mut head, 100_000).unwrap();
    assert!(finish.blocks > 6);
    assert_eq!(head.seen[0], [true, true]);
    assert_eq!(head.seen.last().unwrap(), &[true, false]);
}

#[test]
fn a_cell_that_one_side_hides_is_missing_and_one_that_both_hide_is_left_out() {
    struct Blind<'a>(Made<'a>);
    impl Arm for Blind<'_> {
        fn visit(&mut self, place: usize, open: &[bool]) -> Result<Visit, Failure> {
            let mut visit = self.0.visit(place, open)?;
            visit.costs[1].clear();
            Ok(visit)
        }
    }
    let clock = Steps::default();
    let mut head = Blind(Made::new(&clock, wobble));
    let finish = race_of(&suite(0.02), &mut Made::new(&clock, wobble), &mut head, 10_000).unwrap();
    assert_eq!(finish.blocks, 6, "nobody waits for what is never shown");
    let cells = judged(&finish, |_| ());
    assert_eq!(cells[1].verdict, GateVerdict::Missing);
    let mut both = finish;
    both.shown[1] = [false; 2];
    assert_eq!(judged(&both, |_| ()).len(), 1);
    assert_eq!(hidden(&suite(0.02), &both).len(), 1);
}
