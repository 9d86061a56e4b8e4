//! The run directory: everything a sweep leaves, and everything it needs to go on.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::document::{read_document, sync_folder, write_document, write_whole};
use super::journal::{Contents, Journal, TornLine};
use super::profile::{PROFILE, read_profile};
use super::{StoreError, trials_csv};
use crate::model::{Cases, Findings, Machine, Plan, Profile, Trial};

pub(super) const MACHINE: &str = "machine.json";
pub(super) const PLAN: &str = "plan.json";
pub(super) const TRIALS: &str = "trials.jsonl";
const TABLE: &str = "trials.csv";
pub(super) const FINDINGS: &str = "findings.json";
const CASES: &str = "cases.json";

/// The machine document's version, fixed by the contract.
pub(super) const MACHINE_SCHEMA: &str = "autotune.machine/1";

/// Characters of a model's name that a folder's name takes.
const NAME_LENGTH: usize = 48;

/// A run directory that is open for writing. No other sweep can open it meanwhile.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    journal: Journal,
}

/// What is in a run directory.
#[derive(Debug)]
pub struct StoredRun {
    /// The machine it ran on.
    pub machine: Machine,
    /// What it set out to do.
    pub plan: Plan,
    /// Every finished trial, in order.
    pub trials: Vec<Trial>,
    /// What was found, where the sweep came so far and it can be read.
    pub findings: Option<Findings>,
    /// The profile of the recommended setting, where one was made that can be read.
    pub profile: Option<Profile>,
    /// What is left of a line that was being written when the program died; its trial did not
    /// finish.
    pub torn: Option<TornLine>,
}

impl RunDirectory {
    /// Makes a run directory. The folder may exist, but must be empty.
    pub fn create(path: &Path, machine: &Machine, plan: &Plan) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::write(path))?;
        let mut entries = fs::read_dir(path).map_err(StoreError::read(path))?;
        if entries.next().is_some() {
            return Err(StoreError::NotEmpty { path: path.to_owned() });
        }
        // The journal first: of two sweeps that see the same empty folder, one makes it.
        let journal = Journal::create(&path.join(TRIALS)).map_err(|error| match error {
            StoreError::Write { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                StoreError::NotEmpty { path: path.to_owned() }
            }
            other => other,
        })?;
        let documents = write_document(&path.join(MACHINE), machine)
            .and_then(|()| write_document(&path.join(PLAN), plan));
        if let Err(error) = documents {
            // Half a run directory could neither be resumed nor made again.
            for file in [PLAN, MACHINE, TRIALS] {
                let _ = fs::remove_file(path.join(file));
            }
            return Err(error);
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(Self { path: path.to_owned(), journal })
    }

    /// Opens a run directory to continue it: what is there, after a torn last line of the journal
    /// was put aside.
    pub fn open(path: &Path) -> Result<(Self, StoredRun), StoreError> {
        require_files(path)?;
        let (journal, trials, torn) = Journal::open(&path.join(TRIALS))?;
        let run = StoredRun::with(path, trials, torn)?;
        Ok((Self { path: path.to_owned(), journal }, run))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a trial to the journal; once this returns it survives a power cut. Where it fails the
    /// journal is as it was before.
    pub fn append(&mut self, trial: &Trial) -> Result<(), StoreError> {
        self.journal.append(trial)
    }

    /// Writes `findings.json`.
    pub fn write_findings(&self, findings: &Findings) -> Result<(), StoreError> {
        write_document(&self.path.join(FINDINGS), findings)
    }

    /// Writes `cases.json`.
    pub fn write_cases(&self, cases: &Cases) -> Result<(), StoreError> {
        write_document(&self.path.join(CASES), cases)
    }

    /// Writes `trials.csv`.
    pub fn write_table(&self, trials: &[Trial]) -> Result<(), StoreError> {
        write_whole(&self.path.join(TABLE), trials_csv(trials).as_bytes())
    }

    /// Writes a file that people read, for example `report.md` or `plots/threads.svg`; the folders
    /// on its way are made.
    ///
    /// # Panics
    /// If `name` leads out of the run directory.
    pub fn write_file(&self, name: &str, contents: &str) -> Result<(), StoreError> {
        write_file(&self.path, name, contents)
    }
}

/// The same into a run directory that nobody holds open.
///
/// # Panics
/// If `name` leads out of the run directory.
pub fn write_file(run: &Path, name: &str, contents: &str) -> Result<(), StoreError> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    assert!(Path::new(name).components().all(inside), "`{name}` leads out of the run directory");
    let path = run.join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(StoreError::write(folder))?;
    }
    write_whole(&path, contents.as_bytes())
}

impl StoredRun {
    /// Reads a run directory without changing it, even while a sweep writes it.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        require_files(path)?;
        let contents = Contents::read(&path.join(TRIALS))?;
        let torn = contents.torn_line();
        Self::with(path, contents.trials, torn)
    }

    fn with(path: &Path, trials: Vec<Trial>, torn: Option<TornLine>) -> Result<Self, StoreError> {
        Ok(Self {
            machine: read_document(&path.join(MACHINE), MACHINE_SCHEMA)?,
            plan: read_document(&path.join(PLAN), Plan::SCHEMA)?,
            trials,
            // They are judged anew from the trials.
            findings: read_document(&path.join(FINDINGS), Findings::SCHEMA).ok(),
            // A profile is worth less than the run that it stands beside.
            profile: read_profile(&path.join(PROFILE)).ok(),
            torn,
        })
    }
}

