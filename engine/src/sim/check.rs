//! Values that make no machine, found before anything is computed with them.

use super::spec::SelfTest;
use super::world::World;
use crate::api::FlashAttention;

impl World {
    /// The key of the first value that makes no machine, and what it would have to be.
    pub(super) fn check(&self) -> Verdict {
        self.check_counts()?;
        self.check_positive()?;
        self.check_not_negative()?;
        self.check_shares()?;
        let auto = self.flash_attention.auto;
        require(auto != FlashAttention::Auto, "flash_attention.auto", "must be `on` or `off`")?;
        for (index, variant) in self.variants.iter().enumerate() {
            let speed = variant.prefill_speed.min(variant.decode_speed);
            let most = variant.prefill_speed.max(variant.decode_speed);
            let key = format!("variants[{index}]");
            require(speed > 0.0 && most <= 1e6, &key, "must have positive speeds")?;
        }
        let usable = self.variants.iter().any(|variant| variant.self_test == SelfTest::Usable);
        require(usable, "variants", "must hold one that is usable")
    }

    fn check_counts(&self) -> Verdict {
        let Self { machine, model, hybrid, numa, gpu, experts, .. } = self;
        let mut counts = vec![
            ("machine.cores", machine.cores, 1024),
            ("machine.smt", machine.smt, 8),
            ("machine.usable_threads", machine.usable_threads.unwrap_or(1), 8192),
            ("model.layers", model.layers, 10_000),
            ("model.best_ubatch", model.best_ubatch, 1 << 20),
        ];
        counts.extend(hybrid.map(|it| ("hybrid.slow_cores", it.slow_cores, 1024)));
        counts.extend(numa.map(|it| ("numa.nodes", it.nodes, machine.cores)));
        counts.extend(gpu.as_ref().map(|it| ("gpu.best_ubatch", it.best_ubatch, 1 << 20)));
        counts.extend(experts.map(|it| ("experts.count", it.count, 10_000)));
        counts.extend(experts.map(|it| ("experts.used", it.used, it.count)));
        for (key, value, most) in counts {
            require((1..=most).contains(&value), key, "must be a count of ordinary size, not 0")?;
        }
        Ok(())
    }

    fn check_positive(&self) -> Verdict {
        let Self { machine, flash_attention, noise, gpu, .. } = self;
        let mut positive = vec![
            ("machine.core_flops", machine.core_flops),
            ("machine.core_bandwidth_bytes_per_s", machine.core_bandwidth_bytes_per_s),
            ("machine.bandwidth_bytes_per_s", machine.bandwidth_bytes_per_s),
            ("machine.quota_cores", machine.quota_cores.unwrap_or(1.0)),
            ("flash_attention.prefill_speed", flash_attention.prefill_speed),
            ("flash_attention.decode_speed", flash_attention.decode_speed),
            ("noise.drift_time_s", noise.drift_time_s),
        ];
        positive.extend(self.hybrid.map(|it| ("hybrid.slow_speed", it.slow_speed)));
        positive.extend(self.numa.map(|it| ("numa.link_speed", it.link_speed)));
        positive.extend(self.repack.map(|it| ("repack.prefill_speed", it.prefill_speed)));
        positive.extend(self.repack.map(|it| ("repack.decode_speed", it.decode_speed)));
        positive.extend(self.attention.map(|it| ("attention.quantized_speed", it.quantized_speed)));
        positive.extend(self.load_modes.iter().map(|it| ("load_modes.bandwidth", it.bandwidth)));
        positive.extend(noise.bursts.map(|it| ("noise.bursts.every_s", it.every_s)));
        positive.extend(noise.bursts.map(|it| ("noise.bursts.length_s", it.length_s)));
        positive.extend(noise.throttling.map(|it| ("noise.throttling.time_s", it.time_s)));
        if let Some(gpu) = gpu {
            positive.extend([
                ("gpu.flops", gpu.flops),
                ("gpu.bandwidth_bytes_per_s", gpu.bandwidth_bytes_per_s),
                ("gpu.link_bytes_per_s", gpu.link_bytes_per_s),
                ("gpu.attention_knee", gpu.attention_knee.unwrap_or(1.0)),
            ]);
        }
        for (key, value) in positive {
            require(value.is_finite() && value > 0.0, key, "must be a positive number")?;
        }
        Ok(())
    }

