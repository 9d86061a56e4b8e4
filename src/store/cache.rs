//! Results of earlier sweeps, by what they depend on.

use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use autotune_engine::api::{Identity, Setting, Work};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::document::{read_document, write_document};
use crate::model::Trial;

/// Version of a cached result.
const SCHEMA: &str = "autotune.cached-trial/1";
/// Most results kept; the oldest quarter goes when it is reached.
const ENTRY_LIMIT: usize = 4096;
/// Most bytes kept, counted the same way.
const BYTE_LIMIT: u64 = 256 << 20;

/// Everything a result depends on, as one digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(String);

impl CacheKey {
    /// The key of this work under this setting; equal only where all five are.
    #[must_use]
    pub fn new(
        machine_fingerprint: &str,
        engine: &Identity,
        model_digest: &str,
        setting: &Setting,
        work: &Work,
    ) -> Self {
        // A tuple of structs: serde writes fields in the order of their declaration.
        Self::of(&(SCHEMA, machine_fingerprint, engine, model_digest, setting, work))
    }

    /// The key of whatever these parts tell apart. The order of fields counts.
    #[must_use]
    pub fn of(parts: &impl Serialize) -> Self {
        let json = serde_json::to_vec(parts).expect("settings have string keys only");
        Self(blake3::hash(&json).to_hex().to_string())
    }
}

/// A folder with one file per result. What cannot be read is not there.
#[derive(Debug)]
pub struct ResultCache<T = Trial> {
    schema: &'static str,
    folder: PathBuf,
    entries: usize,
    bytes: u64,
    hits: u32,
    misses: u32,
    kind: PhantomData<T>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry<T> {
    schema: String,
    key: String,
    #[serde(rename = "trial")]
    value: T,
}

impl ResultCache {
    /// Opens the cache of trials in a folder, which is made if need be.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::of_kind(folder, SCHEMA)
    }
}

