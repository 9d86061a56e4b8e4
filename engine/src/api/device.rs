//! What an engine can compute on.

use serde::{Deserialize, Serialize};

use super::Bytes;

/// A device of a backend that was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The engine's name for it, for example `CUDA0`.
    pub name: String,
    /// The driver's, for example `NVIDIA GeForce RTX 4090`.
    pub description: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Name of the backend, for example `CUDA`.
    pub backend: String,
    /// Its memory; `None` where the backend does not tell.
    pub memory_bytes: Option<Bytes>,
    /// What is free of it.
    pub free_bytes: Option<Bytes>,
    /// Address on the PCI bus, as the kernel writes it.
    pub pci_address: Option<String>,
}

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A card with memory of its own.
    Gpu,
    /// Graphics that share the system's memory.
    IntegratedGpu,
    /// Helps the processor with the system's memory, as a matrix library does.
    Accelerator,
    /// Several devices that act as one.
    Meta,
}
