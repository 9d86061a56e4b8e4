//! The speed that a model can have at most here: bytes over measured bandwidth, operations over
//! measured rates. A roof, not a forecast: real kernels stay below it.

use autotune_engine::api::Bytes;

use crate::model::{Ceilings, LayerWeights, ModelCard};

/// What a token has to be read from and computed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roof {
    /// Bytes per second of main memory.
    bandwidth: f64,
    /// Operations per second on the weights' type.
    operations: Option<f64>,
    weights: f64,
    all_weights: f64,
    token_operations: f64,
}

impl Roof {
    /// The roof of a model on the processor; `None` without a measured bandwidth.
    #[must_use]
    pub fn of(
        card: &ModelCard,
        layers: &LayerWeights,
        ceilings: Option<&Ceilings>,
    ) -> Option<Self> {
        let ceilings = ceilings?;
        let bandwidth = ceilings.best_read_bandwidth()?.value;
        let integer = ceilings.best_int8().filter(|_| layers.quantized);
        let operations = integer.or(ceilings.best_f32()).map(|rate| rate.value);
        Some(Self {
            bandwidth: Some(bandwidth).filter(|rate| *rate > 0.0)?,
            operations: operations.filter(|rate| *rate > 0.0),
            weights: card.bytes_per_token.0 as f64,
            all_weights: card.file_bytes.0 as f64,
            token_operations: 2.0 * layers.active_parameters as f64,
        })
    }

    /// Generated tokens per second with so many bytes of KV cache to be read for each.
    #[must_use]
    pub fn decode(&self, kv: Bytes) -> f64 {
        self.bandwidth / (self.weights + kv.0 as f64).max(1.0)
    }

    /// Prompt tokens per second: a physical batch reads all weights once and computes each token.
    #[must_use]
    pub fn prefill(&self, ubatch: u32) -> Option<f64> {
        let compute = self.token_operations / self.operations?;
        let read = self.all_weights / self.bandwidth / f64::from(ubatch.max(1));
        Some(1.0 / compute.max(read).max(1e-12))
    }
}
