//! Every field of a setting, at every kind of value: it runs and says the same, or it is refused.

use autotune_engine::api::{
    Answer, Engine, Failure, HugePages, Job, KvType, LoadMode, MemoryPolicy, Numa, Placement,
    Priority, SplitMode, Toggle,
};

use super::{Bench, PATIENCE};

type Change = fn(&mut Job);

/// Changes that leave answers as they are but for rounding. Nothing here needs a device.
const NEUTRAL: &[(&str, Change)] = &[
    ("batch", |job| job.setting.context.batch = 128),
    ("ubatch", |job| job.setting.context.ubatch = 64),
    ("context", |job| job.setting.context.context = 1024),
    ("kv_offload", |job| job.setting.context.kv_offload = Toggle::Off),
    ("op_offload", |job| job.setting.context.op_offload = Toggle::Off),
    ("swa_full", |job| job.setting.context.swa_full = Toggle::On),
    ("sequences", |job| job.setting.context.sequences = 2),
    ("kv_unified", |job| {
        (job.setting.context.sequences, job.setting.context.kv_unified) = (4, Toggle::On);
    }),
    ("poll", |job| job.setting.threads.poll = 0),
    ("placement", |job| {
        job.setting.threads.cpu_mask = Some("0x1".parse().unwrap());
        job.setting.threads.placement = Placement::Compact;
        job.setting.threads.strict = Toggle::On;
    }),
    ("priority low", |job| job.setting.threads.priority = Priority::Low),
    ("priority medium", |job| job.setting.threads.priority = Priority::Medium),
    ("repack", |job| job.setting.load.repack = Toggle::Off),
    ("no_host", |job| job.setting.load.no_host = Toggle::On),
    ("cpu_experts", |job| job.setting.load.cpu_experts = 1),
    ("overrides", |job| job.setting.load.overrides = vec!["attn=CPU".parse().unwrap()]),
    ("split_mode none", |job| job.setting.load.split_mode = SplitMode::None),
    ("tensor_split", |job| job.setting.load.tensor_split = "3/1".parse().unwrap()),
    ("devices none", |job| job.setting.load.devices = "none".parse().unwrap()),
    ("load none", |job| job.setting.load.load_mode = LoadMode::None),
    ("load mmap", |job| job.setting.load.load_mode = LoadMode::Mmap),
    ("load mlock", |job| job.setting.load.load_mode = LoadMode::Mlock),
    ("load mmap+mlock", |job| job.setting.load.load_mode = LoadMode::MmapMlock),
    ("load dio", |job| job.setting.load.load_mode = LoadMode::DirectIo),
    ("numa", |job| job.setting.process.numa = Numa::Distribute),
    ("interleave", |job| job.setting.process.memory_policy = MemoryPolicy::Interleave),
    ("local", |job| job.setting.process.memory_policy = MemoryPolicy::Local),
    ("bind", |job| job.setting.process.memory_policy = MemoryPolicy::Bind(0)),
    ("huge pages on", |job| job.setting.process.huge_pages = HugePages::On),
    ("huge pages off", |job| job.setting.process.huge_pages = HugePages::Off),
    ("malloc_arenas", |job| job.setting.process.malloc_arenas = 1),
    ("tiled_products", |job| job.setting.process.tiled_products = Toggle::Off),
    ("graph_reuse", |job| job.setting.process.graph_reuse = Toggle::Off),
    ("nice", |job| job.setting.process.nice = 5),
];

/// Whether two answers are one within what other orders of summation may do.
fn same(one: Answer, other: Answer) -> bool {
    let error = 0.05 * one.scale;
    let clear = one.logit - one.runner_up > error;
    (one.logit - other.logit).abs() < error && (!clear || one.token == other.token)
}

#[test]
fn what_is_said_to_change_speed_alone_changes_no_answer() {
    let mut bench = Bench::new();
    let plain = bench.run(&bench.job()).answers;
    assert_eq!(plain.len(), 2);
    assert!(plain[0].scale > 0.0 && plain[0].logit > plain[0].runner_up);
    for (name, change) in NEUTRAL {
        let mut job = bench.job();
        change(&mut job);
        match bench.engine.run(&job, PATIENCE) {
            Ok(run) => {
                let pairs = plain.iter().zip(&run.answers);
                let equal = pairs.filter(|(one, other)| same(**one, **other)).count();
                assert_eq!(equal, plain.len(), "{name}: {plain:?} {:?}", run.answers);
            }
            // A kernel without memory nodes, a container that forbids the call.
            Err(Failure::Refused { reason, .. }) => {
                let policy = job.setting.process.memory_policy;
                assert_ne!(policy, MemoryPolicy::Default, "{name}: {reason}");
                assert!(reason.contains(&policy.to_string()), "{name}: {reason}");
            }
            Err(failure) => panic!("{name}: {failure}"),
        }
    }
}

