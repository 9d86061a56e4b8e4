//! Documents on disk: the run directory with its journal, the cache of earlier results.
//!
//! Every file is versioned and either written whole or not at all; the journal grows by whole,
//! synced lines, so that a program killed at any byte loses no finished trial. What the documents
//! mean is left to `model`, what follows from them to `analysis`, and which folder is meant (the
//! environment, the user's cache folder) to `cli`.

mod cache;
mod document;
mod error;
#[cfg(test)]
mod fixture;
mod journal;
mod peaks;
mod profile;
mod quantization;
mod run;
mod salvage;
mod sessions;
mod table;
mod verification;
mod workshop;

pub use cache::{CacheKey, ResultCache};
pub use error::StoreError;
pub use journal::TornLine;
pub use peaks::{PeakStore, Tested};
pub use profile::{PROFILE, read_profile, write_profile};
pub use quantization::{
    QUANTIZATION, read_machine, read_quantization, write_machine, write_quantization,
};
pub use run::{RunDirectory, StoredRun, default_folder, write_file};
pub use salvage::SalvagedRun;
pub use sessions::{History, LearnedNoise, SessionStore, read_history};
pub use table::trials_csv;
pub use verification::{VERIFICATION, read_verification, write_verification};
pub use workshop::workshop;
