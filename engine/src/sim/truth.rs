//! What a setting takes on a simulated machine when nothing scatters.

use super::pace::Pace;
use super::spec::{SelfTest, VariantSpec};
use super::world::World;
use crate::api::{CpuMask, Failure, FlashAttention, GpuLayers, KvType, Setting, Work};

/// What a piece of work takes, free of noise and accidents.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The setting as it runs.
    pub effective: Setting,
    /// Seconds to fill the KV cache to its depth, which nobody times.
    pub fill_s: f64,
    /// Seconds for the prompt.
    pub prefill_s: f64,
    /// Seconds for each generated token.
    pub token_s: Vec<f64>,
}

/// What a change of setting takes, outermost first; `None` where nothing has to change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Switch {
    /// Seconds for a new worker process.
    pub process_s: Option<f64>,
    /// Seconds for loading the model.
    pub load_s: Option<f64>,
    /// Seconds for making a context.
    pub context_s: Option<f64>,
}

impl Switch {
    /// All of it.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        [self.process_s, self.load_s, self.context_s].into_iter().flatten().sum()
    }
}

impl Truth {
    /// Seconds for all generated tokens.
    #[must_use]
    pub fn decode_s(&self) -> f64 {
        self.token_s.iter().sum()
    }

    /// Seconds for one token of the prompt; `None` without one.
    #[must_use]
    pub fn prefill_s_per_token(&self, work: &Work) -> Option<f64> {
        (work.prompt_tokens > 0).then(|| self.prefill_s / f64::from(work.prompt_tokens))
    }

    /// Seconds for one generated token; `None` without any.
    #[must_use]
    pub fn decode_s_per_token(&self) -> Option<f64> {
        (!self.token_s.is_empty()).then(|| self.decode_s() / self.token_s.len() as f64)
    }

    /// Seconds for the whole work, the filling of the KV cache left out.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.prefill_s + self.decode_s()
    }
}

impl World {
    /// What this work takes under a setting, without noise; the failure instead, where the setting
    /// cannot run or a crash rule applies.
    pub fn truth(&self, setting: &Setting, work: &Work) -> Result<Truth, Failure> {
        let effective = self.resolve(setting)?;
        let variant = self.running_variant(&effective)?;
        if work.prompt_tokens == 0 && work.generate_tokens == 0 {
            return Err(Failure::refused("there is nothing to do"));
        }
        let needed = [work.depth, work.prompt_tokens, work.generate_tokens];
        let needed: u64 = needed.into_iter().map(u64::from).sum();
        if work.parallel == 0 || work.parallel > effective.context.sequences {
            return Err(Failure::refused("there is no room for so many sequences"));
        }
        if needed * u64::from(work.parallel) > u64::from(effective.context.context) {
            let context = effective.context.context;
            return Err(Failure::refused(format!(
                "a context of {context} tokens cannot hold {needed}"
            )));
        }
        self.check_memory(&effective)?;
        if let Some(rule) = self.crashes.iter().find(|rule| rule.when.holds(&effective)) {
            return Err(rule.failure());
        }
        let pace = Pace::new(self, &effective, variant)?;
        let (first, each) = pace.token(f64::from(work.parallel.max(1)));
        let before = work.depth + work.prompt_tokens;
        let token_s = (0..work.generate_tokens)
            .map(|index| first + each * f64::from(before + index))
            .collect();
        let fill_s = pace.prompt(work.depth, 0);
        let prefill_s =
            pace.prompt(work.prompt_tokens, work.depth) * f64::from(work.parallel.max(1));
        Ok(Truth { effective, fill_s, prefill_s, token_s })
    }