impl<T: Clone + Serialize + DeserializeOwned> ResultCache<T> {
    /// Opens a cache of results of such a schema in a folder of their own, which is made if need
    /// be.
    pub fn of_kind(folder: &Path, schema: &'static str) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::write(folder))?;
        let files = files(folder)?;
        Ok(Self {
            schema,
            folder: folder.to_owned(),
            entries: files.len(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            hits: 0,
            misses: 0,
            kind: PhantomData,
        })
    }

    /// What is stored under a key. A corrupt one counts as a miss and is replaced by the next
    /// [`Self::put`].
    pub fn get(&mut self, key: &CacheKey) -> Option<T> {
        let entry = read_document::<Entry<T>>(&self.path(key), self.schema).ok();
        let value = entry.filter(|entry| entry.key == key.0).map(|entry| entry.value);
        match value {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        value
    }

    /// Stores a result under a key. The oldest ones go when there are too many.
    pub fn put(&mut self, key: &CacheKey, value: &T) -> Result<(), StoreError> {
        let (schema, key_text) = (self.schema.to_owned(), key.0.clone());
        let entry = Entry { schema, key: key_text, value: value.clone() };
        let path = self.path(key);
        let size = || fs::metadata(&path).map(|file| file.len());
        let replaced = size().ok();
        write_document(&path, &entry)?;
        self.entries += usize::from(replaced.is_none());
        self.bytes = (self.bytes + size().unwrap_or(0)).saturating_sub(replaced.unwrap_or(0));
        if self.entries > ENTRY_LIMIT || self.bytes > BYTE_LIMIT {
            self.shrink(ENTRY_LIMIT / 4 * 3, BYTE_LIMIT / 4 * 3)?;
        }
        Ok(())
    }

    /// Removes every result, and tells how many there were. Other files in the folder stay.
    pub fn clear(&mut self) -> Result<usize, StoreError> {
        let before = files(&self.folder)?.len();
        self.shrink(0, 0)?;
        Ok(before)
    }

    /// Questions that were answered since it was opened.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits
    }

    /// Questions that were not.
    #[must_use]
    pub fn misses(&self) -> u32 {
        self.misses
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.folder.join(format!("{}.json", key.0))
    }

    /// Removes the oldest results until no more than this is left.
    fn shrink(&mut self, entries: usize, bytes: u64) -> Result<(), StoreError> {
        let mut files = files(&self.folder)?;
        files.sort_unstable_by_key(|file| std::cmp::Reverse(file.modified));
        let (mut kept, mut kept_bytes) = (0, 0);
        for file in files {
            if kept < entries && kept_bytes + file.bytes <= bytes {
                kept += 1;
                kept_bytes += file.bytes;
            } else {
                fs::remove_file(&file.path).map_err(StoreError::write(&file.path))?;
            }
        }
        (self.entries, self.bytes) = (kept, kept_bytes);
        Ok(())
    }
}

struct CachedFile {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

/// The files of a folder that are named as this cache names them.
fn files(folder: &Path) -> Result<Vec<CachedFile>, StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::read(folder))? {
        let path = entry.map_err(StoreError::read(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        if stem.len() != 64 || !stem.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        // One that vanishes meanwhile was removed by another sweep.
        let Ok(data) = fs::metadata(&path) else { continue };
        let modified = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        files.push(CachedFile { bytes: data.len(), modified, path });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{identity, measured, setting, work};

    fn key(machine: &str) -> CacheKey {
        CacheKey::new(machine, &identity(), "digest", &setting(), &work())
    }

    #[test]
    fn a_result_is_found_again_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = ResultCache::open(&folder.path().join("deep/cache")).unwrap();
        assert_eq!(cache.get(&key("a")), None);
        cache.put(&key("a"), &measured(7)).unwrap();
        assert_eq!(cache.get(&key("a")), Some(measured(7)));
        assert_eq!(cache.get(&key("b")), None);
        assert_eq!((cache.hits(), cache.misses()), (1, 2));
        let mut again = ResultCache::open(&folder.path().join("deep/cache")).unwrap();
        assert_eq!(again.get(&key("a")), Some(measured(7)));
    }

    #[test]
    fn anything_a_result_depends_on_changes_its_key() {
        let base = key("machine");
        let mut engine = identity();
        engine.ggml_version = "2".to_owned();
        let mut other = setting();
        other.threads.poll = 0;
        let mut longer = work();
        longer.generate_tokens += 1;
        for changed in [
            key("other machine"),
            CacheKey::new("machine", &engine, "digest", &setting(), &work()),
            CacheKey::new("machine", &identity(), "other", &setting(), &work()),
            CacheKey::new("machine", &identity(), "digest", &other, &work()),
            CacheKey::new("machine", &identity(), "digest", &setting(), &longer),
        ] {
            assert_ne!(changed, base);
        }
        assert_eq!(key("machine"), base);
    }

    #[test]
    fn a_corrupt_result_is_a_miss_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = ResultCache::open(folder.path()).unwrap();
        cache.put(&key("a"), &measured(1)).unwrap();
        let path = cache.path(&key("a"));
        for contents in ["", "{}", "{\"schema\": \"autotune.cached-trial/9\"}", "\u{0}\u{0}"] {
            fs::write(&path, contents).unwrap();
            assert_eq!(cache.get(&key("a")), None, "{contents}");
        }
        // The result of another key under this name is no answer either.
        cache.put(&key("b"), &measured(1)).unwrap();
        fs::copy(cache.path(&key("b")), &path).unwrap();
        assert_eq!(cache.get(&key("a")), None);
        cache.put(&key("a"), &measured(2)).unwrap();
        assert_eq!(cache.get(&key("a")), Some(measured(2)));
    }

    #[test]
    fn clearing_takes_results_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.json"), "{}").unwrap();
        let mut cache = ResultCache::open(folder.path()).unwrap();
        for machine in ["a", "b", "c", "a"] {
            cache.put(&key(machine), &measured(1)).unwrap();
        }
        assert_eq!(cache.entries, 3);
        assert_eq!(cache.clear().unwrap(), 3);
        assert_eq!(cache.get(&key("a")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_oldest_results_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = ResultCache::open(folder.path()).unwrap();
        for (age_s, machine) in [(30, "a"), (20, "b"), (10, "c")] {
            cache.put(&key(machine), &measured(1)).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age_s);
            let file = fs::File::options().write(true).open(cache.path(&key(machine))).unwrap();
            file.set_modified(time).unwrap();
        }
        cache.shrink(2, u64::MAX).unwrap();
        assert_eq!(["a", "b", "c"].map(|m| cache.get(&key(m)).is_some()), [false, true, true]);
        let one = fs::metadata(cache.path(&key("c"))).unwrap().len();
        cache.shrink(2, one).unwrap();
        assert_eq!(["b", "c"].map(|m| cache.get(&key(m)).is_some()), [false, true]);
        assert_eq!((cache.entries, cache.bytes), (1, one));
    }
}