/// The folder that a run gets unless the user names one:
/// `autotune-runs/<date>-<model>-<id>`, where the id tells runs of one day apart.
#[must_use]
pub fn default_folder(plan: &Plan) -> PathBuf {
    let date: String = plan.created_at.chars().take_while(|letter| *letter != 'T').collect();
    let stem = plan.model.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = plan.model.name.clone().filter(|name| !name.trim().is_empty());
    let name = plain(&name.or(stem).unwrap_or_default());
    let json = serde_json::to_vec(plan).expect("documents have string keys only");
    let id = blake3::hash(&json).to_hex();
    Path::new("autotune-runs").join(format!("{}-{name}-{}", plain(&date), &id[..6]))
}

/// Letters, digits and dots as they are, anything else as single hyphens; never empty, never
/// hidden.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || (letter == '.' && !plain.is_empty()) {
            plain.push(letter.to_ascii_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
        if plain.len() >= NAME_LENGTH {
            break;
        }
    }
    let plain = plain.trim_end_matches(['-', '.']);
    if plain.is_empty() { "model".to_owned() } else { plain.to_owned() }
}

/// Tells a folder that is no run from one that is.
fn require_files(path: &Path) -> Result<(), StoreError> {
    fs::read_dir(path).map_err(StoreError::read(path))?;
    match [TRIALS, MACHINE, PLAN].into_iter().find(|name| !path.join(name).exists()) {
        Some(missing) => Err(StoreError::NotARun { path: path.to_owned(), missing }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{crashed, machine, measured, plan};

    fn message(result: Result<impl Sized, StoreError>) -> (String, String) {
        let error = result.err().expect("this must fail");
        (error.to_string(), error.hint().unwrap_or_default())
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/one");
        let mut run = RunDirectory::create(&path, &machine(), &plan()).unwrap();
        run.append(&measured(1)).unwrap();
        run.append(&crashed(2)).unwrap();
        run.write_table(&[measured(1)]).unwrap();
        run.write_file("plots/threads.svg", "<svg/>").unwrap();
        let stored = StoredRun::read(&path).unwrap();
        assert_eq!((stored.machine, stored.plan), (machine(), plan()));
        assert_eq!(stored.trials, [measured(1), crashed(2)]);
        assert!(stored.findings.is_none() && stored.torn.is_none());
        drop(run);
        let (mut run, stored) = RunDirectory::open(&path).unwrap();
        assert_eq!(stored.trials.len(), 2);
        run.append(&measured(3)).unwrap();
        assert_eq!(StoredRun::read(&path).unwrap().trials.len(), 3);
        assert_eq!(fs::read_to_string(path.join("plots/threads.svg")).unwrap(), "<svg/>");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        let (text, hint) = message(RunDirectory::create(folder.path(), &machine(), &plan()));
        assert!(text.ends_with("exists and is not empty"), "{text}");
        assert!(hint.contains("--out") && hint.contains("--resume"), "{hint}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_sweeps_in_one_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = RunDirectory::create(&path, &machine(), &plan()).unwrap();
        let (text, _) = message(RunDirectory::open(&path));
        assert_eq!(text, format!("another sweep is running in {}", path.display()));
        drop(run);
        assert!(RunDirectory::open(&path).is_ok());
    }

    #[test]
    fn what_is_no_run_directory_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (text, hint) = message(StoredRun::read(folder.path()));
        assert!(text.ends_with("is not a run directory: trials.jsonl is missing"), "{text}");
        assert!(hint.contains("plan.json"));
        let (text, _) = message(StoredRun::read(&folder.path().join("none")));
        assert!(text.starts_with("cannot read"), "{text}");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(message(StoredRun::read(&file)).0.starts_with("cannot read"));
        assert!(message(RunDirectory::create(&file, &machine(), &plan())).0.contains("file"));
    }

    #[test]
    fn a_newer_plan_is_named_with_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunDirectory::create(&path, &machine(), &plan()).unwrap());
        let json = fs::read_to_string(path.join(PLAN)).unwrap();
        fs::write(path.join(PLAN), json.replace("autotune.plan/1", "autotune.plan/2")).unwrap();
        for result in [StoredRun::read(&path).map(drop), RunDirectory::open(&path).map(drop)] {
            let (text, hint) = message(result);
            assert!(text.contains("autotune.plan/2") && text.contains("autotune.plan/1"), "{text}");
            assert!(hint.contains("version of autotune"), "{hint}");
        }
    }

    #[test]
    #[should_panic(expected = "leads out of the run directory")]
    fn no_file_is_written_outside_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(&folder.path().join("run"), &machine(), &plan()).unwrap();
        let _ = run.write_file("../elsewhere.md", "");
    }

    #[test]
    fn the_default_folder_tells_day_model_and_run_apart() {
        let first = default_folder(&plan());
        let text = first.to_str().unwrap();
        assert!(text.starts_with("autotune-runs/2026-01-02-tiny-model-1b-q4-"), "{text}");
        let later = Plan { created_at: "2026-01-02T03:04:06Z".to_owned(), ..plan() };
        assert_ne!(default_folder(&later), first);
        assert_eq!(default_folder(&plan()), first);
        for (name, expected) in [
            ("../../etc/passwd", "etc-passwd"),
            ("...", "model"),
            ("-rf /", "rf"),
            ("\u{1f600}", "model"),
        ] {
            assert_eq!(plain(name), expected);
        }
        assert!(plain(&"x".repeat(1000)).len() <= NAME_LENGTH);
    }
}
