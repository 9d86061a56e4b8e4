//! The door through which a machine is looked at.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use thiserror::Error;

use super::{Card, Registers, Topology};
use crate::model::{CpuList, Provenance};

/// Longest file that is read: `/proc/cpuinfo` of a thousand CPUs has two million bytes.
const LONGEST_FILE: u64 = 8 << 20;
/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 1 << 17;

/// A machine that can be looked at. Paths are absolute, as they are on that machine.
pub trait Host {
    /// A whole text file.
    fn read(&self, path: &str) -> Result<String, Unread>;

    /// A whole file that is no text.
    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        Err(Unread::Absent(path.to_owned()))
    }

    /// Names in a folder, sorted; none where it cannot be read.
    fn list(&self, path: &str) -> Vec<String>;

    /// Whose facts these are.
    fn provenance(&self) -> Provenance;

    /// The date for the document, RFC 3339 in UTC.
    fn now(&self) -> String;

    /// What the processor says of itself.
    fn registers(&self) -> Option<Registers> {
        None
    }

    /// Cores, caches and nodes as hwloc sees them.
    fn topology(&self) -> Option<Topology> {
        None
    }

    /// CPUs that a program may run on, where no file tells.
    fn threads(&self) -> Option<u32> {
        None
    }

    /// The architecture, where no file tells.
    fn architecture(&self) -> Option<String> {
        None
    }

    /// NVIDIA's cards by the driver's library. `Ok` and empty without a driver.
    fn nvidia(&self) -> Result<Vec<Card>, String> {
        Ok(Vec::new())
    }

    /// The folder in which models are kept.
    fn model_folder(&self) -> Option<PathBuf> {
        None
    }
}

/// Why a file gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unread {
    /// There is none.
    #[error("{0} does not exist")]
    Absent(String),
    /// It may not be read.
    #[error("{0} may not be read by this user")]
    Denied(String),
    /// It is too long or no text, or reading failed.
    #[error("{path} cannot be read: {why}")]
    Broken {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// It was read and makes no sense.
    #[error("{path} says `{text}`")]
    Strange {
        /// The file.
        path: String,
        /// The beginning of what it says.
        text: String,
    },
}

impl Unread {
    pub(super) fn strange(path: &str, text: &str) -> Self {
        Self::Strange { path: path.to_owned(), text: text.trim().chars().take(40).collect() }
    }
}

/// The first line of a file, trimmed; `Err` where it is empty.
pub(super) fn line(host: &dyn Host, path: &str) -> Result<String, Unread> {
    let text = host.read(path)?;
    let line = text.lines().next().unwrap_or_default().trim_matches(['\0', ' ', '\t']);
    if line.is_empty() { Err(Unread::strange(path, &text)) } else { Ok(line.to_owned()) }
}

/// A file that holds one value.
pub(super) fn value<T: FromStr>(host: &dyn Host, path: &str) -> Result<T, Unread> {
    let text = line(host, path)?;
    text.parse().map_err(|_| Unread::strange(path, &text))
}

/// A file that holds a mask of CPUs in hexadecimal words, as `ffff,00000000`, the highest first.
pub(super) fn mask(host: &dyn Host, path: &str) -> Result<CpuList, Unread> {
    let text = host.read(path)?;
    let digits: Vec<u32> = text.trim().chars().rev().filter_map(|c| c.to_digit(16)).collect();
    let plain = text.trim().chars().all(|c| c == ',' || c.is_ascii_hexdigit());
    if !plain || digits.is_empty() {
        return Err(Unread::strange(path, &text));
    }
    let bits = (0..CpuList::LIMIT)
        .zip(digits.iter().flat_map(|digit| (0..4).map(move |bit| digit & (1 << bit) != 0)));
    Ok(bits.filter(|(_, set)| *set).map(|(cpu, _)| cpu).collect())
}

/// A file that holds a list of CPUs; an empty file is an empty list.
pub(super) fn cpus(host: &dyn Host, path: &str) -> Result<CpuList, Unread> {
    let text = host.read(path)?;
    text.parse().map_err(|_| Unread::strange(path, &text))
}

/// Now, in whole seconds: the document describes a machine, not a moment.
pub(super) fn whole_second() -> String {
    let second = Timestamp::now().as_second();
    Timestamp::from_second(second).expect("now is a date").to_string()
}

/// A text file; what is no UTF-8 in it is replaced.
pub(super) fn read_text(file: &Path, path: &str) -> Result<String, Unread> {
    read_plain(file, path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A file whose length is bounded and which is a plain file, so that nothing waits for a pipe.
pub(super) fn read_plain(file: &Path, path: &str) -> Result<Vec<u8>, Unread> {
    let unread = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unread::Absent(path.to_owned()),
        ErrorKind::PermissionDenied => Unread::Denied(path.to_owned()),
        _ => Unread::Broken { path: path.to_owned(), why: error.to_string() },
    };
    let broken = |why: &str| Unread::Broken { path: path.to_owned(), why: why.to_owned() };
    if !fs::metadata(file).map_err(unread)?.is_file() {
        return Err(broken("it is no plain file"));
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(unread)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(broken("it is longer than any file of its kind"));
    }
    Ok(bytes)
}

/// Names in a folder, sorted.
pub(super) fn list_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MOST_ENTRIES);
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
