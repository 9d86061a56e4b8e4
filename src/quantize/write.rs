//! Writing a quantization: in a folder beside its place, checked, then renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use autotune_engine::api::{Bytes, Failure, Language};

use super::plan::{Planned, Recipe, Source, as_planned};
use super::{Contents, QuantizeError, contents};
use crate::gguf::ModelFile;
use crate::synth::free_bytes;

/// How long a file may take: days, for the largest models on the slowest disks.
const DEADLINE: Duration = Duration::from_secs(7 * 86400);
/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Room that is left to others.
const SPARE_BYTES: u64 = 64 << 20;
/// Prefix of folders with files that are not finished; the number of the process follows.
const UNFINISHED: &str = ".autotune-quantize-";

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is taken where it is of the same types, and is an error otherwise.
    Keep,
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
    /// What tells its weights from others.
    pub contents: Contents,
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
    if first.symlink_metadata().is_ok() && placed.existing == Existing::Keep {
        let file = ModelFile::open(&first)?;
        as_planned(&file.headers, planned).map_err(|_| QuantizeError::Exists(first.clone()))?;
        if !same_making(&file, source, recipe) {
            return Err(QuantizeError::Exists(first));
        }
        return written(file, true, Vec::new());
    }
    fs::create_dir_all(&placed.folder).map_err(failed(&placed.folder))?;
    sweep_up(&placed.folder);
    let free = free_bytes(&placed.folder).map_err(|it| failed(&placed.folder)(it.into()))?;
    let needed = planned.file_bytes.0.saturating_add(SPARE_BYTES);
    if free < needed {
        return Err(QuantizeError::NoSpace {
            folder: placed.folder.clone(),
            free: Bytes(free),
            needed: Bytes(needed),
        });
    }
    let prefix = format!("{UNFINISHED}{}-", std::process::id());
    let workshop = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&placed.folder)
        .map_err(failed(&placed.folder))?;
    // llama.cpp makes the names of parts from a name without its ending.
    let target = match parts {
        1 => workshop.path().join(&names[0]),
        _ => workshop.path().join(&placed.stem),
    };
    let job = recipe.job(source, Some(target));
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
    written(ModelFile::open(&first)?, false, done.warnings)
}

fn written(file: ModelFile, kept: bool, warnings: Vec<String>) -> Result<Written, QuantizeError> {
    let contents = contents(&file)?;
    let file_bytes = Bytes(file.bytes);
    Ok(Written { path: file.path, file_bytes, contents, digest: file.digest, kept, warnings })
}

/// Whether a file was made with the same importance matrix, and not before its source.
fn same_making(file: &ModelFile, source: &Source, recipe: &Recipe) -> bool {
    let written = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let known = file.headers.first().and_then(|header| header.text("quantize.imatrix.file"));
    let wanted = recipe.importance.as_ref().map(|path| matrix_name(path));
    known.map(str::to_owned) == wanted && written(&file.path) >= written(&source.path)
}

/// What stands in a file for the matrix that it was made with: the end of its absolute path, as
/// much as llama.cpp's metadata hold.
fn matrix_name(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    autotune_engine::api::QuantizeJob::importance_name(&path)
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

/// Removes what processes left that were killed.
fn sweep_up(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(UNFINISHED)) else {
            continue;
        };
        let process = rest.split('-').next().and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !alive(process)) {
            let _: io::Result<()> = fs::remove_dir_all(entry.path());
        }
    }
}

fn alive(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_as_llama_cpp_names_them() {
        assert_eq!(names("m-q8_0", 1), ["m-q8_0.gguf"]);
        assert_eq!(names("m", 2), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_a_living_one_has_stays() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(format!("{UNFINISHED}{}-a", std::process::id()));
        // Above the largest process number that Linux gives.
        let dead = folder.path().join(format!("{UNFINISHED}4194999-b"));
        let other = folder.path().join("models");
        for path in [&own, &dead, &other] {
            fs::create_dir(path).unwrap();
        }
        sweep_up(folder.path());
        assert_eq!([&own, &dead, &other].map(|path| path.exists()), [true, false, true]);
    }
}
