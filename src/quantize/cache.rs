//! The quantizations that sweeps made for themselves: a folder for each source, by its digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;

use super::QuantizeError;
use crate::synth::Cached;

/// Where the files made from a source lie within the folder of all of them.
#[must_use]
pub fn folder_of(all: &Path, digest: &str) -> PathBuf {
    all.join(digest)
}

/// The files of every source, by name.
pub fn list(all: &Path) -> Result<Vec<Cached>, QuantizeError> {
    let mut cached = Vec::new();
    for source in entries(all)?.into_iter().filter(|path| path.is_dir()) {
        for path in entries(&source)? {
            if path.extension().is_some_and(|extension| extension == "gguf") {
                let length = path.metadata().map(|about| about.len());
                let bytes = Bytes(length.map_err(unreadable(&path))?);
                cached.push(Cached { path, bytes });
            }
        }
    }
    cached.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(cached)
}

/// Removes all of them, unfinished ones too, and gives what is gone.
pub fn clear(all: &Path) -> Result<Vec<Cached>, QuantizeError> {
    let cached = list(all)?;
    // The folder itself may be a link to a larger disk.
    for source in entries(all)? {
        let gone = if source.is_dir() && !source.is_symlink() {
            fs::remove_dir_all(&source)
        } else {
            fs::remove_file(&source)
        };
        match gone {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(QuantizeError::Write { path: source, cause });
            }
            _ => {}
        }
    }
    Ok(cached)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, QuantizeError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable(folder))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(unreadable(folder))
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> QuantizeError {
    move |cause| QuantizeError::Unreadable { path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_listed_and_goes() {
        let cache = tempfile::tempdir().unwrap();
        let all = cache.path().join("quantized");
        assert_eq!(list(&all).unwrap(), []);
        assert_eq!(clear(&all).unwrap(), []);
        for (digest, name) in [("b", "m-q4_0.gguf"), ("a", "m-q8_0.gguf"), ("a", "notes.txt")] {
            let folder = folder_of(&all, digest);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), name).unwrap();
        }
        let listed = list(&all).unwrap();
        let names: Vec<_> =
            listed.iter().map(|it| it.path.strip_prefix(&all).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new("a/m-q8_0.gguf"), Path::new("b/m-q4_0.gguf")]);
        assert_eq!(listed[0].bytes, Bytes(11));
        assert_eq!(clear(&all).unwrap(), listed);
        assert_eq!(fs::read_dir(&all).unwrap().count(), 0);
        assert_eq!(list(&all).unwrap(), []);
    }
}