    /// The setting with every open word answered, as an engine reads it back.
    pub(super) fn resolve(&self, asked: &Setting) -> Result<Setting, Failure> {
        let mut setting = asked.clone();
        let threads = [setting.threads.threads, setting.threads.threads_batch];
        if threads.contains(&0) {
            return Err(Failure::refused("a thread count is 0"));
        }
        if threads.iter().any(|threads| *threads > u32::from(CpuMask::LIMIT)) {
            return Err(Failure::refused(format!("more than {} threads", CpuMask::LIMIT)));
        }
        let context = &mut setting.context;
        if context.batch == 0 || context.ubatch == 0 || context.context == 0 {
            return Err(Failure::refused("a batch or the context is empty"));
        }
        context.batch = context.batch.min(context.context);
        context.ubatch = context.ubatch.min(context.batch);
        if context.flash_attention == FlashAttention::Auto {
            context.flash_attention = self.flash_attention.auto;
        }
        let plain = [KvType::F32, KvType::F16, KvType::Bf16];
        if context.flash_attention == FlashAttention::Off && !plain.contains(&context.type_v) {
            return Err(Failure::refused("a quantized V cache requires flash attention"));
        }
        setting.load.gpu_layers = GpuLayers::Count(self.device_layers(asked));
        setting.load.cpu_experts = setting.load.cpu_experts.min(self.model.layers);
        if setting.process.isa_variant.is_none() {
            let best = self.variants.iter().filter(|variant| variant.self_test == SelfTest::Usable);
            let best = best.max_by_key(|variant| variant.score);
            setting.process.isa_variant = best.map(|variant| variant.name.clone());
        }
        Ok(setting)
    }

    /// What has to be made anew to come from one setting, or from nothing, to another one, and how
    /// many seconds that takes.
    #[must_use]
    pub fn switch(&self, from: Option<&Setting>, to: &Setting) -> Switch {
        let process = from.is_none_or(|from| from.process != to.process);
        let load = process || from.is_none_or(|from| from.load != to.load);
        let context = load || from.is_none_or(|from| from.context != to.context);
        Switch {
            process_s: process.then_some(self.steps.process_s),
            load_s: load.then(|| self.load_seconds(to)),
            context_s: context.then_some(self.steps.context_s),
        }
    }

