//! What a device reaches.

use serde::{Deserialize, Serialize};

/// Samples of a device's rates, one per repetition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceRates {
    /// The engine's name of the device, for example `CUDA0`.
    pub device: String,
    /// Reading its memory: 16-bit weights times one vector, as generation does.
    pub bytes_per_s: Vec<f64>,
    /// Products of 16-bit matrices, a multiply-add being two operations.
    pub operations_per_s: Vec<f64>,
}
