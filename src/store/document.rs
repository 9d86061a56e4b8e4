//! One versioned document in one file, there whole or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Largest document that is read: far above any real one, far below the memory of any machine.
const LIMIT_BYTES: u64 = 256 << 20;

/// The one field that every document has.
#[derive(Deserialize)]
struct Versioned {
    schema: String,
}

/// Writes a document so that its readers see the old one or the new one, even after a power cut.
pub(super) fn write_document(path: &Path, document: &impl Serialize) -> Result<(), StoreError> {
    let mut json = serde_json::to_vec_pretty(document).expect("documents have string keys only");
    json.push(b'\n');
    write_whole(path, &json)
}

/// Writes a file whole: beside its place, synced, renamed, and the folder synced after it.
pub(super) fn write_whole(path: &Path, contents: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".autotune-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any file the user makes: the system takes the umask off.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(StoreError::write(path))?;
    file.write_all(contents).map_err(StoreError::write(path))?;
    file.as_file().sync_all().map_err(StoreError::write(path))?;
    file.persist(path).map_err(|error| StoreError::write(path)(error.error))?;
    sync_folder(folder)
}

/// Makes the names in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // Windows cannot open a folder as a file, and does not need it.
    if cfg!(unix) {
        let opened = File::open(folder).and_then(|folder| folder.sync_all());
        opened.map_err(StoreError::write(folder))?;
    }
    Ok(())
}

/// Reads a document of exactly the version `schema`.
pub(super) fn read_document<T: DeserializeOwned>(
    path: &Path,
    schema: &str,
) -> Result<T, StoreError> {
    parse(&read_limited(path)?, schema, || path.display().to_string())
}

/// The bytes of a file of bounded size.
pub(super) fn read_limited(path: &Path) -> Result<Vec<u8>, StoreError> {
    let file = File::open(path).map_err(StoreError::read(path))?;
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(StoreError::read(path))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit_bytes: LIMIT_BYTES });
    }
    Ok(bytes)
}

/// Reads JSON of exactly the version `schema`, for example `autotune.plan/1`.
pub(super) fn parse<T: DeserializeOwned>(
    json: &[u8],
    schema: &str,
    place: impl Fn() -> String,
) -> Result<T, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { place: place(), reason };
    let Versioned { schema: found } =
        serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
    if found != schema {
        let newer = match (version(&found), version(schema)) {
            (Some((kind, found)), Some((known_kind, known))) => kind == known_kind && found > known,
            _ => false,
        };
        if newer {
            return Err(StoreError::Newer { place: place(), found, known: schema.to_owned() });
        }
        let found: String = found.chars().take(60).collect();
        return Err(corrupt(format!("its schema is `{}`, not `{schema}`", found.escape_debug())));
    }
    serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))
}

/// Reads as much of JSON as this version knows, whatever version it is of.
pub(super) fn parse_any_version<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

/// Kind and number of `autotune.plan/1`.
fn version(schema: &str) -> Option<(&str, u32)> {
    let (kind, number) = schema.rsplit_once('/')?;
    Some((kind, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        schema: String,
        text: String,
    }

    fn note(schema: &str) -> Note {
        Note { schema: schema.to_owned(), text: "hello".to_owned() }
    }

    #[test]
    fn a_document_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        write_document(&path, &note("autotune.note/0")).unwrap();
        write_document(&path, &note("autotune.note/1")).unwrap();
        let read: Note = read_document(&path, "autotune.note/1").unwrap();
        assert_eq!(read, note("autotune.note/1"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_document_is_named_with_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.json");
        write_document(&path, &note("autotune.note/12")).unwrap();
        let error = read_document::<Note>(&path, "autotune.note/2").unwrap_err();
        let message = error.to_string();
        assert!(message.contains("autotune.note/12") && message.contains("autotune.note/2"));
        assert!(message.contains("note.json"), "{message}");
        assert!(error.hint().unwrap().contains("version of autotune that wrote it"));
    }

    #[test]
    fn what_is_no_document_says_why() {
        for (text, words) in [
            ("", "EOF"),
            ("[1]", "invalid"),
            ("{\"text\": \"x\"}", "missing field `schema`"),
            ("{\"schema\": \"autotune.plan/1\"}", "its schema is `autotune.plan/1`"),
            ("{\"schema\": \"autotune.note/1\"}", "missing field `text`"),
        ] {
            let error = parse::<Note>(text.as_bytes(), "autotune.note/1", || "n.json".into());
            let message = error.unwrap_err().to_string();
            assert!(message.contains(words) && message.starts_with("n.json"), "{message}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let path = Path::new("/nowhere/at/all/note.json");
        let error = write_document(path, &note("autotune.note/1")).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nowhere/at/all/note.json");
        let error = read_document::<Note>(path, "autotune.note/1").unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/at/all/note.json");
    }
}
