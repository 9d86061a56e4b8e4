//! `trials.jsonl`: one line per trial, only ever longer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::document::{parse, read_limited, write_whole};
use crate::model::Trial;

/// A journal that is open for appending. Nobody else can open it meanwhile.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    length_bytes: u64,
    trials: u32,
    /// Whether something after `length_bytes` has to be cut off first.
    half_written: bool,
}

/// The beginning of a line whose end was never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornLine {
    /// Line in the journal, from 1.
    pub line: u32,
    /// Bytes of it that were there.
    pub bytes: usize,
    /// Where they were put, when the journal was opened for appending.
    pub saved_to: Option<PathBuf>,
}

/// What is in a journal.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) trials: Vec<Trial>,
    /// Bytes of whole lines.
    whole_bytes: usize,
    /// Whether the last trial lacks nothing but its line end.
    newline_missing: bool,
    torn: Option<Vec<u8>>,
}

impl Journal {
    /// Starts a journal where none is.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path);
        let file = file.map_err(StoreError::write(path))?;
        lock(&file, path)?;
        Ok(Self { path: path.to_owned(), file, length_bytes: 0, trials: 0, half_written: false })
    }

    /// Opens a journal for appending: its trials, and what was left of a torn last line. That is
    /// put beside the journal before it is cut off.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Trial>, Option<TornLine>), StoreError> {
        let file = OpenOptions::new().read(true).append(true).open(path);
        let mut file = file.map_err(StoreError::write(path))?;
        lock(&file, path)?;
        let contents = Contents::read(path)?;
        let mut torn = contents.torn_line();
        if let (Some(line), Some(bytes)) = (&mut torn, &contents.torn) {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".torn-{}", line.line));
            write_whole(Path::new(&name), bytes)?;
            line.saved_to = Some(name.into());
        }
        let write = || StoreError::write(path);
        let whole_bytes = contents.whole_bytes as u64;
        if contents.newline_missing {
            file.write_all(b"\n").map_err(write())?;
        } else {
            file.set_len(whole_bytes).map_err(write())?;
        }
        file.sync_all().map_err(write())?;
        let length_bytes = file.seek(SeekFrom::End(0)).map_err(write())?;
        let trials = u32::try_from(contents.trials.len()).unwrap_or(u32::MAX);
        let journal =
            Self { path: path.to_owned(), file, length_bytes, trials, half_written: false };
        Ok((journal, contents.trials, torn))
    }

    /// Adds a trial; once this returns it survives a power cut. Where it fails, the journal is as
    /// it was before.
    pub(super) fn append(&mut self, trial: &Trial) -> Result<(), StoreError> {
        assert_eq!(trial.id, self.trials + 1, "trials are numbered in the order of the journal");
        let mut line = serde_json::to_vec(trial).expect("trials have string keys only");
        line.push(b'\n');
        let write = || StoreError::write(&self.path);
        self.require_place().map_err(write())?;
        if self.half_written {
            self.file.set_len(self.length_bytes).map_err(write())?;
        }
        self.half_written = true;
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // What a full disk let through is cut off at once, else before the next line.
            self.half_written = self.file.set_len(self.length_bytes).is_err();
            return Err(write()(error));
        }
        self.half_written = false;
        self.length_bytes += line.len() as u64;
        self.trials += 1;
        Ok(())
    }

    /// Fails where the file was removed from its folder: what is written then is lost when the
    /// program ends.
    fn require_place(&self) -> io::Result<()> {
        if rustix::fs::fstat(&self.file)?.st_nlink == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed it"));
        }
        Ok(())
    }
}

impl Contents {
    /// Reads a journal without changing it.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        Self::parse(&read_limited(path)?, path)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, StoreError> {
        let whole_bytes = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (whole, tail) = bytes.split_at(whole_bytes);
        let mut contents =
            Self { trials: Vec::new(), whole_bytes, newline_missing: false, torn: None };
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let trial = contents.line(line, path)?;
            contents.trials.push(trial);
        }
        if tail.is_empty() {
            return Ok(contents);
        }
        match contents.line(tail, path) {
            Ok(trial) => {
                contents.trials.push(trial);
                contents.newline_missing = true;
            }
            Err(error @ StoreError::Newer { .. }) => return Err(error),
            Err(_) => contents.torn = Some(tail.to_vec()),
        }
        Ok(contents)
    }

    /// The trial on the next line.
    fn line(&self, line: &[u8], path: &Path) -> Result<Trial, StoreError> {
        let number = self.trials.len() + 1;
        let place = || format!("{}, line {number},", path.display());
        let trial: Trial = parse(line, Trial::SCHEMA, place)?;
        if usize::try_from(trial.id) != Ok(number) {
            let reason = format!("it holds trial {} where trial {number} should be", trial.id);
            return Err(StoreError::Corrupt { place: place(), reason });
        }
        Ok(trial)
    }

    /// What is known of a torn last line.
    pub(super) fn torn_line(&self) -> Option<TornLine> {
        let bytes = self.torn.as_ref()?.len();
        let line = u32::try_from(self.trials.len() + 1).unwrap_or(u32::MAX);
        Some(TornLine { line, bytes, saved_to: None })
    }
}