    /// The variant that a resolved setting names, if it lives.
    fn running_variant(&self, effective: &Setting) -> Result<&VariantSpec, Failure> {
        let name = effective.process.isa_variant.as_deref().unwrap_or_default();
        let Some(variant) = self.variants.iter().find(|variant| variant.name == name) else {
            return Err(Failure::refused(format!("there is no CPU variant `{name}`")));
        };
        match variant.self_test {
            SelfTest::Usable => Ok(variant),
            SelfTest::Unsupported => {
                Err(Failure::refused(format!("this processor lacks what `{name}` needs")))
            }
            SelfTest::Failed => Err(Failure::Crashed {
                signal: Some(variant.signal),
                exit_code: None,
                reason: format!("signal {} in the CPU variant `{name}`", variant.signal),
                log: Vec::new(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ContextSetting, LoadSetting, ProcessSetting, ThreadSetting};
    use std::path::Path;

    type Case = (fn(&mut Setting), &'static str);

    const QUIET: &str = include_str!("../../../tests/worlds/quiet-8c.toml");
    const FLAT: &str = include_str!("../../../tests/worlds/flat.toml");
    const CRASHING: &str = include_str!("../../../tests/worlds/crashing-variant.toml");

    fn world(text: &str) -> World {
        World::parse(text, Path::new("world.toml")).unwrap()
    }

    fn setting(threads: u32) -> Setting {
        Setting {
            process: ProcessSetting::default(),
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(threads),
        }
    }

    fn work(prompt_tokens: u32, generate_tokens: u32) -> Work {
        Work {
            prompt_tokens,
            generate_tokens,
            depth: 0,
            repetitions: 1,
            warmup: false,
            delay_ms: 0,
            seed: 0,
            parallel: 1,
        }
    }

    fn decode_s(world: &World, threads: u32) -> f64 {
        world.truth(&setting(threads), &work(0, 4)).unwrap().decode_s()
    }

    fn prefill_s(world: &World, change: impl FnOnce(&mut Setting)) -> f64 {
        let mut setting = setting(8);
        change(&mut setting);
        world.truth(&setting, &work(1024, 0)).unwrap().prefill_s
    }

    #[test]
    fn generation_meets_the_bandwidth_roof_and_then_gets_slower() {
        let world = world(QUIET);
        assert!(decode_s(&world, 2) < 0.6 * decode_s(&world, 1));
        assert!(decode_s(&world, 4) < decode_s(&world, 3));
        assert!(decode_s(&world, 8) > decode_s(&world, 4));
        assert!(decode_s(&world, 17) > decode_s(&world, 16) + 4.0 * 0.004);
    }

    #[test]
    fn prompts_have_a_best_ubatch_and_like_cores_and_flash_attention() {
        let world = world(QUIET);
        let of_ubatch = |ubatch| prefill_s(&world, |setting| setting.context.ubatch = ubatch);
        for other in [64, 128, 512, 1024] {
            assert!(of_ubatch(256) < of_ubatch(other), "ubatch {other}");
        }
        let four = prefill_s(&world, |setting| setting.threads.threads_batch = 4);
        assert!((1.8..=2.0).contains(&(four / prefill_s(&world, |_| {}))));
        let without =
            prefill_s(&world, |setting| setting.context.flash_attention = FlashAttention::Off);
        assert!(without > 1.04 * prefill_s(&world, |_| {}));
        let haswell =
            prefill_s(&world, |setting| setting.process.isa_variant = Some("haswell".into()));
        assert!(haswell > 1.4 * prefill_s(&world, |_| {}));
    }

    #[test]
    fn depth_costs_and_a_smaller_cache_costs_less() {
        let world = world(QUIET);
        let deep = Work { depth: 3000, ..work(0, 4) };
        let mut small = setting(4);
        small.context.type_k = KvType::Q8_0;
        small.context.type_v = KvType::Q8_0;
        let of = |setting: &Setting| world.truth(setting, &deep).unwrap().decode_s();
        assert!(of(&setting(4)) > decode_s(&world, 4));
        assert!(of(&small) < of(&setting(4)));
    }

    #[test]
    fn nothing_makes_a_difference_on_the_flat_machine() {
        let world = world(FLAT);
        assert!((decode_s(&world, 1) - decode_s(&world, 4)).abs() < 1e-12);
        let base = prefill_s(&world, |_| {});
        for ubatch in [64, 256, 1024] {
            let other = prefill_s(&world, |setting| {
                setting.context.ubatch = ubatch;
                setting.threads.threads_batch = 2;
                setting.process.isa_variant = Some("haswell".into());
            });
            assert!((other / base - 1.0).abs() < 1e-9, "ubatch {ubatch}");
        }
    }

    #[test]
    fn what_cannot_run_says_why() {
        let world = world(CRASHING);
        let kind = |change: fn(&mut Setting), tokens| {
            let mut setting = setting(4);
            change(&mut setting);
            world.truth(&setting, &work(tokens, 1)).unwrap_err().to_string()
        };
        let cases: [Case; 9] = [
            (|s| s.threads.threads = 0, "refused: a thread count is 0"),
            (|s| s.context.context = 64, "refused: a context of 64 tokens cannot hold 101"),
            (
                |s| s.context.context = 4_000_000,
                "out of memory: weights, KV cache and scratch need",
            ),
            (|s| s.process.isa_variant = Some("none".into()), "refused: there is no CPU variant"),
            (|s| s.process.isa_variant = Some("zen4".into()), "refused: this processor lacks"),
            (|s| s.process.isa_variant = Some("sapphirerapids".into()), "crashed: signal 4"),
            (|s| s.context.ubatch = 2048, "crashed: signal 11"),
            (|s| s.process.isa_variant = Some("skylakex".into()), "no answer within"),
            (
                |s| {
                    s.context.flash_attention = FlashAttention::Off;
                    s.context.type_v = KvType::Q8_0;
                },
                "refused: a quantized V cache",
            ),
        ];
        for (change, words) in cases {
            let text = kind(change, 100);
            assert!(text.contains(words), "{text}");
        }
    }
}
