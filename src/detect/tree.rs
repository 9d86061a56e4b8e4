//! The door to a machine whose files lie in a folder, perhaps another one's.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

use super::capture::facts::{self, Facts, Nvidia};
use super::capture::unpack::unpack;
use super::host::{list_names, read_plain, read_text, whole_second};
use super::{Card, Host, Registers, Unread, registers};
use crate::model::Provenance;

/// Links that are followed on the way to one file, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// A machine whose `/proc`, `/sys` and `/etc` lie in a folder. Nothing of the running machine is
/// ever asked.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    model_folder: Option<PathBuf>,
    /// What a capture tells besides files.
    facts: Facts,
    /// Where an archive was unpacked; it goes with the tree.
    _unpacked: Option<TempDir>,
}

impl Tree {
    /// The folder, or the archive that a capture is, must exist. Links are read as the captured machine would read them: the folder
    /// is the root, and nothing leads out of it.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let unpacked = if root.is_dir() { None } else { Some(unpack(root)?) };
        let root = fs::canonicalize(unpacked.as_ref().map_or(root, TempDir::path))?;
        if !root.join("proc").is_dir() && !root.join("sys").is_dir() {
            return Err(std::io::Error::new(ErrorKind::NotFound, "it has neither proc nor sys"));
        }
        let mut tree =
            Self { root, model_folder: None, facts: Facts::default(), _unpacked: unpacked };
        if let Some(facts) = tree.read(facts::HOST).ok().and_then(|text| Facts::parse(&text)) {
            tree.model_folder = facts.model_folder();
            tree.facts = facts;
        }
        Ok(tree)
    }

    /// Also finds out on what this folder of the captured machine lies.
    #[must_use]
    pub fn with_model_folder(self, folder: PathBuf) -> Self {
        Self { model_folder: Some(folder), ..self }
    }

    /// Where a path of that machine lies on this one. Every part is looked at in turn, so that a
    /// link anywhere in it starts again from the captured root and not from ours.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let mut ahead: Vec<OsString> = parts(path);
        let mut inside = PathBuf::new();
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == ".." {
                inside.pop();
                continue;
            }
            let next = inside.join(&part);
            let real = self.root.join(&next);
            if !fs::symlink_metadata(&real).ok()?.is_symlink() {
                inside = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            let target = fs::read_link(&real).ok()?;
            if target.is_absolute() {
                inside.clear();
            }
            ahead.extend(parts(&target));
        }
        Some(self.root.join(inside))
    }
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

impl Host for Tree {
    fn read(&self, path: &str) -> Result<String, Unread> {
        if self.facts.denied.iter().any(|denied| denied == path) {
            return Err(Unread::Denied(path.to_owned()));
        }
        let place = self.place(Path::new(path)).ok_or_else(|| Unread::Absent(path.to_owned()))?;
        read_text(&place, path)
    }

    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        let place = self.place(Path::new(path)).ok_or_else(|| Unread::Absent(path.to_owned()))?;
        read_plain(&place, path)
    }

    fn list(&self, path: &str) -> Vec<String> {
        self.place(Path::new(path)).map(|place| list_names(&place)).unwrap_or_default()
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn registers(&self) -> Option<Registers> {
        registers::replayed(&self.read("/cpuid.txt").ok()?)
    }

    fn now(&self) -> String {
        self.facts.captured_at().unwrap_or_else(whole_second)
    }

    fn threads(&self) -> Option<u32> {
        self.facts.threads()
    }

    fn architecture(&self) -> Option<String> {
        self.facts.architecture()
    }

    fn nvidia(&self) -> Result<Vec<Card>, String> {
        match self.read(facts::NVIDIA) {
            Ok(text) => Nvidia::answer(&text),
            Err(_) => Ok(Vec::new()),
        }
    }

    fn model_folder(&self) -> Option<PathBuf> {
        self.model_folder.clone()
    }
}
