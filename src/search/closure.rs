//! What a failure teaches about settings that were not tried.

use std::collections::{BTreeMap, BTreeSet};

use autotune_engine::api::{Failure, Setting};

use crate::knob;
use crate::model::{Level, Outcome, Plan, Source, Trial};

/// Different settings with a level that must fail, while none with it runs, before the level is
/// given up.
const HOPELESS: usize = 3;

/// Settings that failed, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Closure {
    baseline: Option<Setting>,
    failed: BTreeSet<Setting>,
    levels: BTreeSet<(&'static str, Level)>,
    /// Different settings with a level that failed, and whether one with it ever ran.
    records: BTreeMap<(&'static str, Level), (BTreeSet<Setting>, bool)>,
    out_of_memory: Vec<(Setting, Place)>,
}

/// Whose memory ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A GPU's: more layers on it need more.
    Device,
    /// This machine's own: fewer layers on a GPU leave more here.
    Host,
    /// Nobody said.
    Unknown,
}

impl Place {
    /// From the words of the engine. A kill by the kernel names no place: on some machines a GPU
    /// takes its memory from the same whole.
    fn named_in(reason: &str) -> Self {
        let reason = reason.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if says(&["allocate cpu", "cpu buffer", "cpu_repack"]) {
            Self::Host
        } else if says(&["allocate vulkan", "allocate cuda", "allocate rpc", "device memory"])
            || says(&["devicememory", "cudamalloc", "cuda error", "rocm error"])
        {
            Self::Device
        } else {
            Self::Unknown
        }
    }

    /// From the sum that the plan's room is compared with.
    fn in_sum(reason: &str) -> Self {
        if reason.starts_with("main memory") { Self::Host } else { Self::Device }
    }

    /// Whether a setting needs at least the memory that a smaller one did not get there.
    fn lacks(self, setting: &Setting, small: &Setting) -> bool {
        let (own, other) = (&setting.load, &small.load);
        let ordered = match self {
            Self::Device => {
                own.gpu_layers >= other.gpu_layers && own.cpu_experts <= other.cpu_experts
            }
            Self::Host => {
                own.gpu_layers <= other.gpu_layers && own.cpu_experts >= other.cpu_experts
            }
            Self::Unknown => own.gpu_layers == other.gpu_layers,
        };
        let mut same_layers = setting.clone();
        same_layers.load.gpu_layers = other.gpu_layers;
        if self != Self::Unknown {
            same_layers.load.cpu_experts = other.cpu_experts;
        }
        ordered && knob::at_least_as_large(&same_layers, small)
    }
}

impl Closure {
    /// What these trials teach. A failure of the baseline teaches nothing about other settings,
    /// and one that may be an accident teaches nothing before it happens again.
    pub(super) fn new(plan: &Plan, trials: &[Trial]) -> Self {
        let baseline = &plan.baseline;
        let mut closure = Self { baseline: Some(baseline.clone()), ..Self::default() };
        let mut failures: BTreeMap<&Setting, usize> = BTreeMap::new();
        // What fails with the context filled is not known to fail without.
        let usual = |trial: &&Trial| trial.work == plan.work(&trial.asked);
        for trial in trials.iter().filter(|trial| trial.asked != *baseline).filter(usual) {
            closure.record(baseline, trial);
            if let Outcome::NotRun(not_run) = &trial.outcome {
                closure.out_of_memory.push((trial.asked.clone(), Place::in_sum(&not_run.reason)));
            }
            let Outcome::Failed(failure) = &trial.outcome else { continue };
            let place = match failure {
                Failure::OutOfMemory { reason, .. } => Some(Place::named_in(reason)),
                _ => None,
            };
            let fits = place.is_some() && has_run_as_large(&trial.asked, trials);
            if let Some(place) = place.filter(|_| !fits) {
                closure.out_of_memory.push((trial.asked.clone(), place));
            }
            let accident = fits || trial.outcome.may_be_accident();
            let count = failures.entry(&trial.asked).or_default();
            *count += if accident { 1 } else { Outcome::ACCIDENTS };
            if *count >= Outcome::ACCIDENTS {
                closure.bar(baseline, &trial.asked, place.is_some());
            }
        }
        closure
    }

    /// Keeps in mind which levels failed in which company, and which ran.
    fn record(&mut self, baseline: &Setting, trial: &Trial) {
        let ran = matches!(trial.outcome, Outcome::Measured(_));
        if !ran && !matches!(trial.outcome, Outcome::Failed(_)) {
            return;
        }
        let lacks_memory = matches!(trial.outcome, Outcome::Failed(Failure::OutOfMemory { .. }));
        for (knob, _, level) in knob::changed(baseline, &trial.asked) {
            if lacks_memory && has_relief(knob.name()) {
                continue;
            }
            let (failed, once) = self.records.entry((knob.name(), level)).or_default();
            *once |= ran;
            if !ran {
                failed.insert(trial.asked.clone());
            }
        }
    }

