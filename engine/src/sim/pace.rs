//! How long the tokens of the two phases take under one setting, as closed formulas.

use super::parts::{ExpertSpec, GpuSpec};
use super::spec::VariantSpec;
use super::split::Split;
use super::team::Team;
use super::world::World;
use crate::api::{Failure, FlashAttention, KvType, Setting, Toggle};

/// Fewer tokens than this are never sent to a card that lacks the weights (ggml's own limit).
const LEAST_SENT: f64 = 32.0;

/// Everything about a setting that the times of its tokens depend on.
pub(super) struct Pace<'a> {
    world: &'a World,
    setting: &'a Setting,
    variant: &'a VariantSpec,
    card: Option<&'a GpuSpec>,
    split: Split,
    decode: Team,
    prefill: Team,
    /// Bytes of KV cache per token.
    cache_bytes: f64,
    /// Speed of attention over the speed with 16 bits per element.
    cache_speed: f64,
    /// Speed of prompts and generation that rearranged weights bring.
    repack: (f64, f64),
}

impl<'a> Pace<'a> {
    pub(super) fn new(
        world: &'a World,
        effective: &'a Setting,
        variant: &'a VariantSpec,
    ) -> Result<Self, Failure> {
        let threads = &effective.threads;
        let mut decode = world.team(effective, threads.threads)?;
        let mut prefill = world.team(effective, threads.threads_batch)?;
        let mode = effective.load.load_mode;
        if let Some(spec) = world.load_modes.iter().find(|spec| spec.mode == mode) {
            decode.bandwidth *= spec.bandwidth;
            prefill.bandwidth *= spec.bandwidth;
        }
        let kinds = [effective.context.type_k, effective.context.type_v];
        let quantized = kinds.iter().any(|kind| bits(*kind) < 16.0);
        let repacked = world.repack.filter(|_| effective.load.repack == Toggle::On);
        Ok(Self {
            world,
            setting: effective,
            variant,
            card: world.card(effective),
            split: world.split(effective),
            decode,
            prefill,
            cache_bytes: world.cache_bytes(effective),
            cache_speed: world
                .attention
                .filter(|_| quantized)
                .map_or(1.0, |attention| attention.quantized_speed),
            repack: repacked.map_or((1.0, 1.0), |it| (it.prefill_speed, it.decode_speed)),
        })
    }

    /// Seconds for a generated token of each sequence with none before it, and for each token
    /// before it: the slower of reading the weights once and computing, plus reading the KV cache
    /// of each, plus waiting.
    pub(super) fn token(&self, sequences: f64) -> (f64, f64) {
        let (model, team, split) = (&self.world.model, &self.decode, &self.split);
        let speed = self.flash(self.world.flash_attention.decode_speed);
        let read = model.bytes_per_token as f64 / team.bandwidth;
        let operations = 2.0 * model.parameters as f64 * sequences;
        let compute = operations / (team.flops * self.variant.decode_speed * self.repack.1);
        let attention = self.operations() / team.flops;
        let cache = (self.cache_bytes / team.bandwidth).max(attention) / self.cache_speed;
        let mut first = read.max(compute) * split.active / speed + team.waiting_s * split.active;
        let mut each = cache * split.cache * sequences / speed;
        first *= team.stretch;
        each *= team.stretch;
        if let Some(gpu) = self.card {
            let bytes = model.bytes_per_token as f64 * (1.0 - split.active);
            first += bytes / gpu.bandwidth_bytes_per_s / speed
                + gpu.launch_s * f64::from(split.device_layers)
                + self.handing_over(gpu, 1.0);
            each += sequences * self.cache_bytes * (1.0 - split.cache)
                / (gpu.bandwidth_bytes_per_s * speed * self.cache_speed);
        }
        (first, each)
    }

    /// Seconds for a prompt after `depth` tokens: its logical batches, each in physical ones.
    pub(super) fn prompt(&self, tokens: u32, depth: u32) -> f64 {
        let context = &self.setting.context;
        let mut done = 0;
        let mut seconds = 0.0;
        while done < tokens {
            let batch = context.batch.min(tokens - done);
            seconds += self.world.model.batch_s;
            let mut inside = 0;
            while inside < batch {
                let size = context.ubatch.min(batch - inside);
                let before = f64::from(depth) + f64::from(done + inside);
                seconds += self.physical_batch(f64::from(size), before);
                inside += size;
            }
            done += batch;
        }
        seconds
    }

