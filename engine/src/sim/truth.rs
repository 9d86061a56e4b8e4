//! What a setting takes on a simulated machine when nothing scatters.

use super::world::{SelfTest, VariantSpec, World};
use crate::api::{BufferUse, Bytes, Failure, FlashAttention, GpuLayers, KvType, Setting, Work};

/// What a piece of work takes, free of noise and accidents.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The setting as it runs.
    pub effective: Setting,
    /// Seconds for the prompt.
    pub prefill_s: f64,
    /// Seconds for each generated token.
    pub token_s: Vec<f64>,
}

impl Truth {
    /// Seconds for all generated tokens.
    #[must_use]
    pub fn decode_s(&self) -> f64 {
        self.token_s.iter().sum()
    }

    /// Seconds for the whole work.
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
        let first = work.depth + work.prompt_tokens;
        let token_s = (0..work.generate_tokens)
            .map(|index| self.step_seconds(&effective, variant, first + index, work.parallel))
            .collect();
        let prompt_s = self.prefill_seconds(&effective, variant, work.prompt_tokens, work.depth);
        let prefill_s = prompt_s * f64::from(work.parallel);
        Ok(Truth { effective, prefill_s, token_s })
    }

    /// Memory that a setting fills.
    pub(super) fn memory(&self, effective: &Setting) -> BufferUse {
        let context = &effective.context;
        let bytes = self.cache_bytes(effective) * f64::from(context.context);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let context_bytes = Bytes(bytes as u64);
        BufferUse {
            name: "CPU".to_owned(),
            model_bytes: Bytes(self.model.size_bytes),
            context_bytes,
            compute_bytes: Bytes(
                self.model.compute_bytes_per_token.saturating_mul(u64::from(context.ubatch)),
            ),
        }
    }

    /// The setting with every open word answered, as an engine reads it back.
    pub(super) fn resolve(&self, asked: &Setting) -> Result<Setting, Failure> {
        let mut setting = asked.clone();
        let threads = &setting.threads;
        if threads.threads == 0 || threads.threads_batch == 0 {
            return Err(Failure::refused("a thread count is 0"));
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
        setting.load.gpu_layers = GpuLayers::Count(0);
        if setting.process.isa_variant.is_none() {
            let best = self.variants.iter().filter(|variant| variant.self_test == SelfTest::Usable);
            let best = best.max_by_key(|variant| variant.score);
            setting.process.isa_variant = best.map(|variant| variant.name.clone());
        }
        Ok(setting)
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

    fn check_memory(&self, effective: &Setting) -> Result<(), Failure> {
        let buffer = self.memory(effective);
        let needed = [buffer.model_bytes, buffer.context_bytes, buffer.compute_bytes];
        let needed: Bytes = needed.into_iter().sum();
        let available = Bytes(self.machine.memory_bytes);
        if needed <= available {
            return Ok(());
        }
        let reason = format!("weights, KV cache and scratch need {needed}, {available} are there");
        Err(Failure::OutOfMemory { reason, log: Vec::new() })
    }

    /// Seconds for one generated token of each sequence with `position` tokens before it: the
    /// slower of reading the weights once and computing all tokens, plus reading the KV cache of
    /// each, plus waiting for each other.
    fn step_seconds(
        &self,
        effective: &Setting,
        variant: &VariantSpec,
        position: u32,
        sequences: u32,
    ) -> f64 {
        let sequences = f64::from(sequences);
        let threads = effective.threads.threads;
        let bandwidth = self.bandwidth(threads);
        let read = self.model.bytes_per_token as f64 / bandwidth;
        let operations = 2.0 * self.model.parameters as f64 * sequences;
        let compute = operations / (self.flops(threads) * variant.decode_speed);
        let cache = self.cache_bytes(effective) * f64::from(position) * sequences / bandwidth;
        let speed = flash_speed(effective, self.flash_attention.decode_speed);
        (read.max(compute) + cache) / speed + self.waiting(threads)
    }

    /// Seconds for a prompt after `depth` tokens. Each physical batch is the slower of computing
    /// its tokens and reading the weights once, plus each token's look back at the KV cache, plus
    /// waiting for each other.
    fn prefill_seconds(
        &self,
        effective: &Setting,
        variant: &VariantSpec,
        tokens: u32,
        depth: u32,
    ) -> f64 {
        let threads = effective.threads.threads_batch;
        let ubatch = effective.context.ubatch;
        let doublings = (f64::from(ubatch) / f64::from(self.model.best_ubatch)).log2();
        let ubatch_speed = (1.0 - self.model.ubatch_loss).powf(doublings * doublings);
        let rate = self.flops(threads) * variant.prefill_speed * ubatch_speed;
        let bandwidth = self.bandwidth(threads);
        let speed = flash_speed(effective, self.flash_attention.prefill_speed);
        let batch_seconds = |size: f64, before: f64| {
            let compute = 2.0 * self.model.parameters as f64 * size / rate;
            let read = self.model.bytes_per_token as f64 / bandwidth;
            let back = self.cache_bytes(effective) * size * (before + size / 2.0) / bandwidth;
            (compute.max(read) + back) / speed + self.waiting(threads)
        };
        let (whole, rest) = (tokens / ubatch, tokens % ubatch);
        let at = |batch: u32| f64::from(depth) + f64::from(batch) * f64::from(ubatch);
        let mut seconds: f64 =
            (0..whole).map(|batch| batch_seconds(f64::from(ubatch), at(batch))).sum();
        if rest > 0 {
            seconds += batch_seconds(f64::from(rest), at(whole));
        }
        seconds
    }

    /// Hardware threads that really run at once.
    fn usable_threads(&self) -> u32 {
        let all = self.machine.cores * self.machine.smt;
        self.machine.usable_threads.map_or(all, |usable| usable.min(all))
    }

    /// Operations per second of so many threads: cores first, then their further threads.
    fn flops(&self, threads: u32) -> f64 {
        let machine = &self.machine;
        let running = threads.min(self.usable_threads());
        let own_core = f64::from(running.min(machine.cores));
        let shared = f64::from(running) - own_core;
        let sharers = f64::from(machine.cores * machine.smt.saturating_sub(1)).max(1.0);
        let gain = machine.smt_gain * f64::from(machine.cores) * shared / sharers;
        machine.core_flops * (own_core + gain)
    }

    /// Bytes per second that so many threads read: one core's share each, up to the roof.
    fn bandwidth(&self, threads: u32) -> f64 {
        let reading = f64::from(threads.min(self.usable_threads()).min(self.machine.cores));
        let wish = reading * self.machine.core_bandwidth_bytes_per_s;
        wish.min(self.machine.bandwidth_bytes_per_s)
    }

    /// Seconds per pass over the model that threads wait: for each other, and for a core.
    fn waiting(&self, threads: u32) -> f64 {
        let excess = threads.saturating_sub(self.usable_threads());
        self.machine.barrier_s * f64::from(threads.saturating_sub(1))
            + self.machine.contention_s * f64::from(excess)
    }

    /// Bytes of KV cache per token with the types of a setting.
    fn cache_bytes(&self, effective: &Setting) -> f64 {
        let context = &effective.context;
        let element_bits = f64::midpoint(bits(context.type_k), bits(context.type_v));
        self.model.kv_bytes_per_token as f64 * element_bits / 16.0
    }
}

/// What flash attention multiplies the speed by under a resolved setting.
fn flash_speed(effective: &Setting, speed: f64) -> f64 {
    if effective.context.flash_attention == FlashAttention::On { speed } else { 1.0 }
}

/// Bits per element of a KV cache type, block scales included.
fn bits(kv: KvType) -> f64 {
    match kv {
        KvType::F32 => 32.0,
        KvType::F16 | KvType::Bf16 => 16.0,
        KvType::Q8_0 => 8.5,
        KvType::Q5_1 => 6.0,
        KvType::Q5_0 => 5.5,
        KvType::Q4_1 => 5.0,
        KvType::Q4_0 | KvType::Iq4Nl => 4.5,
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
