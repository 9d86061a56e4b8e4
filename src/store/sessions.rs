//! The gate's history: one file of JSON lines per machine, only ever longer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::document::{parse, read_document, read_limited, sync_folder, write_document};
use crate::model::{GateNoise, StoredSession};
use serde::{Deserialize, Serialize};

/// Most bytes of one history: a session of ten cells is about 2 kB.
const LIMIT_BYTES: u64 = 128 << 20;

/// A folder of histories.
#[derive(Debug, Clone)]
pub struct SessionStore {
    folder: PathBuf,
}

/// What a history holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Oldest first.
    pub sessions: Vec<StoredSession>,
    /// What could not be read and was left where it is, one sentence each.
    pub notes: Vec<String>,
}

/// The noise of a machine, as it was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearnedNoise {
    /// [`LearnedNoise::SCHEMA`].
    pub schema: String,
    /// When, RFC 3339 in UTC.
    pub learned_at: String,
    /// Per cell.
    pub cells: Vec<GateNoise>,
}

impl LearnedNoise {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.gate-noise/1";
}

impl SessionStore {
    /// The histories in a folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The file that holds a machine's sessions.
    #[must_use]
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.jsonl"))
    }

    /// Adds a session. Two programs may do so at once; once this returns, it survives a power
    /// cut. A last line that was cut is ended first, so that it spoils no other.
    pub fn append(&self, session: &StoredSession) -> Result<(), StoreError> {
        let path = self.path(&session.machine.key);
        let write = || StoreError::write(&path);
        fs::create_dir_all(&self.folder).map_err(StoreError::write(&self.folder))?;
        let mut line = serde_json::to_vec(session).expect("sessions have string keys only");
        line.push(b'\n');
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = file.map_err(write())?;
        // Held until the file is closed.
        file.lock().map_err(write())?;
        let length = file.seek(SeekFrom::End(0)).map_err(write())?;
        if length + line.len() as u64 > LIMIT_BYTES {
            return Err(StoreError::TooLarge { path, limit_bytes: LIMIT_BYTES });
        }
        if !ends_whole(&mut file, length).map_err(write())? {
            line.insert(0, b'\n');
        }
        if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // What a full disk let through goes again.
            let _ = file.set_len(length);
            return Err(write()(error));
        }
        sync_folder(&self.folder)
    }

    /// The sessions of a machine; none where it has no history.
    pub fn read(&self, key: &str) -> Result<History, StoreError> {
        let path = self.path(key);
        if path.exists() { read_history(&path) } else { Ok(History::default()) }
    }

    /// Keys of all machines that have a history.
    pub fn keys(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::read(&self.folder)(error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(StoreError::read(&self.folder))?.file_name();
            keys.extend(name.to_str().and_then(|it| it.strip_suffix(".jsonl")).map(str::to_owned));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Keeps what was learned of a machine's noise.
    pub fn write_noise(&self, key: &str, noise: &LearnedNoise) -> Result<PathBuf, StoreError> {
        fs::create_dir_all(&self.folder).map_err(StoreError::write(&self.folder))?;
        let path = self.noise_path(key);
        write_document(&path, noise)?;
        Ok(path)
    }

    /// What was learned of a machine's noise; `None` where nothing was.
    pub fn read_noise(&self, key: &str) -> Result<Option<LearnedNoise>, StoreError> {
        let path = self.noise_path(key);
        path.exists().then(|| read_document(&path, LearnedNoise::SCHEMA)).transpose()
    }

    fn noise_path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.noise.json"))
    }
}

/// Whether the last byte of a file ends a line.
fn ends_whole(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    io::Read::read_exact(file, &mut last)?;
    Ok(last == *b"\n")
}

/// The sessions in a file, whatever its name. A line that was cut is left out and told, wherever
/// it is: a later job has written after it. Anything else that is no session is an error.
pub fn read_history(path: &Path) -> Result<History, StoreError> {
    let bytes = read_limited(path)?;
    let mut history = History::default();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let place = || format!("{} line {}", path.display(), at + 1);
        match parse::<StoredSession>(line, StoredSession::SCHEMA, place) {
            Ok(session) => history.sessions.push(session),
            Err(error) if is_cut(line) => {
                drop(error);
                history.notes.push(format!("{} was cut and is left out", place()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(history)
}

/// Whether a line is the beginning of a document and no more: JSON that ends too early.
fn is_cut(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::model::GateMachine;

    fn session(at: &str) -> StoredSession {
        StoredSession {
            schema: StoredSession::SCHEMA.to_owned(),
            tool_version: "0".to_owned(),
            recorded_at: at.to_owned(),
            commit: None,
            tag: None,
            epoch: None,
            machine: GateMachine { key: "k".to_owned(), ..GateMachine::default() },
            suite_digest: "s".to_owned(),
            engine: None,
            synthetic: false,
            answers: std::collections::BTreeMap::new(),
            cells: Vec::new(),
            elapsed_ms: 1,
        }
    }

    #[test]
    fn jobs_that_record_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(&folder.path().join("deep"));
        assert_eq!(store.read("k").unwrap(), History::default());
        thread::scope(|scope| {
            for job in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..25 {
                        store.append(&session(&format!("{job}-{number}"))).unwrap();
                    }
                });
            }
        });
        let history = store.read("k").unwrap();
        assert_eq!((history.sessions.len(), history.notes.len()), (100, 0));
        assert_eq!(store.keys().unwrap(), ["k"]);
    }

    #[test]
    fn a_line_that_was_cut_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(folder.path());
        store.append(&session("a")).unwrap();
        let path = store.path("k");
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() - 1 {
            let torn = [&whole[..], &whole[..cut]].concat();
            fs::write(&path, torn).unwrap();
            store.append(&session("b")).unwrap();
            let history = store.read("k").unwrap();
            let names: Vec<&str> =
                history.sessions.iter().map(|it| it.recorded_at.as_str()).collect();
            assert_eq!(names, ["a", "b"], "{cut}");
            assert!(history.notes[0].contains("line 2"), "{:?}", history.notes);
        }
    }

    #[test]
    fn what_is_no_session_is_an_error_and_not_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.jsonl");
        for text in ["\u{0}\u{0}\u{0}\n", "nonsense\n", "{\"schema\": \"other/1\"}\n", "[1, 2]\n"] {
            fs::write(&path, text).unwrap();
            let message = read_history(&path).unwrap_err().to_string();
            assert!(message.contains("line 1"), "{message}");
        }
    }

    #[test]
    fn noise_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = SessionStore::new(folder.path());
        assert_eq!(store.read_noise("k").unwrap(), None);
        let noise = LearnedNoise {
            schema: LearnedNoise::SCHEMA.to_owned(),
            learned_at: "2026-01-02T03:04:05Z".to_owned(),
            cells: Vec::new(),
        };
        store.write_noise("k", &noise).unwrap();
        assert_eq!(store.read_noise("k").unwrap(), Some(noise));
        assert_eq!(store.keys().unwrap(), [""; 0]);
    }
}
