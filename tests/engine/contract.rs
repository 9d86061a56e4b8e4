//! What every engine promises, whatever is behind it.

use std::time::Duration;

use autotune_engine::api::{Engine, Failure, Job, VariantReport};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds an engine to its promises with a job that it can do.
pub(crate) fn hold(engine: &mut dyn Engine, job: &Job) {
    samples_are_those_asked_for(engine, job);
    the_same_again_changes_nothing(engine, job);
    what_cannot_be_done_is_refused(engine, job);
    variants_come_best_first(engine);
    assert_eq!(engine.identity().unwrap(), engine.identity().unwrap());
}

fn samples_are_those_asked_for(engine: &mut dyn Engine, job: &Job) {
    for (prompt, generate, repetitions) in [(20, 0, 1), (0, 3, 2), (20, 3, 3)] {
        let mut job = job.clone();
        job.work.prompt_tokens = prompt;
        job.work.generate_tokens = generate;
        job.work.repetitions = repetitions;
        let run = engine.run(&job, PATIENCE).unwrap();
        assert_eq!(run.samples.len(), repetitions as usize);
        for sample in &run.samples {
            assert_eq!(sample.prefill_ns > 0, prompt > 0);
            assert_eq!(sample.decode_ns > 0, generate > 0);
            assert_eq!(sample.token_ns.len(), generate as usize);
            assert_eq!(sample.token_ns.iter().sum::<u64>(), sample.decode_ns);
        }
        assert_eq!(run.effective.threads, job.setting.threads);
        assert!(run.effective.process.isa_variant.is_some());
        assert!(run.effective.context.context >= job.setting.context.context);
    }
}

fn the_same_again_changes_nothing(engine: &mut dyn Engine, job: &Job) {
    let first = engine.run(job, PATIENCE).unwrap();
    let second = engine.run(job, PATIENCE).unwrap();
    assert_eq!(first.effective, second.effective);
    assert_eq!(first.model, second.model);
    assert_eq!(second.transition, autotune_engine::api::Transition::default());
}

fn what_cannot_be_done_is_refused(engine: &mut dyn Engine, job: &Job) {
    let cases: [fn(&mut Job); 5] = [
        |job| job.setting.threads.threads = 0,
        |job| job.setting.threads.threads_batch = 513,
        |job| job.setting.context.batch = 0,
        |job| job.work.depth = job.setting.context.context,
        |job| (job.work.prompt_tokens, job.work.generate_tokens) = (0, 0),
    ];
    for change in cases {
        let mut job = job.clone();
        change(&mut job);
        let failure = engine.run(&job, PATIENCE).unwrap_err();
        assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
    }
    engine.run(job, PATIENCE).expect("a refusal leaves the engine as it was");
}

fn variants_come_best_first(engine: &mut dyn Engine) {
    let variants = engine.variants(&["F32".into()]).unwrap();
    assert!(variants.iter().any(VariantReport::usable), "{variants:?}");
    assert!(variants.is_sorted_by(|a, b| a.score >= b.score));
}