#[test]
fn smaller_caches_run_and_are_what_was_asked_for() {
    let mut bench = Bench::new();
    for kind in [KvType::Q8_0, KvType::Q4_0, KvType::Bf16, KvType::F32] {
        let mut job = bench.job();
        (job.setting.context.type_k, job.setting.context.type_v) = (kind, kind);
        let run = bench.run(&job);
        assert_eq!((run.effective.context.type_k, run.effective.context.type_v), (kind, kind));
    }
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let mut bench = Bench::new();
    let cases: [(&str, Change); 5] = [
        ("`CUDA9`", |job| job.setting.load.devices = "CUDA9".parse().unwrap()),
        ("`NOPE`", |job| job.setting.load.overrides = vec!["x=NOPE".parse().unwrap()]),
        ("bind:900", |job| job.setting.process.memory_policy = MemoryPolicy::Bind(900)),
        ("sequences", |job| job.setting.context.sequences = 257),
        ("nice", |job| job.setting.process.nice = 100),
    ];
    for (named, change) in cases {
        let mut job = bench.job();
        change(&mut job);
        match bench.engine.run(&job, PATIENCE) {
            Err(Failure::Refused { reason, .. }) => assert!(reason.contains(named), "{reason}"),
            other => panic!("{named}: {other:?}"),
        }
    }
    let mut pattern = bench.job();
    pattern.setting.load.overrides = vec!["(=CPU".parse().unwrap()];
    assert!(matches!(bench.engine.run(&pattern, PATIENCE), Err(Failure::Refused { .. })));
    bench.run(&bench.job());
}

#[test]
#[cfg(target_os = "linux")]
fn the_mask_in_force_is_read_back() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    // CPU 511 is not there: the kernel keeps what is left of the mask.
    let mask: String = format!("0x8{}1", "0".repeat(126));
    job.setting.threads.cpu_mask = Some(mask.parse().unwrap());
    let run = bench.run(&job);
    assert_eq!(run.effective.threads.cpu_mask.unwrap().to_string(), "0x1");
    assert!(run.caveats.iter().any(|caveat| caveat.contains("cpu-mask")), "{:?}", run.caveats);
}

#[test]
fn a_setting_of_the_process_starts_another_one() {
    let mut bench = Bench::new();
    bench.run(&bench.job());
    let mut job = bench.job();
    job.setting.process.nice = 7;
    let run = bench.run(&job);
    assert!(run.transition.process_ns.is_some());
    assert_eq!(run.effective.process.nice, 7);
}

#[test]
fn sequences_at_once_are_decoded_together_and_alike() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    (job.setting.context.sequences, job.setting.context.context) = (4, 4 * 512);
    (job.work.parallel, job.work.depth) = (4, 70);
    let apart = bench.run(&job);
    assert_eq!((apart.samples.len(), apart.answers.len()), (2, 2));
    for sample in &apart.samples {
        assert_eq!(sample.token_ns.len(), 5, "a step is one token of each sequence");
        assert!(sample.prefill_ns > 0 && sample.decode_ns > 0);
        // 4 prompts of 100 tokens take longer than a step of 4 tokens.
        assert!(sample.token_ns.iter().sum::<u64>() <= sample.decode_ns);
    }
    assert_eq!(apart.effective.context.sequences, 4);
    // One cache for all computes the same.
    job.setting.context.kv_unified = Toggle::On;
    let unified = bench.run(&job);
    for (one, other) in apart.answers.iter().zip(&unified.answers) {
        assert!((one.logit - other.logit).abs() <= 0.05 * one.scale, "{one:?} {other:?}");
    }
    // So does the room of more sequences than there are at work.
    job.setting.context.kv_unified = Toggle::Off;
    (job.setting.context.sequences, job.setting.context.context) = (8, 8 * 512);
    let roomy = bench.run(&job);
    assert!(
        (roomy.answers[0].logit - apart.answers[0].logit).abs() <= 0.05 * apart.answers[0].scale
    );
    job.work.parallel = 9;
    let refused = bench.engine.run(&job, PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("9 sequences at once in a context for 8"), "{refused}");
}
