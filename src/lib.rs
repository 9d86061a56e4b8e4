//! Finds the settings that run a GGUF model best on a machine, and proves it.
//!
//! Modules stand on floors and import from lower floors only; `tests/floors.rs` holds them to
//! it, and `docs/ARCHITECTURE.md` draws the map.

pub mod activity;
pub mod analysis;
pub mod appraise;
pub mod bench;
pub mod bottleneck;
pub mod cli;
pub mod detect;
pub mod doctor;
pub mod export;
pub mod gate;
pub mod gguf;
pub mod import;
pub mod judge;
pub mod knob;
pub mod measure;
pub mod mix;
pub mod model;
pub mod observe;
pub mod plan;
pub mod quality;
pub mod quantize;
pub mod render;
pub mod search;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod synth;
pub mod verify;
