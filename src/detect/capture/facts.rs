//! What a capture holds besides the machine's own files: `autotune/host.json` with what no file
//! tells, and `autotune/nvidia.json` with what NVIDIA's library told.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Card, Host};
use crate::model::CpuList;

/// Where it lies.
pub(crate) const HOST: &str = "/autotune/host.json";
/// Where it lies.
pub(crate) const NVIDIA: &str = "/autotune/nvidia.json";
/// The version of the format.
const SCHEMA: &str = "autotune.capture/1";
/// Longest name of an architecture that is believed.
const LONGEST_NAME: usize = 32;

/// Facts that no file tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// `autotune.capture/1`.
    schema: String,
    /// When the machine was looked at.
    captured_at: String,
    /// The architecture of the program that looked.
    architecture: Option<String>,
    /// CPUs that it might run on.
    threads: Option<u32>,
    /// The folder of models, under a name that tells nothing.
    pub(super) model_folder: Option<PathBuf>,
    /// Files that it was not allowed to read.
    pub(crate) denied: Vec<String>,
}

impl Facts {
    pub(super) fn of(host: &dyn Host) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            captured_at: host.now(),
            architecture: host.architecture(),
            threads: host.threads(),
            model_folder: None,
            denied: Vec::new(),
        }
    }

    /// What a file says; nothing where it is of another format.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|facts: &Self| facts.schema == SCHEMA)
    }

    /// The date, where it is one.
    pub(crate) fn captured_at(&self) -> Option<String> {
        self.captured_at.parse::<Timestamp>().ok().map(|date| date.to_string())
    }

    /// The architecture, where the word can be one.
    pub(crate) fn architecture(&self) -> Option<String> {
        let word = self.architecture.clone().filter(|word| word.len() <= LONGEST_NAME)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!word.is_empty() && word.chars().all(plain)).then_some(word)
    }

    /// CPUs, where there can be so many.
    pub(crate) fn threads(&self) -> Option<u32> {
        self.threads.filter(|threads| (1..=CpuList::LIMIT).contains(threads))
    }

    /// The folder of models.
    pub(crate) fn model_folder(&self) -> Option<PathBuf> {
        self.model_folder.clone().filter(|folder| folder.is_absolute())
    }
}

/// What NVIDIA's library told, or why it told nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Nvidia {
    cards: Vec<Card>,
    trouble: Option<String>,
}

impl Nvidia {
    /// `None` where there is no driver.
    pub(super) fn of(host: &dyn Host) -> Option<Self> {
        match host.nvidia() {
            Ok(cards) if cards.is_empty() => None,
            Ok(cards) => Some(Self { cards, trouble: None }),
            Err(why) => Some(Self { cards: Vec::new(), trouble: Some(why) }),
        }
    }

    /// As the library would answer.
    pub(crate) fn answer(text: &str) -> Result<Vec<Card>, String> {
        let told: Self =
            serde_json::from_str(text).map_err(|error| format!("{NVIDIA}: {error}"))?;
        match told.trouble {
            Some(why) => Err(why),
            None => Ok(told.cards),
        }
    }
}
