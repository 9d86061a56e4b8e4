//! Reading an archive that anybody may have made.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};
use tempfile::TempDir;

/// Most bytes that an archive unpacks to, headers included.
const MOST_BYTES: u64 = 256 << 20;
/// Most files, folders and links in it.
const MOST_ENTRIES: usize = 200_000;
/// Deepest folder.
const DEEPEST: usize = 64;
/// Largest window of the compression, as a power of two: memory that reading takes.
const WINDOW: u32 = 27;

/// Unpacks into a folder that goes with the value.
pub(crate) fn unpack(path: &Path) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("autotune-machine-").tempdir()?;
    let mut decoder = zstd::Decoder::new(File::open(path)?)?;
    decoder.window_log_max(WINDOW)?;
    let mut archive = Archive::new(Bounded { inner: decoder, left: MOST_BYTES });
    let mut made = 0;
    for entry in archive.entries()? {
        made += place(&mut entry?, folder.path())?;
        if made > MOST_ENTRIES {
            return Err(invalid(format!("it has more than {MOST_ENTRIES} entries")));
        }
    }
    Ok(folder)
}

/// Returns how many things it made.
fn place(entry: &mut Entry<'_, impl Read>, root: &Path) -> io::Result<usize> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(1);
    }
    let name = entry.path()?.into_owned();
    let inside = inside(&name)?;
    let place = root.join(&inside);
    if inside.as_os_str().is_empty() {
        return if kind == EntryType::Directory {
            Ok(1)
        } else {
            Err(strange(&name, "has no name"))
        };
    }
    let above = through_folders(root, &inside, &name)?;
    let made = match kind {
        EntryType::Directory => match fs::create_dir(&place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_folder(&place) => Ok(()),
            made => made,
        },
        EntryType::Regular | EntryType::Continuous => {
            let mut file = File::create_new(&place)?;
            io::copy(entry, &mut file).map(drop)
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or_else(|| strange(&name, "links to nothing"))?;
            link(&target, &place)
        }
        EntryType::Link => Err(strange(&name, "is a hard link")),
        _ => Err(strange(&name, "is neither file, folder nor link")),
    };
    made.map(|()| above + 1)
}

/// The path below the root.
fn inside(name: &Path) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            _ => return Err(strange(name, "leads out of the archive")),
        }
    }
    if inside.components().count() > DEEPEST {
        return Err(strange(name, "is too deep"));
    }
    Ok(inside)
}

/// Makes the folders above an entry. None of them may be a link: what lies behind it need not be
/// in the archive.
fn through_folders(root: &Path, inside: &Path, name: &Path) -> io::Result<usize> {
    let mut made = 0;
    let mut folder = root.to_owned();
    for part in inside.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(strange(name, "lies in something that is no folder")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir(&folder)?;
                made += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Nothing here follows links but the reader of the tree, to which every link leads inside.
#[cfg(unix)]
fn link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn link(_target: &Path, place: &Path) -> io::Result<()> {
    Err(strange(place, "is a link, which this system does not have"))
}

fn strange(name: &Path, what: &str) -> io::Error {
    let name: String = name.to_string_lossy().chars().take(80).collect();
    invalid(format!("`{}` {what}", name.escape_debug()))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// A reader that fails, and does not merely end, where there is too much.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| invalid(format!("it unpacks to more than {} MiB", MOST_BYTES >> 20)))?;
        Ok(count)
    }
}
