//! Captures: what the probes read of a machine, in one file that may be given away.
//!
//! The probes run over a host that notes what they ask; what it noted is cleaned of everything
//! that names a person, a machine or a piece of hardware, and packed. [`super::Tree`] reads it.

mod clean;
pub(super) mod facts;
mod mountinfo;
mod names;
mod pack;
mod record;
mod smbios;
#[cfg(test)]
mod tests;
pub(super) mod unpack;

#[cfg(test)]
pub(super) use self::tests::travels;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use self::facts::{Facts, Nvidia};
use self::mountinfo::{Groups, MODELS};
use self::names::Names;
use self::pack::Contents;
use self::record::{Recorder, Records};
use super::{Host, Unread, cpuid};
use crate::model::Provenance;

/// What the processor says of itself, in a capture.
const CPUID: &str = "/cpuid.txt";
const MOUNTS: &str = "/proc/self/mountinfo";

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Files in it.
    pub files: usize,
    /// Its length in bytes.
    pub bytes: u64,
    /// Files that the probes read and that it does not hold.
    pub left_out: usize,
}

/// No capture was written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}")]
pub struct CaptureError {
    path: PathBuf,
    source: io::Error,
}

/// Looks at everything and writes what was looked at, whole or not at all.
pub fn write(host: &dyn Host, path: &Path) -> Result<Written, CaptureError> {
    let (contents, left_out) = contents(host);
    let failed = |source| CaptureError { path: path.to_owned(), source };
    let bytes = contents.write(path).map_err(failed)?;
    Ok(Written { files: contents.files.len(), bytes, left_out })
}

fn contents(host: &dyn Host) -> (Contents, usize) {
    let recorder = Recorder::new(host);
    let _ = super::machine(&recorder);
    // So that `doctor` can judge the machine elsewhere; a recorder reads no file twice.
    let _ = super::condition(&recorder, &mut || {});
    let recorder = recorder.without_registers();
    let _ = super::machine(&recorder);
    let mut facts = Facts::of(host);
    let (mut contents, left_out) = cleaned(&recorder.finish(), host.model_folder(), &mut facts);
    let cpuid = match host.provenance() {
        Provenance::Live => cpuid::dump(),
        Provenance::Captured | Provenance::Simulated => host.read(CPUID).ok(),
    };
    let nvidia = Nvidia::of(host).map(|told| json(&told));
    let own = [(facts::HOST, Some(json(&facts))), (facts::NVIDIA, nvidia), (CPUID, cpuid)];
    for (path, text) in own {
        contents.files.extend(text.map(|text| (path.to_owned(), text.into_bytes())));
    }
    (contents, left_out)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("documents have string keys only") + "\n"
}

/// What may leave the machine, and how many files may not.
fn cleaned(records: &Records, models: Option<PathBuf>, facts: &mut Facts) -> (Contents, usize) {
    let mut names = Names::default();
    let places = places(records, models);
    facts.model_folder = places.iter().any(|(_, name)| name == MODELS).then(|| MODELS.into());
    let mounts = text(records, MOUNTS).unwrap_or_default();
    let mounts = mountinfo::reduce(&mounts, &places, &mut names);
    let numbers = numbers(records);
    let mut contents = Contents::default();
    let mut left_out = 0;
    for (path, found) in &records.files {
        let name = renamed(path, &mounts.groups, &mut names);
        match found {
            Ok(_) if !clean::allowed(path) => left_out += 1,
            Ok(bytes) => {
                let bytes = match places.iter().find(|(place, _)| is_backing(path, bytes, place)) {
                    Some((_, name)) => format!("{name}\n").into_bytes(),
                    None if path == MOUNTS => mounts.text.clone().into_bytes(),
                    None if path.ends_with("/pci.ids") => {
                        clean::registry(&String::from_utf8_lossy(bytes), &numbers).into_bytes()
                    }
                    None => clean::file(path, bytes, &mut names),
                };
                contents.files.insert(name, bytes);
            }
            Err(Unread::Denied(_)) => facts.denied.push(name),
            Err(_) => {}
        }
    }
    folders(&records.folders, &mut contents);
    (contents, left_out)
}

/// Paths whose mounts matter, and what they are called in a capture.
fn places(records: &Records, models: Option<PathBuf>) -> Vec<(String, String)> {
    let models = models.and_then(|folder| folder.into_os_string().into_string().ok());
    let mut places: Vec<_> = models.into_iter().map(|folder| (folder, MODELS.to_owned())).collect();
    let backing = records.files.iter().filter(|(path, _)| path.ends_with(BACKING));
    for (_, found) in backing {
        let Ok(bytes) = found else { continue };
        let file = String::from_utf8_lossy(bytes).trim().to_owned();
        let name = format!("/disk{}", places.len() + 1);
        places.push((file, name));
    }
    places
}

/// The file that a disk is.
const BACKING: &str = "/loop/backing_file";

fn is_backing(path: &str, bytes: &[u8], place: &str) -> bool {
    path.ends_with(BACKING) && String::from_utf8_lossy(bytes).trim() == place
}

fn text(records: &Records, path: &str) -> Option<String> {
    let bytes = records.files.get(path)?.as_ref().ok()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// Numbers of devices and of their makers, without the `0x`.
fn numbers(records: &Records) -> Vec<String> {
    let texts = records.files.values().flatten();
    let texts = texts.filter_map(|bytes| std::str::from_utf8(bytes).ok());
    let numbers = texts.filter_map(|text| text.trim().strip_prefix("0x"));
    numbers.filter(|number| number.len() == 4).map(str::to_owned).collect()
}

/// A path below the folders of groups, with the names that the groups have in the capture.
fn renamed(path: &str, groups: &[Groups], names: &mut Names) -> String {
    let below =
        |group: &&Groups| path.strip_prefix(&group.point).is_some_and(|rest| rest.starts_with('/'));
    let Some(mount) = groups.iter().filter(below).max_by_key(|group| group.point.len()) else {
        return path.to_owned();
    };
    let rest = &path[mount.point.len()..];
    match rest.rsplit_once('/') {
        Some((folder, file)) => format!("{}{}/{file}", mount.name, names.groups(folder)),
        None => path.to_owned(),
    }
}

/// Folders as they were listed: what was not read in them is an empty folder.
fn folders(listed: &BTreeMap<String, Vec<String>>, contents: &mut Contents) {
    contents.folders.insert("/proc".to_owned());
    for (folder, names) in listed {
        for name in names {
            let path = format!("{folder}/{name}");
            if clean::allowed(&path) && !contents.files.contains_key(&path) {
                contents.folders.insert(path);
            }
        }
    }
}
