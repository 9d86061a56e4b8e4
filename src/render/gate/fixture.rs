//! Reports with every verdict, and with names that mean harm.

mod cell;

use crate::model::{
    Better, ChangePoint, FactDifference, GateCell, GateMachine, GateMode, GateNoise, GateReason,
    GateReport, GateSeries, GateSession, GateSide, GateTrials, GateVerdict,
};

pub(super) use cell::{failing, passing};
use cell::{memory, undecided, unmeasured, waived};

/// A name with everything that any of the formats gives a meaning.
pub(super) const HOSTILE: &str = "<script>alert('1')</script>|\"a\\|b\" `` @team\n::error title=x::owned%0A,\r\u{1b}[31m##[error]\u{0}\u{202e}\u{ffff}&amp; ${{ x }} ]]> --> end";

/// Two sides with a cell of every standing.
pub(super) fn report() -> GateReport {
    let changed = GateCell {
        reason: Some(GateReason::OutputChanged),
        why: Some("the two sides generated different tokens".into()),
        ..unmeasured("tiny-f16/tg128", GateVerdict::NotComparable)
    };
    let new = GateCell {
        head: Some(88.0),
        base: None,
        reason: Some(GateReason::NoBaseline),
        ..unmeasured("fresh/tg128", GateVerdict::New)
    };
    let cells = vec![
        failing(),
        unmeasured("gone/tg128", GateVerdict::Missing),
        changed,
        undecided(),
        waived(),
        memory(),
        new,
        passing("tiny-q4_0/tg128"),
    ];
    GateReport {
        cells,
        sessions: vec![session("judge"), session("confirm")],
        machine: Some(machine()),
        machine_differences: vec![FactDifference {
            fact: "kernel".into(),
            base: Some("6.8.0".into()),
            head: None,
            strict: false,
        }],
        notes: vec!["the waiver of `old/tg128` is not needed any more".into()],
        ..empty(GateMode::Ab)
    }
}

fn empty(mode: GateMode) -> GateReport {
    let side = |name: &str, commit: &str| GateSide {
        name: name.into(),
        kind: "program".into(),
        digest: None,
        engine: None,
        commit: Some(commit.into()),
    };
    GateReport {
        schema: GateReport::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-07-01T12:00:00Z".into(),
        command: "autotune gate ab --base old --head new".into(),
        mode,
        mode_reason: "both sides are here".into(),
        verdict: GateVerdict::Fail,
        reason: None,
        line: "FAIL: tiny-q8_0/tg128 is 4.8 % slower, 2 % are allowed".into(),
        exit_code: 1,
        synthetic: true,
        alpha: 0.01,
        beta: 0.1,
        m: 4,
        base: Some(side("old", "3f2a1c9")),
        head: Some(side("new", "9c1b7e0")),
        cells: Vec::new(),
        machine: None,
        machine_differences: Vec::new(),
        canary: None,
        seed: 7,
        suite_digest: None,
        sessions: Vec::new(),
        series: Vec::new(),
        change_points: Vec::new(),
        trials: None,
        notes: Vec::new(),
        elapsed_ms: 252_000,
    }
}

fn machine() -> GateMachine {
    let strict = [("arch", "x86_64"), ("cpu", "Example CPU 8-Core"), ("memory", "32 GiB")];
    GateMachine {
        key: "0123456789abcdef".into(),
        strict: strict.map(|(fact, value)| (fact.to_owned(), value.to_owned())).into(),
        soft: [].into(),
    }
}

fn session(purpose: &str) -> GateSession {
    GateSession {
        purpose: purpose.into(),
        blocks: 12,
        dropped: 1,
        disturbances: vec!["the clock dropped by 18 % in one block".into()],
        verdict: GateVerdict::Fail,
        failed: vec!["tiny-q8_0/tg128".into()],
        elapsed_ms: 126_000,
    }
}

/// The same where every text from outside means harm.
pub(super) fn hostile() -> GateReport {
    let mut report = report();
    for (at, cell) in report.cells.iter_mut().enumerate() {
        cell.name = format!("{HOSTILE}/{at}");
        cell.group = HOSTILE.into();
        cell.metric = HOSTILE.into();
        cell.why = Some(format!("::error::{}", HOSTILE.repeat(3)));
        cell.next_action = Some(HOSTILE.into());
        if let Some(waiver) = &mut cell.waiver {
            (waiver.reason, waiver.issue) = (HOSTILE.into(), HOSTILE.into());
        }
    }
    report.line = format!("FAIL: {HOSTILE}");
    report.command = format!("autotune {HOSTILE} ```");
    report.notes = vec![HOSTILE.into()];
    for side in [&mut report.base, &mut report.head].into_iter().flatten() {
        side.name = HOSTILE.into();
    }
    report
}

/// More cells than any page holds.
pub(super) fn crowded() -> GateReport {
    let mut report = report();
    report.cells.extend((0..5000).map(|at| passing(&format!("{}-{at}/tg128", "m".repeat(150)))));
    report
}

/// Only cells that pass.
pub(super) fn passed() -> GateReport {
    GateReport {
        verdict: GateVerdict::Pass,
        line: "PASS: 1 cell, sees 1.9 %".into(),
        exit_code: 0,
        cells: vec![passing("tiny-q4_0/tg128")],
        synthetic: false,
        ..report()
    }
}

/// Levels over time, one with a change that fails.
pub(super) fn history() -> GateReport {
    let change = ChangePoint {
        index: 30,
        cell: "tiny/tg128".into(),
        label: "c30".into(),
        before: 42.1,
        after: 38.9,
        change: -0.076,
        worse: true,
        fails: true,
        range: (29, 31),
        p_value: 0.000_01,
    };
    let series = GateSeries {
        cell: "tiny/tg128".into(),
        unit: "tok/s".into(),
        better: Better::Higher,
        values: [vec![42.1; 30], vec![38.9; 10]].concat(),
        labels: (0..40).map(|at| format!("c{at}")).collect(),
        change_points: vec![change],
        outliers: vec![12],
        unstable: None,
        drift: Some(0.08),
    };
    let unstable = GateSeries {
        cell: "tiny/pp512".into(),
        change_points: Vec::new(),
        outliers: Vec::new(),
        unstable: Some("two speeds take turns".into()),
        drift: None,
        ..series.clone()
    };
    GateReport { series: vec![series, unstable], base: None, ..empty(GateMode::History) }
}

/// The gate tried on itself.
pub(super) fn selftest() -> GateReport {
    let noise = GateNoise {
        cell: "tiny/tg128".into(),
        repetition: Some(0.006),
        block: 0.008,
        session: 0.003,
        intraclass: Some(0.37),
        lag_one: Some(0.1),
        sessions: 5,
    };
    let trials = GateTrials {
        identical_runs: 299,
        false_failures: 0,
        false_failure_rate: (0.0, 0.0123),
        injected: Some(0.05),
        injected_runs: 20,
        caught: 19,
        undecided: 1,
        noise: vec![noise],
    };
    GateReport {
        trials: Some(trials),
        verdict: GateVerdict::Pass,
        line: "PASS: slowed code fails, identical code does not".into(),
        exit_code: 0,
        ..empty(GateMode::Selftest)
    }
}