    fn check_not_negative(&self) -> Verdict {
        let Self { machine, model, steps, noise, gpu, .. } = self;
        let mut not_negative = vec![
            ("machine.smt_gain", machine.smt_gain),
            ("machine.barrier_s", machine.barrier_s),
            ("machine.contention_s", machine.contention_s),
            ("model.ubatch_loss", model.ubatch_loss),
            ("model.batch_s", model.batch_s),
            ("steps.process_s", steps.process_s),
            ("steps.load_s", steps.load_s),
            ("steps.context_s", steps.context_s),
            ("noise.sample_sd", noise.sample_sd),
            ("noise.token_sd", noise.token_sd),
            ("noise.drift_sd", noise.drift_sd),
            ("noise.trend_per_hour", noise.trend_per_hour),
            ("noise.trace_scale", noise.trace_scale),
        ];
        not_negative.extend(noise.throttling.map(|it| ("noise.throttling.slowdown", it.slowdown)));
        not_negative.extend(self.numa.map(|it| ("numa.crossing_s", it.crossing_s)));
        not_negative.extend(self.polling.map(|it| ("polling.wake_s", it.wake_s)));
        not_negative.extend(self.repack.map(|it| ("repack.load_s", it.load_s)));
        not_negative.extend(self.load_modes.iter().map(|it| ("load_modes.load_s", it.load_s)));
        not_negative.extend(gpu.as_ref().map(|it| ("gpu.launch_s", it.launch_s)));
        not_negative.extend(gpu.as_ref().map(|it| ("gpu.crossing_s", it.crossing_s)));
        for (key, value) in not_negative {
            require((0.0..=1e6).contains(&value), key, "must be a number from 0 to a million")?;
        }
        // Far above what attention computes: some operations per weight of a layer.
        let operations = self.attention.map_or(0.0, |it| it.operations);
        require((0.0..=1e12).contains(&operations), "attention.operations", "must be a number")
    }

    fn check_shares(&self) -> Verdict {
        let Self { machine, model, experts, noise, .. } = self;
        let mut shares = vec![("model.ubatch_loss", model.ubatch_loss)];
        shares.extend(self.polling.map(|it| ("polling.spin_loss", it.spin_loss)));
        // Twice of it is taken of threads with low priority.
        shares.extend(self.background.map(|it| ("background.share", 2.0 * it.share)));
        shares.extend(self.gpu.as_ref().map(|it| ("gpu.ubatch_loss", it.ubatch_loss)));
        shares.extend(noise.bursts.map(|it| ("noise.bursts.share", it.share)));
        shares.extend(noise.throttling.map(|it| ("noise.throttling.threshold", it.threshold)));
        for (key, value) in shares {
            require((0.0..1.0).contains(&value), key, "must be a share below 1")?;
        }
        let whole = [
            ("hybrid.drag", self.hybrid.map(|it| it.drag)),
            ("numa.touched_local", self.numa.map(|it| it.touched_local)),
        ];
        for (key, value) in whole {
            let value = value.unwrap_or_default();
            require((0.0..=1.0).contains(&value), key, "must be a share from 0 to 1")?;
        }
        require((1.0..=1e6).contains(&machine.collapse), "machine.collapse", "must be at least 1")?;
        let within = experts.is_none_or(|it| {
            it.size_bytes <= model.size_bytes && it.bytes_per_token <= model.bytes_per_token
        });
        require(within, "experts", "must be a part of the model")
    }
}

/// The key of a value that makes no machine, and what it would have to be.
type Verdict = Result<(), (String, &'static str)>;

fn require(holds: bool, key: &str, reason: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err((key.to_owned(), reason)) }
}
