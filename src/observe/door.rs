//! The door through which programs are watched: `/proc` of this machine, or texts of a test.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

/// Longest file that is read: a table of thousands of connections.
const LONGEST: u64 = 4 << 20;
/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 1 << 15;

/// What can be read of running programs. Everything may be gone between two questions.
pub trait Door {
    /// A whole text file.
    fn read(&self, path: &str) -> Result<String, Closed>;

    /// Names in a folder; none where it is gone or may not be listed.
    fn list(&self, path: &str) -> Vec<String>;

    /// Where a link leads.
    fn link(&self, path: &str) -> Option<Link>;

    /// Seconds since the door was opened.
    fn now(&self) -> f64;

    /// How numbers are written on this system.
    fn scale(&self) -> Scale;
}

/// Where a link of `/proc/PID/fd` leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// A path, or as `socket:[77]`.
    pub target: String,
    /// Whether the descriptor can be written to.
    pub writable: bool,
}

/// Why a file gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is gone, or never was.
    Gone,
    /// It may not be read by this user.
    Denied,
}

/// How numbers are written on a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Ticks of a second of processor time.
    pub ticks_per_second: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Whose numbers system calls have.
    pub calls: CallTable,
}

/// Whose numbers system calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTable {
    /// x86-64.
    X86,
    /// The common table of newer architectures, Arm of 64 bits among them.
    Common,
    /// One that is not known here.
    Foreign,
}

/// `/proc` of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    opened: Instant,
}

impl Live {
    /// Opens it now.
    #[must_use]
    pub fn open() -> Self {
        Self { opened: Instant::now() }
    }

    /// When it was opened.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }
}

impl Door for Live {
    fn read(&self, path: &str) -> Result<String, Closed> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(closed(&error)),
        }
    }

    fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().take(MOST_ENTRIES);
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn link(&self, path: &str) -> Option<Link> {
        let target = fs::read_link(path).ok()?.to_string_lossy().into_owned();
        let mode = fs::symlink_metadata(path).ok()?.permissions().mode();
        Some(Link { target, writable: mode & 0o200 != 0 })
    }

    fn now(&self) -> f64 {
        self.opened.elapsed().as_secs_f64()
    }

    fn scale(&self) -> Scale {
        Scale {
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            page_bytes: rustix::param::page_size() as u64,
            calls: if cfg!(target_arch = "x86_64") {
                CallTable::X86
            } else if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) {
                CallTable::Common
            } else {
                CallTable::Foreign
            },
        }
    }
}

fn closed(error: &io::Error) -> Closed {
    match error.kind() {
        ErrorKind::PermissionDenied => Closed::Denied,
        _ => Closed::Gone,
    }
}
