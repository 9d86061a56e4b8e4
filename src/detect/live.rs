//! The machine this program runs on.

use std::path::{Path, PathBuf};

use super::host::{list_names, read_plain, read_text, whole_second};
use super::{Card, Host, Registers, Topology, Unread, hwloc, nvidia, registers};
use crate::model::Provenance;

/// The machine this program runs on.
#[derive(Debug, Default)]
pub struct Live {
    model_folder: Option<PathBuf>,
}

/// The machine this program runs on; storage is looked up with [`Live::with_model_folder`].
#[must_use]
pub fn live() -> Live {
    Live::default()
}

impl Live {
    /// Also finds out on what this folder lies.
    #[must_use]
    pub fn with_model_folder(self, folder: PathBuf) -> Self {
        Self { model_folder: Some(folder) }
    }
}

impl Host for Live {
    fn read(&self, path: &str) -> Result<String, Unread> {
        read_text(Path::new(path), path)
    }

    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        read_plain(Path::new(path), path)
    }

    fn list(&self, path: &str) -> Vec<String> {
        list_names(Path::new(path))
    }

    fn provenance(&self) -> Provenance {
        Provenance::Live
    }

    fn now(&self) -> String {
        whole_second()
    }

    fn registers(&self) -> Option<Registers> {
        registers::read()
    }

    fn topology(&self) -> Option<Topology> {
        hwloc::topology()
    }

    fn threads(&self) -> Option<u32> {
        std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok())
    }

    fn architecture(&self) -> Option<String> {
        Some(std::env::consts::ARCH.to_owned())
    }

    fn nvidia(&self) -> Result<Vec<Card>, String> {
        nvidia::cards()
    }

    fn model_folder(&self) -> Option<PathBuf> {
        self.model_folder.clone()
    }
}
