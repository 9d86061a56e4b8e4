//! Refuses what ggml would answer with an assertion, before it can. Values that llama.cpp merely
//! clamps (a physical batch above the logical one) pass, and are read back afterwards.

use crate::api::{
    ContextSetting, Devices, Failure, FlashAttention, GpuLayers, Job, KvType, MOST_OVERRIDES,
    Setting, SplitMode, Toggle,
};

/// Threads that ggml can hold (`GGML_MAX_N_THREADS`).
const MOST_THREADS: u32 = 512;
/// Sequences that llama.cpp can hold (`LLAMA_MAX_SEQ`).
const MOST_SEQUENCES: u32 = 256;
/// Layers that llama.cpp can hold (`LLAMA_MAX_LAYERS`).
const MOST_LAYERS: u32 = 512;
/// Arenas that anybody needs: one per thread.
const MOST_ARENAS: u32 = 4096;
/// Tokens that llama.cpp can count.
const MOST_TOKENS: u32 = i32::MAX as u32 - 256;

/// The first reason why this job cannot be run, if there is one.
pub(super) fn check(job: &Job) -> Result<(), Failure> {
    match objection(job) {
        Some(reason) => Err(Failure::refused(reason)),
        None => Ok(()),
    }
}

/// The first reason why nothing can be run under this setting, if there is one.
pub(super) fn check_setting(setting: &Setting) -> Result<(), Failure> {
    match objection_to(setting) {
        Some(reason) => Err(Failure::refused(reason)),
        None => Ok(()),
    }
}

fn objection_to(setting: &Setting) -> Option<String> {
    let (threads, context) = (&setting.threads, &setting.context);
    for (name, count) in [("threads", threads.threads), ("threads-batch", threads.threads_batch)] {
        if count == 0 || count > MOST_THREADS {
            return Some(format!("{name} must be 1 to {MOST_THREADS}, not {count}"));
        }
    }
    if threads.poll > 100 {
        return Some(format!("poll must be 0 to 100, not {}", threads.poll));
    }
    let sizes =
        [("context", context.context), ("batch", context.batch), ("ubatch", context.ubatch)];
    for (name, size) in sizes {
        if size == 0 || size > MOST_TOKENS {
            return Some(format!("{name} must be 1 to {MOST_TOKENS} tokens, not {size}"));
        }
    }
    let quantised = !matches!(context.type_v, KvType::F32 | KvType::F16 | KvType::Bf16);
    if quantised && context.flash_attention == FlashAttention::Off {
        return Some(format!("a V cache of type {} needs flash attention", context.type_v));
    }
    layout_objection(setting)
}

fn objection(job: &Job) -> Option<String> {
    if let Some(reason) = objection_to(&job.setting) {
        return Some(reason);
    }
    let (context, work) = (&job.setting.context, &job.work);
    let needed = [work.prompt_tokens, work.generate_tokens, work.depth].map(u64::from);
    let needed: u64 = needed.iter().sum();
    if let Some(reason) = room_objection(context, work.parallel) {
        return Some(reason);
    }
    // Only a unified cache is not divided between the sequences.
    let unified = context.kv_unified == Toggle::On;
    let shares = if unified { work.parallel } else { context.sequences };
    if needed > u64::from(context.context / shares) {
        let own = if shares == 1 { String::new() } else { format!(" in each of {shares} shares") };
        return Some(format!("a context of {} cannot hold {needed} tokens{own}", context.context));
    }
    if work.prompt_tokens == 0 && work.generate_tokens == 0 {
        return Some("there is neither a prompt to process nor a token to generate".into());
    }
    (work.repetitions == 0).then(|| "repetitions must be at least 1".into())
}

/// Whether so many sequences have room in the cache and in a batch.
fn room_objection(context: &ContextSetting, parallel: u32) -> Option<String> {
    if parallel == 0 || parallel > context.sequences {
        let room = context.sequences;
        return Some(format!("{parallel} sequences at once in a context for {room}"));
    }
    let batch = context.batch.min(context.context);
    (parallel > batch)
        .then(|| format!("a batch of {batch} cannot hold a token of each of {parallel} sequences"))
}

