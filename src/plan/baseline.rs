//! What a `llama-server` of this version would run here: the control of every comparison.

use autotune_engine::api::{
    ContextSetting, GpuLayers, LoadSetting, ProcessSetting, Setting, ThreadSetting, Toggle,
    VariantReport, VariantVerdict,
};

use super::Here;
use crate::model::Workload;

/// The baseline, and where it could not be plain llama.cpp's, one sentence each.
#[must_use]
pub fn baseline(
    here: &Here,
    workload: &Workload,
    variants: &[VariantReport],
) -> (Setting, Vec<String>) {
    let mut notes = Vec::new();
    let variant = variants.iter().find(|variant| variant.usable());
    if let (Some(first), Some(usable)) = (announced(variants), variant)
        && let VariantVerdict::Failed { reason } = &first.verdict
    {
        notes.push(format!(
            "plain llama.cpp crashes here: it would load its `{}` variant, which failed its \
             self-test ({reason}); the baseline uses `{}`",
            first.name, usable.name
        ));
    }
    let threads = here.physical_cores.max(1);
    if threads > here.usable_threads {
        notes.push(format!(
            "llama-server would start {threads} threads, one per physical core, although this \
             process may use {} at once; the baseline does the same",
            here.usable_threads
        ));
    }
    let gpu_layers = if here.gpu_memory.is_some() { GpuLayers::All } else { GpuLayers::Count(0) };
    let setting = Setting {
        process: ProcessSetting {
            isa_variant: variant.map(|variant| variant.name.clone()),
            ..ProcessSetting::default()
        },
        load: LoadSetting { gpu_layers, repack: Toggle::On, ..LoadSetting::default() },
        context: ContextSetting { context: workload.context, ..ContextSetting::default() },
        threads: ThreadSetting::of(threads),
    };
    (setting, notes)
}

/// The variant that llama.cpp would load: the first one the processor claims to support.
fn announced(variants: &[VariantReport]) -> Option<&VariantReport> {
    variants.iter().find(|variant| variant.verdict != VariantVerdict::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chat, here, variants};
    use super::*;

    #[test]
    fn the_baseline_is_llama_servers() {
        let (setting, notes) = baseline(&here(), &chat(), &variants()[1..]);
        assert_eq!((setting.threads.threads, setting.threads.threads_batch), (4, 4));
        assert_eq!((setting.context.batch, setting.context.ubatch), (2048, 512));
        assert_eq!(setting.context.context, 4096);
        assert_eq!(setting.load.gpu_layers, GpuLayers::Count(0));
        assert_eq!(setting.load.repack, Toggle::On);
        assert_eq!(setting.process.isa_variant.as_deref(), Some("icelake"));
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn a_variant_that_dies_is_replaced_and_the_note_says_so() {
        let (setting, notes) = baseline(&here(), &chat(), &variants());
        assert_eq!(setting.process.isa_variant.as_deref(), Some("icelake"));
        assert!(notes[0].contains("plain llama.cpp crashes here") && notes[0].contains("SIGILL"));
    }

    #[test]
    fn a_quota_below_the_cores_does_not_bend_the_baseline() {
        let quota = Here { usable_threads: 2, ..here() };
        let (setting, notes) = baseline(&quota, &chat(), &variants()[1..]);
        assert_eq!(setting.threads.threads, 4);
        assert!(notes[0].contains("may use 2"));
    }
}
