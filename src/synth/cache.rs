//! Synthetic models by name: `synth:SHAPE:QUANT`, written once into a folder and reused.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;
use autotune_engine::llama::quantize::FileType;

use super::write::{self, Progress, Replace, Request, UNFINISHED};
use super::{Shape, SynthError, file_type};
use crate::gguf::ModelFile;

/// Rises when the same name would give another file, so that old ones are not taken for new ones.
const GENERATION: u32 = 1;
/// What a name begins with.
const PREFIX: &str = "synth:";
/// The file that whoever writes into the folder locks.
const LOCK: &str = "lock";

/// A synthetic model's name taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The model.
    pub shape: Shape,
    /// How its weights are stored.
    pub file_type: FileType,
    /// Whether it has as many layers as the real one.
    pub depth: Depth,
    /// Where its weights come from.
    pub seed: u64,
}

/// How deep a synthetic model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// As deep as the real one.
    Whole,
    /// This many layers.
    Layers(u32),
}

/// A model in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: Bytes,
}

impl Name {
    /// Takes `synth:SHAPE:QUANT[:layers=N][:seed=N]` apart.
    pub fn parse(name: &str) -> Result<Self, SynthError> {
        let wrong = |what: &str| SynthError::BadName { name: name.into(), what: what.into() };
        let rest =
            name.strip_prefix(PREFIX).ok_or_else(|| wrong("it does not begin with `synth:`"))?;
        let mut words = rest.split(':');
        let mut shape = Shape::named(words.next().unwrap_or_default())?;
        let quant = words.next().ok_or_else(|| wrong("the quantization is missing"))?;
        let file_type = file_type(quant)?;
        let (mut depth, mut seed) = (Depth::Whole, 0);
        for word in words {
            match word.split_once('=') {
                Some(("layers", count)) => {
                    let layers = count.parse().map_err(|_| wrong("`layers` takes a count"))?;
                    shape = shape.with_layers(layers)?;
                    depth = Depth::Layers(layers);
                }
                Some(("seed", number)) => {
                    seed = number.parse().map_err(|_| wrong("`seed` takes a whole number"))?;
                }
                _ => return Err(wrong(&format!("`{word}` is neither `layers=N` nor `seed=N`"))),
            }
        }
        Ok(Self { shape, file_type, depth, seed })
    }

    /// Whether a model's name asks for a synthetic model.
    #[must_use]
    pub fn is_synthetic(model: &str) -> bool {
        model.starts_with(PREFIX)
    }

    fn file(&self) -> String {
        let layers = match self.depth {
            Depth::Whole => String::new(),
            Depth::Layers(layers) => format!("-{layers}layers"),
        };
        let (shape, quant, seed) = (&self.shape.name, self.file_type.name, self.seed);
        format!("{shape}-{quant}{layers}-seed{seed}-g{GENERATION}.gguf")
    }
}

/// The file of a synthetic model by name, written into the folder unless it is there and whole.
pub fn resolve(
    name: &str,
    cache_folder: &Path,
    progress: Progress<'_>,
) -> Result<PathBuf, SynthError> {
    let name = Name::parse(name)?;
    let path = cache_folder.join(name.file());
    let _lock = lock(cache_folder)?;
    let record = record_of(&path);
    if let (Ok(known), Ok(file)) = (fs::read_to_string(&record), ModelFile::open(&path))
        && known.trim() == file.digest
    {
        return Ok(path);
    }
    let request = Request { shape: name.shape, file_type: name.file_type, seed: name.seed };
    write::write(&request, &path, Replace::Existing, progress)?;
    let digest = ModelFile::open(&path)?.digest;
    put(&record, &digest).map_err(|cause| SynthError::Write { path: record.clone(), cause })?;
    Ok(path)
}

/// Models in the cache, by name.
pub fn list(cache_folder: &Path) -> Result<Vec<Cached>, SynthError> {
    let failed = |cause| SynthError::Read { path: cache_folder.to_owned(), cause };
    let entries = match fs::read_dir(cache_folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut cached = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "gguf") {
            let bytes = Bytes(path.metadata().map_err(failed)?.len());
            cached.push(Cached { path, bytes });
        }
    }
    cached.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(cached)
}

/// Removes every model from the cache, unfinished ones too, and gives what is gone.
pub fn clear(cache_folder: &Path) -> Result<Vec<Cached>, SynthError> {
    if !cache_folder.is_dir() {
        return Ok(Vec::new());
    }
    let _lock = lock(cache_folder)?;
    let cached = list(cache_folder)?;
    let removed = |path: &Path| match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(SynthError::Write { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    };
    for model in &cached {
        removed(&model.path)?;
        removed(&record_of(&model.path))?;
    }
    remove_unfinished(cache_folder);
    Ok(cached)
}

/// Alone in the folder until the lock is dropped; makes the folder. What a killed writer left is
/// removed, since no other writer can be at work.
fn lock(folder: &Path) -> Result<File, SynthError> {
    let path = folder.join(LOCK);
    let failed = |cause| SynthError::Write { path: path.clone(), cause };
    fs::create_dir_all(folder).map_err(failed)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    remove_unfinished(folder);
    Ok(file)
}

fn remove_unfinished(folder: &Path) {
    // Leftovers cost space and nothing else, so a failure here stops nobody.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("digest")
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn resolved(name: &str, folder: &Path) -> (PathBuf, u32) {
        let mut calls = 0;
        let path = resolve(name, folder, &mut |_, _| {
            calls += 1;
            ControlFlow::Continue(())
        });
        (path.expect("it is written"), calls)
    }

    #[test]
    fn names_carry_layers_and_seed() {
        let name = Name::parse("synth:llama-3.2-1b:Q4_K_M:layers=4:seed=3").expect("a name");
        assert_eq!((name.shape.layers, name.seed), (4, 3));
        assert_eq!(name.file_type.name, "q4_k_m");
        for bad in [
            "tiny:q8_0",
            "synth:tiny",
            "synth:tiny:q9",
            "synth:x:q8_0",
            "synth:",
            "synth:tiny:q8_0:layers=0",
            "synth:tiny:q8_0:layers=-1",
            "synth:tiny:q8_0:deep",
        ] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_second_use_writes_nothing_and_a_damaged_file_is_written_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let name = "synth:tiny:q8_0:layers=1";
        let (path, calls) = resolved(name, folder.path());
        assert!(calls > 0);
        assert_eq!(resolved(name, folder.path()), (path.clone(), 0));
        let whole = fs::read(&path).expect("it is there");
        fs::write(&path, &whole[..whole.len() / 2]).expect("it is cut");
        let (path, calls) = resolved(name, folder.path());
        assert!(calls > 0);
        assert_eq!(fs::read(path).expect("it is there"), whole);
    }

    #[test]
    fn clearing_removes_models_and_leftovers() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        resolved("synth:tiny:q8_0:layers=1", folder.path());
        fs::write(folder.path().join(format!("{UNFINISHED}x.tmp")), "half").expect("written");
        assert_eq!(list(folder.path()).expect("readable").len(), 1);
        assert_eq!(clear(folder.path()).expect("cleared").len(), 1);
        let left = fs::read_dir(folder.path()).expect("a folder");
        let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(left, [LOCK]);
    }
}