/// What of the newer fields would be answered with an assertion, or silently with nothing.
fn layout_objection(setting: &Setting) -> Option<String> {
    let (process, load, context) = (&setting.process, &setting.load, &setting.context);
    if context.sequences == 0 || context.sequences > MOST_SEQUENCES {
        let count = context.sequences;
        return Some(format!("sequences must be 1 to {MOST_SEQUENCES}, not {count}"));
    }
    if load.overrides.len() > MOST_OVERRIDES || load.cpu_experts > MOST_LAYERS {
        return Some(format!(
            "at most {MOST_OVERRIDES} tensors can be placed by name and the experts of \
             {MOST_LAYERS} layers, not {} and {}",
            load.overrides.len(),
            load.cpu_experts
        ));
    }
    if !(-20..=19).contains(&process.nice) {
        return Some(format!("nice must be -20 to 19, not {}", process.nice));
    }
    if process.malloc_arenas > MOST_ARENAS {
        let count = process.malloc_arenas;
        return Some(format!("malloc arenas must be at most {MOST_ARENAS}, not {count}"));
    }
    let gpu = load.devices != Devices::None && load.gpu_layers != GpuLayers::Count(0);
    if load.split_mode == SplitMode::Tensor && context.flash_attention == FlashAttention::Off && gpu
    {
        return Some("split mode tensor needs flash attention".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{LoadSetting, ProcessSetting, ThreadSetting, Work};

    fn job() -> Job {
        Job {
            model: "m.gguf".into(),
            setting: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting::default(),
                context: ContextSetting { context: 640, ..ContextSetting::default() },
                threads: ThreadSetting::of(2),
            },
            work: Work {
                prompt_tokens: 512,
                generate_tokens: 128,
                depth: 0,
                repetitions: 1,
                warmup: true,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
        }
    }

    #[test]
    fn an_ordinary_job_passes_and_so_does_what_llama_cpp_clamps() {
        assert_eq!(objection(&job()), None);
        let mut clamped = job();
        clamped.setting.context.batch = 256;
        assert_eq!(objection(&clamped), None);
    }

    #[test]
    fn what_would_trip_an_assertion_is_named() {
        type Change = fn(&mut Job);
        let cases: [(&str, Change); 17] = [
            ("threads must", |job| job.setting.threads.threads = 0),
            ("threads-batch must", |job| job.setting.threads.threads_batch = 513),
            ("poll", |job| job.setting.threads.poll = 101),
            ("ubatch", |job| job.setting.context.ubatch = 0),
            ("batch must", |job| job.setting.context.batch = u32::MAX),
            ("cannot hold 641", |job| job.work.depth = 1),
            ("cannot hold", |job| job.work.depth = u32::MAX),
            ("sequences must", |job| job.setting.context.sequences = 0),
            ("in each of 2 shares", |job| job.setting.context.sequences = 2),
            ("0 sequences at once", |job| job.work.parallel = 0),
            ("2 sequences at once in a context for 1", |job| job.work.parallel = 2),
            ("token of each of 20 sequences", |job| {
                (job.setting.context.sequences, job.setting.context.batch) = (20, 16);
                (job.setting.context.ubatch, job.work.parallel) = (16, 20);
            }),
            ("nice", |job| job.setting.process.nice = 20),
            ("malloc arenas", |job| job.setting.process.malloc_arenas = 5000),
            ("experts of 512", |job| job.setting.load.cpu_experts = 513),
            ("repetitions", |job| job.work.repetitions = 0),
            ("flash attention", |job| {
                job.setting.context.type_v = KvType::Q8_0;
                job.setting.context.flash_attention = FlashAttention::Off;
            }),
        ];
        for (named, change) in cases {
            let mut job = job();
            change(&mut job);
            let reason = objection(&job).unwrap();
            assert!(reason.contains(named), "{reason}");
        }
    }
}