/// Keeps every other sweep out for as long as the file is open; the system lets go of it when the
/// process dies.
fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            StoreError::Busy { path: path.parent().unwrap_or(path).to_owned() }
        }
        TryLockError::Error(source) => StoreError::Write { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{crashed, measured};
    use std::fs;

    fn written(trials: &[Trial]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for trial in trials {
            journal.append(trial).unwrap();
        }
        fs::read(&path).unwrap()
    }

    /// Whole lines before a cut, and bytes after the last of them.
    fn before_cut(bytes: &[u8], cut: usize) -> (usize, usize) {
        let lines = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
        (lines, bytes[..cut].iter().rev().take_while(|byte| **byte != b'\n').count())
    }

    #[test]
    fn a_journal_cut_at_any_byte_keeps_every_finished_line() {
        let trials = [measured(1), crashed(2), measured(3)];
        let bytes = written(&trials);
        for cut in 0..=bytes.len() {
            let contents = Contents::parse(&bytes[..cut], Path::new("j")).unwrap();
            let (lines, rest) = before_cut(&bytes, cut);
            // A line that lacks nothing but its end is finished too.
            let complete = rest > 0 && bytes[cut] == b'\n';
            assert_eq!(contents.trials, trials[..lines + usize::from(complete)], "cut at {cut}");
            let torn = contents.torn.map_or(0, |torn| torn.len());
            assert_eq!(torn, if complete { 0 } else { rest }, "cut at {cut}");
        }
    }

    #[test]
    fn a_cut_journal_goes_on_as_if_nothing_had_happened() {
        let trials = [measured(1), crashed(2), measured(3)];
        let bytes = written(&trials);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        // Each of these syncs several times, so: around the line ends, and some in between.
        let near_end =
            |cut: &usize| bytes[cut.saturating_sub(2)..].iter().take(4).any(|b| *b == b'\n');
        for cut in (0..=bytes.len()).filter(|cut| cut % 211 == 0 || near_end(cut)) {
            fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, read, torn) = Journal::open(&path).unwrap();
            if let Some(torn) = torn {
                let saved = fs::read(torn.saved_to.unwrap()).unwrap();
                assert_eq!(saved, bytes[cut - torn.bytes..cut], "cut at {cut}");
            }
            for trial in &trials[read.len()..] {
                journal.append(trial).unwrap();
            }
            drop(journal);
            assert_eq!(fs::read(&path).unwrap(), bytes, "cut at {cut}");
        }
    }

    #[test]
    fn a_corrupt_line_in_the_middle_is_named_and_nothing_is_changed() {
        let mut bytes = written(&[measured(1), measured(2), measured(3)]);
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 5;
        bytes[second] = b'\x00';
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        fs::write(&path, &bytes).unwrap();
        let message = Journal::open(&path).unwrap_err().to_string();
        assert!(message.contains("trials.jsonl, line 2, is not a valid document"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_line_of_a_later_version_is_named_with_both_versions() {
        let bytes = written(&[measured(1), measured(2)]);
        let text = String::from_utf8(bytes).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        let second = second.replace("autotune.trial/1", "autotune.trial/9");
        for end in ["\n", ""] {
            let bytes = format!("{first}\n{}{end}", second.trim_end());
            let error = Contents::parse(bytes.as_bytes(), Path::new("j")).unwrap_err();
            assert_eq!(
                error.to_string(),
                "j, line 2, has version autotune.trial/9, and this version of autotune reads \
                 autotune.trial/1"
            );
        }
    }

    #[test]
    fn a_trial_in_the_wrong_place_is_an_error() {
        let bytes = written(&[measured(1), measured(2)]);
        let text = String::from_utf8(bytes).unwrap();
        let second = text.lines().nth(1).unwrap();
        let error = Contents::parse(format!("{second}\n").as_bytes(), Path::new("j")).unwrap_err();
        assert!(error.to_string().contains("it holds trial 2 where trial 1 should be"), "{error}");
    }

    #[test]
    fn two_sweeps_cannot_write_one_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        let journal = Journal::create(&path).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Busy { .. }), "{error}");
        drop(journal);
        assert!(Journal::open(&path).is_ok());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_named_with_a_hint() {
        // Everything that is written to /dev/full fails as a full disk does.
        let path = Path::new("/dev/full");
        let file = OpenOptions::new().append(true).open(path).unwrap();
        let mut journal =
            Journal { path: path.into(), file, length_bytes: 0, trials: 0, half_written: false };
        let error = journal.append(&measured(1)).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /dev/full");
        assert!(error.hint().unwrap().contains("free some space"));
        assert_eq!(journal.trials, 0);
    }
}
