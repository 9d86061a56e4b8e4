//! What a `llama-server` of this version would run here: the control of every comparison.

use autotune_engine::api::{
    Bytes, ContextSetting, GpuLayers, LoadSetting, ProcessSetting, Setting, ThreadSetting,
    VariantFault, VariantReport, VariantVerdict,
};

use super::{Here, need};
use crate::model::{ModelCard, Workload};

/// Memory of a GPU that llama-server's `--fit` leaves free, which is also room for the computation.
const GPU_MARGIN: Bytes = Bytes(1 << 30);

/// The baseline, and where it could not be plain llama.cpp's, one sentence each.
#[must_use]
pub fn baseline(
    model: &ModelCard,
    here: &Here,
    workload: &Workload,
    variants: &[VariantReport],
) -> (Setting, Vec<String>) {
    let variant = variants.iter().find(|variant| variant.usable());
    let mut notes: Vec<String> =
        variant.map(|usable| passed_over(variants, usable)).unwrap_or_default();
    let threads = here.physical_cores.max(1);
    let sequences = workload.sequences();
    if threads > here.usable_threads {
        notes.push(format!(
            "llama-server would start {threads} threads, one per physical core, although this \
             process may use {} at once; the baseline does the same",
            here.usable_threads
        ));
    }
    let mut setting = Setting {
        process: ProcessSetting {
            isa_variant: variant.map(|variant| variant.name.clone()),
            ..ProcessSetting::default()
        },
        load: LoadSetting { gpu_layers: GpuLayers::Count(0), ..LoadSetting::default() },
        context: ContextSetting {
            context: workload.context.saturating_mul(sequences),
            sequences,
            ..ContextSetting::default()
        },
        threads: ThreadSetting::of(threads),
    };
    // llama.cpp makes no batch larger than the context.
    let context = &mut setting.context;
    context.batch = context.batch.min(context.context);
    context.ubatch = context.ubatch.min(context.batch);
    if let Some(layers) = here.gpu_layers {
        setting.load.gpu_layers = layers;
        if let GpuLayers::Count(count) = layers {
            notes.push(format!(
                "the baseline keeps {count} of {} layers on devices, the most that llama.cpp \
                 counts to fit beside what llama-server's --fit leaves free",
                model.layers.saturating_add(1)
            ));
        }
    } else if let Some(free) = here.gpu_memory {
        setting.load.gpu_layers = layers_that_fit(model, &setting, free);
        if let GpuLayers::Count(count) = setting.load.gpu_layers {
            notes.push(format!(
                "the baseline keeps {count} of {} layers on the GPU, which has {free} free: an \
                 estimate of what llama-server's --fit would choose",
                model.layers.saturating_add(1)
            ));
        }
    }
    (setting, notes)
}

/// How many layers the free memory of the GPUs holds beside the margin, each with its part of the
/// KV cache. All layers are taken to be equally large, the output layer too.
fn layers_that_fit(model: &ModelCard, setting: &Setting, free: Bytes) -> GpuLayers {
    let layers = u64::from(model.layers).saturating_add(1);
    let need = need(model, setting);
    let each = (need.weights + need.kv_cache).0.div_ceil(layers).max(1);
    let fit = free.0.saturating_sub(GPU_MARGIN.0) / each;
    match u32::try_from(fit) {
        Ok(count) if fit < layers => GpuLayers::Count(count),
        _ => GpuLayers::All,
    }
}

