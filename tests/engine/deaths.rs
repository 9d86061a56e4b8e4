//! Whatever becomes of a worker is an answer, and the next job finds a new one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use autotune_engine::api::{Engine, Failure, Job, VariantFault, VariantVerdict};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};
use rustix::process::{Signal, kill_process};

use super::{Bench, PATIENCE};

/// A job that ends only with its worker.
fn endless(bench: &Bench) -> Job {
    let mut job = bench.job();
    job.work.repetitions = u32::MAX;
    job
}

/// Sends a signal into the middle of a job.
fn strike(bench: &mut Bench, signal: Signal, deadline: Duration) -> Failure {
    bench.run(&bench.job());
    let (worker, job) = (bench.worker(), endless(bench));
    thread::scope(|scope| {
        scope.spawn(move || {
            // Before or after the job has reached the worker: it never ends by itself.
            thread::sleep(Duration::from_millis(100));
            kill_process(worker, signal).unwrap();
        });
        bench.engine.run(&job, deadline).unwrap_err()
    })
}

fn goes_on(bench: &mut Bench) {
    let run = bench.run(&bench.job());
    assert!(run.transition.process_ns.is_some(), "a new worker was started");
}

#[test]
fn a_worker_that_crashes_in_the_middle_of_a_job_names_its_signal() {
    let mut bench = Bench::new();
    let failure = strike(&mut bench, Signal::ILL, PATIENCE);
    let Failure::Crashed { signal, reason, log, .. } = failure else { panic!("{failure}") };
    assert_eq!(signal, Some(Signal::ILL.as_raw()));
    assert!(reason.contains("SIGILL"), "{reason}");
    assert!(!log.is_empty());
    goes_on(&mut bench);
}

#[test]
fn a_worker_that_is_killed_from_outside_is_not_called_out_of_memory() {
    let mut bench = Bench::new();
    let failure = strike(&mut bench, Signal::KILL, PATIENCE);
    assert!(matches!(failure, Failure::Crashed { signal: Some(9), .. }), "{failure}");
    assert!(failure.to_string().contains("from outside"), "{failure}");
    goes_on(&mut bench);
}

#[test]
fn a_worker_that_hangs_is_ended_at_the_deadline() {
    let mut bench = Bench::new();
    let failure = strike(&mut bench, Signal::STOP, Duration::from_millis(1500));
    assert!(matches!(failure, Failure::TimedOut { deadline_ms: 1500, .. }), "{failure}");
    goes_on(&mut bench);
}

#[test]
fn a_cancelled_engine_ends_its_job_and_takes_no_other() {
    let mut bench = Bench::new();
    bench.run(&bench.job());
    let (canceller, job) = (bench.engine.canceller(), endless(&bench));
    let failure = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(100));
            canceller.cancel();
        });
        bench.engine.run(&job, PATIENCE).unwrap_err()
    });
    for failure in [failure, bench.engine.run(&bench.job(), PATIENCE).unwrap_err()] {
        assert!(failure.to_string().contains("cancelled"), "{failure}");
    }
    assert_eq!(bench.engine.worker_ids().count(), 0);
}

#[test]
fn a_worker_that_died_between_jobs_is_replaced_by_the_one_after() {
    let mut bench = Bench::new();
    bench.run(&bench.job());
    kill_process(bench.worker(), Signal::ABORT).unwrap();
    let failure = bench.engine.run(&bench.job(), PATIENCE).unwrap_err();
    assert!(matches!(failure, Failure::Crashed { signal: Some(6), .. }), "{failure}");
    goes_on(&mut bench);
}

#[test]
fn a_nan_among_the_logits_is_no_result() {
    let mut bench = Bench::new();
    super::model::write(&bench.file("tiny.gguf"), true);
    let failure = bench.engine.run(&bench.job(), PATIENCE).unwrap_err();
    assert!(matches!(failure, Failure::Invalid { .. }), "{failure}");
    super::model::write(&bench.file("tiny.gguf"), false);
    let run = bench.run(&bench.job());
    assert!(run.transition.load_ns.is_some(), "a file written anew is loaded anew");
}

#[test]
fn a_worker_without_a_parent_ends_even_while_it_computes() {
    let bench = Bench::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let variant = Bench::new().engine.best_variant(&bench.file("tiny.gguf")).unwrap();
    let mut job = endless(&bench);
    job.setting.process.isa_variant = Some(variant);
    let process = serde_json::to_string(&job.setting.process).unwrap();
    let job = serde_json::to_string(&job).unwrap();
    writeln!(input, "{{\"id\":1,\"ask\":{{\"start\":{process}}}}}").unwrap();
    let mut started = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut started).unwrap();
    assert!(started.contains("started"), "{started}");
    writeln!(input, "{{\"id\":2,\"ask\":{{\"run\":{job}}}}}").unwrap();
    drop(input);
    child.wait().unwrap();
}