    /// Keeps a setting, and the level that it alone has, from being run again.
    fn bar(&mut self, baseline: &Setting, setting: &Setting, lacks_memory: bool) {
        self.failed.insert(setting.clone());
        if let [(knob, _, level)] = knob::changed(baseline, setting).as_slice()
            && !(lacks_memory && has_relief(knob.name()))
        {
            self.levels.insert((knob.name(), level.clone()));
        }
    }

    /// Whether a setting is not to be run: it failed, it has a level that failed alone, or it is
    /// at least as large as one that ran out of memory.
    pub(super) fn forbids(&self, setting: &Setting) -> bool {
        let Some(baseline) = &self.baseline else { return false };
        self.failed.contains(setting)
            || knob::changed(baseline, setting).into_iter().any(|(knob, _, level)| {
                let key = (knob.name(), level);
                let (failed, ran) =
                    self.records.get(&key).map_or((0, false), |(failed, ran)| (failed.len(), *ran));
                !ran && (failed >= HOPELESS || self.levels.contains(&key))
            })
            || self.out_of_memory.iter().any(|(small, place)| place.lacks(setting, small))
    }
}

/// Whether what a level of a knob needs too much of can be saved elsewhere: layers fit on a card
/// whose experts stay behind. Then [`Place::lacks`] says what else cannot fit.
fn has_relief(knob: &str) -> bool {
    matches!(knob, "gpu_layers" | "cpu_experts")
}

/// Whether something that needs at least this setting's memory has run here: then memory is not
/// what the setting lacks.
fn has_run_as_large(setting: &Setting, trials: &[Trial]) -> bool {
    trials.iter().any(|trial| {
        trial.source == Source::Measured
            && matches!(trial.outcome, Outcome::Measured(_))
            && knob::at_least_as_large(&trial.asked, setting)
    })
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{
        ContextSetting, GpuLayers, LoadSetting, ProcessSetting, ThreadSetting,
    };

    use super::*;

    fn with(gpu_layers: GpuLayers, context: u32) -> Setting {
        Setting {
            process: ProcessSetting::default(),
            load: LoadSetting { gpu_layers, ..LoadSetting::default() },
            context: ContextSetting { context, ..ContextSetting::default() },
            threads: ThreadSetting::of(4),
        }
    }

    #[test]
    fn whose_memory_ended_is_read_from_the_engines_words() {
        for (reason, place) in [
            ("x: alloc_tensor_range: failed to allocate Vulkan0 buffer of size 9", Place::Device),
            ("cannot load m: unable to allocate CUDA0 buffer", Place::Device),
            ("the worker ended itself: CUDA error: out of memory", Place::Device),
            ("vk::Device::allocateMemory: ErrorOutOfDeviceMemory", Place::Device),
            ("failed to allocate CPU_REPACK buffer of size 9", Place::Host),
            ("failed to allocate buffer for kv cache", Place::Unknown),
            ("the worker was ended by SIGKILL while the kernel killed for memory", Place::Unknown),
        ] {
            assert_eq!(Place::named_in(reason), place, "{reason}");
        }
    }

    #[test]
    fn more_layers_need_more_of_the_device_and_fewer_more_of_the_host() {
        let small = with(GpuLayers::Count(10), 4096);
        let lacking = |place: Place| {
            [GpuLayers::Count(9), GpuLayers::Count(10), GpuLayers::Count(11), GpuLayers::All]
                .map(|layers| place.lacks(&with(layers, 4096), &small))
        };
        assert_eq!(lacking(Place::Device), [false, true, true, true]);
        assert_eq!(lacking(Place::Host), [true, true, false, false]);
        assert_eq!(lacking(Place::Unknown), [false, true, false, false]);
        let mut slimmer = with(GpuLayers::Count(11), 4096);
        slimmer.load.cpu_experts = 4;
        assert!(!Place::Device.lacks(&slimmer, &small), "experts left behind make room");
        let mut fuller = with(GpuLayers::Count(9), 4096);
        fuller.load.cpu_experts = 4;
        assert!(Place::Host.lacks(&fuller, &small), "they take it here");
        for place in [Place::Device, Place::Host, Place::Unknown] {
            let shorter = with(GpuLayers::Count(10), 2048);
            assert!(!place.lacks(&shorter, &small), "a shorter context may fit");
        }
    }
}