/// What llama.cpp would load instead of the variant that is used, and what is wrong with it. It
/// would load the first one that the processor claims to support.
fn passed_over(variants: &[VariantReport], usable: &VariantReport) -> Vec<String> {
    let mut notes = Vec::new();
    for variant in variants.iter().take_while(|variant| variant.name != usable.name) {
        let VariantVerdict::Failed { fault, reason } = &variant.verdict else { continue };
        let name = &variant.name;
        if !notes.is_empty() {
            notes.push(format!("nor can `{name}` stand in for it ({reason})"));
            continue;
        }
        let what = match fault {
            VariantFault::Crashed => format!(
                "plain llama.cpp crashes here: it would load its `{name}` variant, which died when \
                 it was tried ({reason})"
            ),
            VariantFault::WrongProduct => format!(
                "plain llama.cpp computes wrongly here: it would load its `{name}` variant, whose \
                 products are wrong ({reason})"
            ),
            VariantFault::Untested => format!(
                "plain llama.cpp would load its `{name}` variant, which could not be tested here \
                 ({reason})"
            ),
        };
        notes.push(format!("{what}; the baseline uses `{}`", usable.name));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{card, chat, crashed, here, variants};
    use super::*;

    #[test]
    fn the_baseline_is_llama_servers() {
        let (setting, notes) = baseline(&card(), &here(), &chat(), &variants()[1..]);
        assert_eq!((setting.threads.threads, setting.threads.threads_batch), (4, 4));
        assert_eq!((setting.context.batch, setting.context.ubatch), (2048, 512));
        assert_eq!(setting.context.context, 4096);
        assert_eq!(setting.load.gpu_layers, GpuLayers::Count(0));
        assert_eq!(setting.load.repack, autotune_engine::api::Toggle::On);
        assert_eq!(setting.process.isa_variant.as_deref(), Some("icelake"));
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn a_variant_that_dies_is_replaced_and_the_note_says_so() {
        let (setting, notes) = baseline(&card(), &here(), &chat(), &variants());
        assert_eq!(setting.process.isa_variant.as_deref(), Some("icelake"));
        assert!(notes[0].contains("plain llama.cpp crashes here") && notes[0].contains("SIGILL"));
    }

    #[test]
    fn a_quota_below_the_cores_does_not_bend_the_baseline() {
        let quota = Here { usable_threads: 2, ..here() };
        let (setting, notes) = baseline(&card(), &quota, &chat(), &variants()[1..]);
        assert_eq!(setting.threads.threads, 4);
        assert!(notes[0].contains("may use 2"));
    }

    #[test]
    fn only_a_crash_is_called_one() {
        let failed = |fault| VariantReport {
            verdict: VariantVerdict::Failed { fault, reason: "why".into() },
            ..variants().remove(0)
        };
        for (fault, said) in [
            (VariantFault::Crashed, "plain llama.cpp crashes here"),
            (VariantFault::WrongProduct, "plain llama.cpp computes wrongly here"),
            (VariantFault::Untested, "could not be tested here (why)"),
        ] {
            let found = [failed(fault), variants().remove(1)];
            let notes = baseline(&card(), &here(), &chat(), &found).1;
            assert!(notes[0].contains(said) && notes[0].contains("uses `icelake`"), "{notes:?}");
            let crash = notes[0].contains("crash");
            assert_eq!((notes.len(), crash), (1, fault == VariantFault::Crashed), "{notes:?}");
        }
    }

    #[test]
    fn every_variant_that_is_passed_over_has_its_reason() {
        let mut found = variants();
        found[1].verdict = crashed("SIGSEGV with the model");
        let (setting, notes) = baseline(&card(), &here(), &chat(), &found);
        assert_eq!(setting.process.isa_variant.as_deref(), Some("haswell"));
        assert!(notes[0].contains("uses `haswell`"), "{notes:?}");
        assert!(notes[1].contains("icelake") && notes[1].contains("SIGSEGV"), "{notes:?}");
    }

    #[test]
    fn a_gpu_gets_as_many_layers_as_fit() {
        // 800 MiB of weights and 128 MiB of cache in 17 layers: 54.6 MiB each.
        let layers = |free: u64| {
            let here = Here { gpu_memory: Some(Bytes(free << 20)), ..here() };
            let (setting, notes) = baseline(&card(), &here, &chat(), &variants()[1..]);
            let told = notes.iter().any(|note| note.contains("layers on the GPU"));
            assert_eq!(told, setting.load.gpu_layers != GpuLayers::All, "{notes:?}");
            setting.load.gpu_layers
        };
        assert_eq!(layers(500), GpuLayers::Count(0));
        assert_eq!(layers(1024 + 546), GpuLayers::Count(10));
        assert_eq!(layers(1024 + 927), GpuLayers::Count(16));
        assert_eq!(layers(1024 + 930), GpuLayers::All);
        assert_eq!(layers(80 << 10), GpuLayers::All);
    }
}