    /// Seconds for one physical batch. Each side takes the slower of computing its tokens and
    /// reading the weights once, plus each token's look back at the KV cache, plus waiting.
    fn physical_batch(&self, size: f64, before: f64) -> f64 {
        let (model, team, split) = (&self.world.model, &self.prefill, &self.split);
        let ubatch = self.setting.context.ubatch;
        let speed = self.flash(self.world.flash_attention.prefill_speed);
        let rate = team.flops
            * self.variant.prefill_speed
            * self.repack.0
            * away_from(ubatch, model.best_ubatch, model.ubatch_loss);
        let operations = 2.0 * model.parameters as f64 * size;
        let read = self.read_by(size) / team.bandwidth;
        let looks = size * (before + size / 2.0);
        let back = (self.cache_bytes * looks / team.bandwidth)
            .max(self.operations() * looks / team.flops)
            / self.cache_speed;
        let by_host = (operations / rate).max(read) * split.active;
        let Some(gpu) = self.card else {
            return ((by_host + back * split.cache) / speed + team.waiting_s) * team.stretch;
        };
        let card_rate = gpu.flops * away_from(ubatch, gpu.best_ubatch, gpu.ubatch_loss);
        let on_card = |share: f64| {
            (operations / card_rate).max(self.read_by(size) / gpu.bandwidth_bytes_per_s) * share
        };
        let sends = self.setting.context.op_offload == Toggle::On && size >= LEAST_SENT;
        let weights = if sends {
            split.host_bytes / gpu.link_bytes_per_s + on_card(split.active) / speed
        } else {
            (by_host / speed + team.waiting_s * split.active) * team.stretch
        };
        let knee = gpu.attention_knee.map_or(1.0, |knee| (size * (before + size) / knee).max(1.0));
        let card_back = (self.cache_bytes * (before + size) / gpu.bandwidth_bytes_per_s)
            .max(self.operations() * looks / card_rate)
            * knee
            / self.cache_speed;
        weights
            + back * split.cache * team.stretch / speed
            + (on_card(1.0 - split.active) + card_back * (1.0 - split.cache)) / speed
            + gpu.launch_s * f64::from(split.device_layers)
            + self.handing_over(gpu, size)
    }

    /// Bytes of weights that a physical batch reads: the more tokens, the more experts.
    fn read_by(&self, size: f64) -> f64 {
        let all = self.world.model.bytes_per_token;
        let touched = |experts: ExpertSpec| {
            let missed = 1.0 - f64::from(experts.used) / f64::from(experts.count);
            let bytes = experts.size_bytes as f64 * (1.0 - missed.powf(size));
            all.saturating_sub(experts.bytes_per_token) as f64 + bytes
        };
        self.world.experts.map_or(all as f64, touched)
    }

    /// Seconds that the two sides take to hand so many tokens over to each other.
    fn handing_over(&self, gpu: &GpuSpec, tokens: f64) -> f64 {
        let sent = tokens * gpu.activation_bytes as f64 / gpu.link_bytes_per_s;
        f64::from(self.split.crossings) * (gpu.crossing_s + sent)
    }

    fn operations(&self) -> f64 {
        self.world.attention.map_or(0.0, |attention| attention.operations)
    }

    /// What flash attention multiplies the speed by.
    fn flash(&self, speed: f64) -> f64 {
        if self.setting.context.flash_attention == FlashAttention::On { speed } else { 1.0 }
    }
}

/// Speed at a physical batch over the speed at the best one.
fn away_from(ubatch: u32, best: u32, loss: f64) -> f64 {
    let doublings = (f64::from(ubatch) / f64::from(best)).log2();
    (1.0 - loss).powf(doublings * doublings)
}

impl World {
    /// Seconds that a load takes under a setting.
    pub(super) fn load_seconds(&self, setting: &Setting) -> f64 {
        let mode = self.load_modes.iter().find(|spec| spec.mode == setting.load.load_mode);
        let repack = self.repack.filter(|_| setting.load.repack == Toggle::On);
        let sent = self.card(setting).map_or(0.0, |gpu| {
            (self.model.size_bytes as f64 - self.split(setting).host_bytes) / gpu.link_bytes_per_s
        });
        let read = mode.map_or(0.0, |spec| spec.load_s);
        self.steps.load_s + read + repack.map_or(0.0, |repack| repack.load_s) + sent
    }

    /// Bytes of KV cache per token with the types of a setting.
    pub(super) fn cache_bytes(&self, effective: &Setting) -> f64 {
        let context = &effective.context;
        let element_bits = f64::midpoint(bits(context.type_k), bits(context.type_v));
        self.model.kv_bytes_per_token as f64 * element_bits / 16.0
    }
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
