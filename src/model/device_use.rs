//! What a trial did to devices: memory by the engine's account, and the cards by their driver's.

use autotune_engine::api::Bytes;
use serde::{Deserialize, Serialize};

/// Memory of one device in a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// The engine's name for it, for example `CUDA0`.
    pub device: String,
    /// What was foreseen: weights, KV cache and scratch space.
    pub foreseen_bytes: Bytes,
    /// What the engine's buffers on it came to.
    pub allocated_bytes: Bytes,
}

/// A card by its driver, from before a trial until after it, sampled beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CardUse {
    /// The engine's name for it, where an address joins the two.
    pub device: Option<String>,
    /// The driver's name.
    pub name: Option<String>,
    /// Its address on the PCI bus, as the kernel writes it.
    pub pci_address: Option<String>,
    /// How often it was asked.
    pub samples: u32,
    /// Memory that any program used when the trial began.
    pub used_before_bytes: Option<Bytes>,
    /// The most that was in use.
    pub used_peak_bytes: Option<Bytes>,
    /// What was in use when it had ended.
    pub used_after_bytes: Option<Bytes>,
    /// Share of the time that something was computed (0 to 1), the mean.
    pub utilization: Option<f64>,
    /// Clock of the processors, the mean.
    pub graphics_hz: Option<u64>,
    /// The lowest clock while something was computed.
    pub lowest_graphics_hz: Option<u64>,
    /// Clock of the memory, the mean.
    pub memory_hz: Option<u64>,
    /// Power, the mean.
    pub power_watts: Option<f64>,
    /// The highest temperature.
    pub temperature_celsius: Option<u32>,
    /// What held clocks down in any sample, in words; that it was idle is no reason.
    pub throttle_reasons: Vec<String>,
}

impl CardUse {
    /// How it is called in a sentence.
    #[must_use]
    pub fn title(&self) -> &str {
        let names = [&self.device, &self.name, &self.pci_address];
        names.into_iter().find_map(Option::as_deref).unwrap_or("a card")
    }
}
