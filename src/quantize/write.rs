//! Writing a quantization: in a folder beside its place, checked, then renamed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use autotune_engine::api::{Bytes, Failure, Language};

use super::QuantizeError;
use super::plan::{Planned, Recipe, Source, as_planned};
use crate::gguf::ModelFile;
use crate::store::workshop;
use crate::synth::free_bytes;

/// How long a file may take: days, for the largest models on the slowest disks.
const DEADLINE: Duration = Duration::from_secs(7 * 86400);
/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Room that is left to others.
const SPARE_BYTES: u64 = 64 << 20;
/// Where a file says what it was made from: the source's digest, and that of the importance matrix.
const MADE_FROM: [&str; 2] = ["autotune.quantize.source", "autotune.quantize.imatrix"];

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is taken where it is what would be written, and is an error otherwise.
    Keep,
    /// It is taken where it is what would be written, and written anew otherwise.
    Renew,
    /// It is written anew.
    Replace,
}

/// Where a file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The folder, which is made.
    pub folder: PathBuf,
    /// The name without `.gguf`.
    pub stem: String,
    /// What becomes of one that is there.
    pub existing: Existing,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file, the first of a split one.
    pub path: PathBuf,
    /// Bytes of all its parts.
    pub file_bytes: Bytes,
    /// What tells the file from others, looked up fast.
    pub digest: String,
    /// Whether it was there already.
    pub kept: bool,
    /// What llama.cpp warned of.
    pub warnings: Vec<String>,
}

/// Writes a file as planned. Under its final name it is complete or absent.
pub fn write(
    language: &mut (dyn Language + Send),
    source: &Source,
    recipe: &Recipe,
    planned: &Planned,
    placed: &Placed,
    progress: &(dyn Fn(Bytes) + Sync),
) -> Result<Written, QuantizeError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| QuantizeError::Write { path, cause }
    };
    let parts = if recipe.keep_split { source.file.headers.len() } else { 1 };
    let names = names(&placed.stem, parts);
    let first = placed.folder.join(&names[0]);
    let made_from = made_from(source, recipe)?;
    if first.symlink_metadata().is_ok() && placed.existing != Existing::Replace {
        let known = ModelFile::open(&first).ok().filter(|file| {
            as_planned(&file.headers, planned).is_ok() && is_made_from(file, &made_from)
        });
        match known {
            Some(file) => return Ok(written(file, true, Vec::new())),
            None if placed.existing == Existing::Keep => return Err(QuantizeError::Exists(first)),
            None => {}
        }
    }
    fs::create_dir_all(&placed.folder).map_err(failed(&placed.folder))?;
    let free = free_bytes(&placed.folder).map_err(|it| failed(&placed.folder)(it.into()))?;
    let needed = planned.file_bytes.0.saturating_add(SPARE_BYTES);
    if free < needed {
        return Err(QuantizeError::NoSpace {
            folder: placed.folder.clone(),
            free: Bytes(free),
            needed: Bytes(needed),
        });
    }
    let workshop = workshop(&placed.folder, "quantize").map_err(failed(&placed.folder))?;
    // llama.cpp makes the names of parts from a name without its ending.
    let target = match parts {
        1 => workshop.path().join(&names[0]),
        _ => workshop.path().join(&placed.stem),
    };
    let job = recipe.job(source, Some(target), made_from);
    let done = watched(workshop.path(), progress, || language.quantize(&job, DEADLINE));
    let done = done.map_err(|cause| QuantizeError::Engine { what: recipe.name.clone(), cause })?;
    let file = ModelFile::open(&workshop.path().join(&names[0]))?;
    as_planned(&file.headers, planned)
        .map_err(|why| QuantizeError::Unplanned { path: first.clone(), why })?;
    for name in names.iter().rev() {
        let (from, to) = (workshop.path().join(name), placed.folder.join(name));
        fs::File::open(&from).and_then(|file| file.sync_all()).map_err(failed(&from))?;
        // The first part goes last: it is what others look for.
        fs::rename(&from, &to).map_err(failed(&to))?;
    }
    Ok(written(ModelFile::open(&first)?, false, done.warnings))
}

/// Gives a file in one part its place and its name.
pub(super) fn moved(written: Written, placed: &Placed) -> Result<Written, QuantizeError> {
    let path = placed.folder.join(&names(&placed.stem, 1)[0]);
    let failed = |cause| QuantizeError::Write { path: path.clone(), cause };
    fs::create_dir_all(&placed.folder).map_err(failed)?;
    fs::rename(&written.path, &path).map_err(failed)?;
    Ok(Written { path, ..written })
}

fn written(file: ModelFile, kept: bool, warnings: Vec<String>) -> Written {
    let file_bytes = Bytes(file.bytes);
    Written { path: file.path, file_bytes, digest: file.digest, kept, warnings }
}

/// What a file is made from, as its metadata say it.
fn made_from(source: &Source, recipe: &Recipe) -> Result<Vec<(String, String)>, QuantizeError> {
    let importance = recipe.importance.as_ref().map(|path| -> Result<_, QuantizeError> {
        let failed = |cause| QuantizeError::Unreadable { path: path.clone(), cause };
        let mut hasher = blake3::Hasher::new();
        let read = fs::File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
        read.map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    });
    // Said in any case: a source that was made itself says what of its own.
    let importance = importance.transpose()?.unwrap_or_else(|| "none".to_owned());
    let digests = [source.file.digest.clone(), importance];
    Ok(MADE_FROM.iter().zip(digests).map(|(key, digest)| ((*key).to_owned(), digest)).collect())
}

/// Whether a file says that it was made from just these.
fn is_made_from(file: &ModelFile, wanted: &[(String, String)]) -> bool {
    let header = file.headers.first();
    let said = MADE_FROM.iter().filter_map(|key| Some((*key, header?.text(key)?)));
    said.eq(wanted.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// The names of all parts.
fn names(stem: &str, parts: usize) -> Vec<String> {
    match parts {
        1 => vec![format!("{stem}.gguf")],
        _ => (1..=parts).map(|part| format!("{stem}-{part:05}-of-{parts:05}.gguf")).collect(),
    }
}

/// Does the work while another thread tells how much of it lies in the folder.
fn watched<T>(
    folder: &Path,
    progress: &(dyn Fn(Bytes) + Sync),
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (done, wait) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while wait.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                progress(Bytes(size_of_files(folder)));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn size_of_files(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_as_llama_cpp_names_them() {
        assert_eq!(names("m-q8_0", 1), ["m-q8_0.gguf"]);
        assert_eq!(names("m", 2), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
    }
}