/// A program that says this in place of a worker.
fn impostor(script: &str) -> Failure {
    let bench = Bench::new();
    let program = bench.file("impostor");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut engine = WorkerEngine::new(&program, WorkerOptions::default());
    engine.run(&bench.job(), Duration::from_secs(20)).unwrap_err()
}

#[test]
fn whatever_is_not_the_protocol_is_a_crash() {
    for script in [
        "echo hello",
        "echo '{\"id\":9,\"answer\":{\"Ok\":\"started\"}}'; sleep 60",
        "tr '\\0' x < /dev/zero",
        "printf '{\"id\":1,'",
        "exit 3",
        "sleep 60 & echo '[]'",
    ] {
        let failure = impostor(script);
        assert!(matches!(failure, Failure::Crashed { .. }), "{script}: {failure}");
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let failure = impostor("read question; echo '{\"id\":1,\"answer\":{\"Ok\":\"started\"}}'");
    assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
}

/// An engine whose workers are this shell script. `$folder` is a folder of its own.
fn scripted(bench: &Bench, script: &str, resident: usize) -> WorkerEngine {
    let program = bench.file("scripted");
    let folder = bench.file("");
    let text = format!("#!/bin/sh\nfolder='{}'\n{script}\n", folder.display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    WorkerEngine::new(&program, WorkerOptions { resident, ..WorkerOptions::default() })
}

#[test]
fn a_self_test_that_somebody_ended_is_repeated_and_a_crash_is_not() {
    let bench = Bench::new();
    let script = r#"
read question
echo x >> "$folder/asked"
answer() { echo "{\"id\":1,\"answer\":{\"Ok\":$1}}"; }
case "$question" in
*scores*) answer '{"scores":[["struck",4],["dies",3],["hopeless",2],["fine",1]]}' ;;
*struck*) [ -e "$folder/once" ] || { : > "$folder/once"; kill -KILL $$; }
    answer '{"self-test":{"verdict":"usable"}}' ;;
*dies*) kill -ILL $$ ;;
*hopeless*) exit 3 ;;
*) answer '{"self-test":{"verdict":"usable"}}' ;;
esac"#;
    let mut engine = scripted(&bench, script, 1);
    let reports = engine.variants(&["F32".to_owned()]).unwrap();
    let verdicts: Vec<_> = reports
        .iter()
        .map(|report| match &report.verdict {
            VariantVerdict::Failed { fault, .. } => Some(*fault),
            verdict => (*verdict != VariantVerdict::Usable).then_some(VariantFault::WrongProduct),
        })
        .collect();
    let wanted = [None, Some(VariantFault::Crashed), Some(VariantFault::Untested), None];
    assert_eq!(verdicts, wanted, "{reports:?}");
    let asked = fs::read_to_string(bench.file("asked")).unwrap().lines().count();
    assert_eq!(asked, 1 + 2 + 1 + 2 + 1, "the scores, then each variant once or twice");
}

#[test]
fn a_job_that_needed_the_memory_of_others_says_so() {
    let mut bench = Bench::new();
    let run = serde_json::to_string(&bench.run(&bench.job())).unwrap();
    let failure =
        serde_json::to_string(&Failure::OutOfMemory { reason: "no room".into(), log: Vec::new() })
            .unwrap();
    fs::write(bench.file("run"), format!("{{\"id\":2,\"answer\":{{\"Ok\":{{\"run\":{run}}}}}}}\n"))
        .unwrap();
    fs::write(bench.file("full"), format!("{{\"id\":2,\"answer\":{{\"Err\":{failure}}}}}\n"))
        .unwrap();
    // The second worker finds no memory, the first and the third do.
    let script = r#"
echo x >> "$folder/workers"
number=$(grep -c x "$folder/workers")
read start; echo '{"id":1,"answer":{"Ok":"started"}}'
read run; [ "$number" = 2 ] && cat "$folder/full" || cat "$folder/run"
read nothing"#;
    let mut engine = scripted(&bench, script, 2);
    let job = |variant: &str| {
        let mut job = bench.job();
        job.setting.process.isa_variant = Some(variant.to_owned());
        job
    };
    let caveats = engine.run(&job("one"), PATIENCE).unwrap().caveats;
    assert_eq!(caveats, Vec::<String>::new());
    let caveats = engine.run(&job("other"), PATIENCE).unwrap().caveats;
    assert!(matches!(&caveats[..], [only] if only.contains("no room")), "{caveats:?}");
    assert_eq!(engine.worker_ids().count(), 1);
}
