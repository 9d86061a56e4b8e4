//! A change costs what it must and no more, and nothing of a setting outlives it.

use autotune_engine::api::{CpuMask, Job, Toggle, VariantVerdict};
use autotune_engine::worker::WorkerOptions;

use super::{Bench, Engine};

/// Which of process, load and context the job had to wait for.
fn costs(bench: &mut Bench, job: &Job) -> [bool; 3] {
    let transition = bench.run(job).transition;
    [transition.process_ns, transition.load_ns, transition.context_ns].map(|ns| ns.is_some())
}

#[test]
fn only_what_a_change_touches_is_made_anew() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    assert_eq!(costs(&mut bench, &job), [true, true, true]);
    assert_eq!(costs(&mut bench, &job), [false, false, false]);
    // Pools come and go while the context stays: with and without a second one.
    for (threads, threads_batch) in [(2, 2), (1, 2), (2, 1), (1, 1), (1, 2)] {
        job.setting.threads.threads = threads;
        job.setting.threads.threads_batch = threads_batch;
        assert_eq!(costs(&mut bench, &job), [false, false, false]);
    }
    job.setting.context.ubatch = 16;
    assert_eq!(costs(&mut bench, &job), [false, false, true]);
    job.setting.load.repack = Toggle::Off;
    assert_eq!(costs(&mut bench, &job), [false, true, true]);
}

#[test]
fn two_residents_take_turns_without_loading_anew() {
    let mut bench = Bench::with(WorkerOptions { resident: 2, ..WorkerOptions::default() });
    let variants = bench.engine.variants(&["Q4_0".into(), "F32".into()]).unwrap();
    let usable: Vec<_> =
        variants.into_iter().filter(|found| found.verdict == VariantVerdict::Usable).collect();
    let jobs: Vec<Job> = usable
        .iter()
        .take(3)
        .map(|variant| {
            let mut job = bench.job();
            job.setting.process.isa_variant = Some(variant.name.clone());
            job
        })
        .collect();
    let [first, second, third] = jobs.as_slice() else {
        eprintln!("skipped: this processor has fewer than three usable variants");
        return;
    };
    assert_eq!(costs(&mut bench, first), [true, true, true]);
    assert_eq!(costs(&mut bench, second), [true, true, true]);
    for job in [first, second, first] {
        assert_eq!(costs(&mut bench, job), [false, false, false]);
    }
    // The one that waited longest makes room.
    assert_eq!(costs(&mut bench, third), [true, true, true]);
    assert_eq!(costs(&mut bench, first), [false, false, false]);
    assert_eq!(bench.engine.worker_ids().count(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_mask_does_not_outlive_its_setting() {
    let allowed = |bench: &Bench| {
        let path = format!("/proc/{}/status", bench.worker().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap().to_owned()
    };
    let mut bench = Bench::new();
    let free = bench.job();
    bench.run(&free);
    let before = allowed(&bench);
    let mut bound = free.clone();
    bound.setting.threads.cpu_mask = CpuMask::new([0]);
    bound.setting.threads.strict = Toggle::On;
    bench.run(&bound);
    assert_eq!(allowed(&bench), before);
    bench.run(&free);
    assert_eq!(allowed(&bench), before);
}
