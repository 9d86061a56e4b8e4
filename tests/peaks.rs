//! Peaks and instructions through the real program: deaths of its child, interruption, what is
//! kept, whose machine is refused. No number is held to a value.

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use autotune::detect::ceiling::unusable;
use autotune_engine::probe::{Ask, Cell, Child, Ended, Kernel, Line, Measure};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use support::{alone, autotune, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_autotune");
const PATIENCE: Duration = Duration::from_secs(60);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn an_instruction_that_ends_the_process_is_an_answer_and_the_rest_is_tried() {
    let found = unusable(Path::new(PROGRAM), &names(&["ssse3", "ud2", "nonsense"])).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].name, "ud2");
    assert!(found[0].reason.contains("SIGILL"), "{found:?}");
}

#[test]
fn a_program_that_is_no_probe_is_an_error() {
    let error = unusable(Path::new("/bin/true"), &names(&["ud2"])).unwrap_err();
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(unusable(Path::new("/nowhere/at/all"), &names(&["ud2"])).is_err());
}

#[test]
fn every_kernel_says_samples_on_one_thread() {
    let _alone = alone();
    let kernels =
        [Kernel::Read, Kernel::Copy, Kernel::Triad, Kernel::Float32, Kernel::Int8, Kernel::Walk];
    let cell = |kernel| Cell {
        kernel,
        threads: vec![0],
        memory: Vec::new(),
        bytes: 4 << 20,
        warm: false,
        visit_us: 1000,
    };
    let ask = Measure {
        cpus: vec![0],
        buffer_bytes: vec![8 << 20],
        cells: kernels.map(cell).to_vec(),
        rounds: 2,
        budget_ms: 10_000,
        ..Measure::default()
    };
    let child = Child::start(Path::new(PROGRAM), &Ask::Measure(Box::new(ask))).unwrap();
    let mut samples = vec![0; kernels.len()];
    let ended = child.hear(PATIENCE, &|| true, &mut |line| {
        if let Line::Sample { cell, per_second } = line {
            assert!(per_second > 0.0);
            samples[cell as usize] += 1;
        }
    });
    assert_eq!((ended, samples), (Ended::Done, vec![2; 6]));
}

#[test]
fn a_probe_that_hangs_or_is_not_wanted_is_ended() {
    let cell = Cell {
        kernel: Kernel::Float32,
        threads: vec![0],
        memory: Vec::new(),
        bytes: 0,
        warm: false,
        visit_us: 600_000_000,
    };
    let ask = Measure {
        cpus: vec![0],
        buffer_bytes: vec![1],
        cells: vec![cell],
        // A visit ends when its marks are full, after a fraction of a second.
        rounds: 10_000,
        budget_ms: 600_000,
        ..Measure::default()
    };
    let ask = Ask::Measure(Box::new(ask));
    let start = || Child::start(Path::new(PROGRAM), &ask).unwrap();
    let ended = start().hear(Duration::from_millis(300), &|| true, &mut drop);
    assert_eq!(ended, Ended::TimedOut);
    assert_eq!(start().hear(PATIENCE, &|| false, &mut drop), Ended::Interrupted);
}

#[test]
fn a_captured_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tree/proc")).unwrap();
    let printed = run(autotune(folder.path()).args(["detect", "--ceilings", "--sysroot", "tree"]));
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.contains("this one is captured"), "{}", printed.stderr);
    assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut command = autotune(folder.path());
    command.args(["detect", "--ceilings"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    thread::sleep(Duration::from_millis(1500));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let printed: support::Printed = child.wait_with_output().unwrap().into();
    assert_eq!(printed.code, Some(130), "{}", printed.stderr);
    assert!(printed.stdout.is_empty(), "{}", printed.stdout);
    let peaks = fs::read_dir(folder.path().join("cache/machine")).into_iter().flatten().flatten();
    let kept = peaks.filter(|file| file.file_name().to_string_lossy().starts_with("ceilings"));
    assert_eq!(kept.count(), 0);
    let files = fs::read_dir(folder.path().join("cache")).unwrap().count();
    assert_eq!(files, 1, "nothing but the verdicts on instructions");
}

#[test]
fn peaks_are_measured_once_kept_and_shown_again() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let detect = |words: &[&str]| {
        let printed = run(autotune(folder.path()).args(["detect", "--format", "json"]).args(words));
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let document: Value = serde_json::from_str(&printed.stdout).unwrap();
        (document, printed.stderr)
    };
    let (before, _) = detect(&[]);
    assert!(before["ceilings"].is_null() && before["unseen"]["ceilings"].is_string());
    assert!(before["cpu"]["isa_unusable"].is_array(), "{}", before["unseen"]);
    let (measured, said) = detect(&["--ceilings", "-q"]);
    assert!(said.is_empty(), "{said}");
    let peaks = &measured["ceilings"];
    for list in ["read_bandwidth_bytes_per_s", "f32_flops", "int8_ops", "latency_s"] {
        let first = &peaks[list][0];
        let number = |name: &str| first[name].as_f64().unwrap();
        assert!(number("low") <= number("value") && number("value") <= number("high"), "{first}");
        assert!(number("low") > 0.0, "{first}");
    }
    let (again, said) = detect(&["--ceilings"]);
    assert_eq!(again["ceilings"], *peaks);
    assert!(said.contains("--ceilings=fresh"), "{said}");
    let (plain, _) = detect(&[]);
    assert_eq!(plain["ceilings"], *peaks);
    assert!(plain["unseen"]["ceilings"].is_null());
}

#[test]
fn the_cpu_device_is_measured_as_graphics_cards_are() {
    let _alone = alone();
    let mut engine = WorkerEngine::new(Path::new(PROGRAM), WorkerOptions::default());
    let rates = engine.device_rates(true, PATIENCE).unwrap();
    assert_eq!(rates.len(), 1, "{rates:?}");
    assert_eq!(rates[0].device, "CPU");
    for samples in [&rates[0].bytes_per_s, &rates[0].operations_per_s] {
        assert_eq!(samples.len(), 10);
        assert!(samples.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{samples:?}");
    }
    let cards = engine.device_rates(false, PATIENCE).unwrap();
    assert!(cards.iter().all(|card| card.device != "CPU"), "{cards:?}");
}

#[test]
fn products_of_tiles_follow_their_formula_where_tiles_can_be_used() {
    use autotune_engine::kernels::{Arithmetic, Element};
    let tiles = names(&["amx_tile", "amx_int8"]);
    // Only a child may find out that they cannot.
    if !unusable(Path::new(PROGRAM), &tiles).unwrap().is_empty() {
        return;
    }
    let Some(set) = Arithmetic::all(Element::Int8).find(|set| set.isa() == "amx_int8") else {
        return;
    };
    let first = |at: usize| i64::try_from(at % 7 + 1).unwrap();
    let second = |at: usize| i64::try_from(at % 5).unwrap() - 2;
    let mut sum = 0;
    for (row, column) in (0..256).map(|at| (at / 16, at % 16)) {
        sum += (0..64)
            .map(|k| first(row * 64 + k) * second(k / 4 * 64 + column * 4 + k % 4))
            .sum::<i64>();
    }
    for steps in [0, 1, 3] {
        let wanted = 4.0 * (i64::try_from(steps).unwrap() * sum) as f64;
        assert!((set.run(steps) - wanted).abs() < 0.5, "{steps}: {} {wanted}", set.run(steps));
    }
}
