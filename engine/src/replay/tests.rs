use super::*;
use crate::api::{
    Clock, ContextSetting, LoadSetting, MemoryUse, ModelFacts, ProcessSetting, ThreadSetting,
    Threading,
};

fn setting(threads: u32) -> Setting {
    Setting {
        process: ProcessSetting::default(),
        load: LoadSetting::default(),
        context: ContextSetting::default(),
        threads: ThreadSetting::of(threads),
    }
}

fn work() -> Work {
    Work {
        prompt_tokens: 100,
        generate_tokens: 2,
        depth: 0,
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed: 0,
        parallel: 1,
    }
}

/// A visit whose prompt took so many milliseconds and whose tokens took one each, with a second of
/// loading and half a second of warm-up.
fn record(threads: u32, prefill_ms: u64) -> Record {
    let sample = Sample {
        prefill_ns: prefill_ms * 1_000_000,
        decode_ns: 2_000_000,
        token_ns: vec![1_000_000; 2],
    };
    Record {
        asked: setting(threads),
        work: work(),
        elapsed: Duration::from_millis(1500 + 2 + prefill_ms),
        outcome: Ok(Measured {
            effective: setting(threads),
            samples: vec![sample],
            memory: MemoryUse::default(),
            transition: Transition { load_ns: Some(1_000_000_000), ..Transition::default() },
        }),
    }
}

fn replay(records: Vec<Record>, seed: u64) -> Replay {
    let identity = Identity {
        name: "llama.cpp".into(),
        version: "1".into(),
        ggml_version: "2".into(),
        binding_version: "3".into(),
        threading: Threading::Ggml,
        synthetic: false,
    };
    let recording = Recording {
        identity,
        variants: Vec::new(),
        devices: Vec::new(),
        model: ModelFacts::default(),
        records,
        canonical: |mut setting| {
            setting.context.batch = setting.context.batch.max(setting.context.ubatch);
            setting
        },
    };
    Replay::seeded(recording, seed)
}

fn job(threads: u32) -> Job {
    Job { model: "m.gguf".into(), setting: setting(threads), work: work() }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_was_recorded_comes_back_and_takes_its_time() {
    let mut replay = replay(vec![record(4, 300), record(4, 400), record(8, 200)], 1);
    let clock = replay.clock();
    let first = replay.run(&job(8), MINUTE).unwrap();
    assert_eq!(first.samples[0].prefill_ns, 200_000_000);
    assert_eq!(first.transition.load_ns, Some(1_000_000_000));
    assert_eq!(clock.now(), Duration::from_millis(1000 + 500 + 202));
    let before = clock.now();
    let second = replay.run(&job(8), MINUTE).unwrap();
    assert_eq!(second.transition, Transition::default());
    assert_eq!(clock.now().saturating_sub(before), Duration::from_millis(702));
    let mut many = job(4);
    many.work.repetitions = 200;
    let samples = replay.run(&many, MINUTE).map(|run| run.samples);
    // 200 repetitions take longer than a minute.
    assert!(matches!(samples, Err(Failure::TimedOut { deadline_ms: 60_000, .. })));
    let samples = replay.run(&many, 10 * MINUTE).unwrap().samples;
    let slow = samples.iter().filter(|sample| sample.prefill_ns == 400_000_000).count();
    assert!((60..140).contains(&slow), "{slow} of 200");
    let identity = replay.identity().unwrap();
    assert!(identity.synthetic && identity.version == "llama.cpp 1", "{identity:?}");
}

#[test]
fn seeds_draw_differently_and_each_repeats_itself() {
    let draw = |seed| {
        let records = (0..20).map(|index| record(4, 100 + index)).collect();
        let mut replay = replay(records, seed);
        (0..20).map(|_| replay.run(&job(4), MINUTE).unwrap().samples).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn failures_fail_again_and_the_unknown_is_refused() {
    let failure = Failure::OutOfMemory { reason: "no".into(), log: Vec::new() };
    let failed = Record { outcome: Err(failure.clone()), ..record(2, 100) };
    let mut replay = replay(vec![record(4, 300), failed], 1);
    let clock = replay.clock();
    replay.run(&job(4), MINUTE).unwrap();
    let before = clock.now();
    assert_eq!(replay.run(&job(2), MINUTE).unwrap_err(), failure);
    assert_eq!(clock.now().saturating_sub(before), Duration::from_millis(1602));
    assert!(replay.run(&job(4), MINUTE).unwrap().transition.load_ns.is_some());
    let unknown = replay.run(&job(3), MINUTE).unwrap_err();
    assert_eq!(unknown, Failure::refused("this setting was not recorded"));
    let mut same = job(4);
    same.setting.context.batch = 1;
    assert!(replay.run(&same, MINUTE).is_err(), "a batch of 512 is not the recorded 2048");
    let mut deep = job(4);
    deep.work.depth = 4096;
    assert!(replay.run(&deep, MINUTE).unwrap_err().to_string().contains("cannot hold"));
}

#[test]
fn other_work_is_scaled_and_says_so() {
    let mut replay = replay(vec![record(4, 300)], 1);
    let mut short = job(4);
    (short.work.prompt_tokens, short.work.generate_tokens) = (50, 5);
    let run = replay.run(&short, MINUTE).unwrap();
    assert_eq!(run.samples[0].prefill_ns, 150_000_000);
    assert_eq!((run.samples[0].token_ns.len(), run.samples[0].decode_ns), (5, 5_000_000));
    assert!(run.caveats[0].starts_with("scaled from a record of 100 and 2"), "{:?}", run.caveats);
    let only_prompts = Record { work: Work { generate_tokens: 0, ..work() }, ..record(6, 300) };
    let mut replay = self::replay(vec![only_prompts], 1);
    assert!(replay.run(&job(6), MINUTE).unwrap_err().to_string().contains("was not recorded"));
}
