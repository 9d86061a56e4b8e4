//! What can be read of a run directory that was cut off, edited by hand, or left by a newer version.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::StoreError;
use super::document::{parse, parse_any_version, read_limited};
use super::profile::{PROFILE, read_profile};
use super::quantization::{QUANTIZATION, read_quantization};
use super::run::{FINDINGS, MACHINE, MACHINE_SCHEMA, PLAN, TRIALS};
use super::verification::{VERIFICATION, read_verification};
use crate::model::{Findings, Machine, Plan, Profile, QuantizationStudy, Trial, Verification};

/// Lines of a journal whose fault is told one by one.
const TOLD: usize = 3;

/// The sound part of a run directory.
#[derive(Debug)]
pub struct SalvagedRun {
    /// The machine it ran on, where that can be read.
    pub machine: Option<Machine>,
    /// What it set out to do: without it nothing can be judged.
    pub plan: Plan,
    /// Every trial that can be read, in the order of the journal.
    pub trials: Vec<Trial>,
    /// What was found, where the sweep came so far and it can be read.
    pub findings: Option<Findings>,
    /// The profile of the recommended setting, where one was made that can be read.
    pub profile: Option<Profile>,
    /// What the user's own llama-server showed, where it was asked and that can be read.
    pub verification: Option<Verification>,
    /// The study of quantizations that it belongs to, where there is one that can be read.
    pub quantization: Option<QuantizationStudy>,
    /// What is not sound and what became of it, one sentence each.
    pub unsound: Vec<String>,
}

impl SalvagedRun {
    /// Reads what can be read, without changing it. Only a plan that cannot be read is an error.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        fs::read_dir(path).map_err(StoreError::read(path))?;
        if !path.join(PLAN).exists() {
            return Err(StoreError::NotARun { path: path.to_owned(), missing: PLAN });
        }
        let mut unsound = Vec::new();
        let plan = document(path, PLAN, Plan::SCHEMA, &mut unsound)?;
        let machine = document(path, MACHINE, MACHINE_SCHEMA, &mut unsound);
        let machine = machine.map_err(|error| unsound.push(left_out(MACHINE, &error))).ok();
        let findings = path.join(FINDINGS).exists().then(|| {
            let found = document(path, FINDINGS, Findings::SCHEMA, &mut unsound);
            found.map_err(|error| {
                unsound.push(format!("{}; the trials are judged anew", left_out(FINDINGS, &error)));
            })
        });
        let trials = match read_limited(&path.join(TRIALS)) {
            Ok(bytes) => trials(&bytes, &mut unsound),
            Err(error) => {
                unsound.push(left_out(TRIALS, &error));
                Vec::new()
            }
        };
        let beside = |name: &str| path.join(name).exists().then(|| path.join(name));
        let profile = beside(PROFILE).map(|path| read_profile(&path));
        let verification = beside(VERIFICATION).map(|path| read_verification(&path));
        let quantization = beside(QUANTIZATION).map(|path| read_quantization(&path));
        let mut told = |name, error| unsound.push(left_out(name, &error));
        let profile = profile.and_then(|it| it.map_err(|error| told(PROFILE, error)).ok());
        let verification =
            verification.and_then(|it| it.map_err(|error| told(VERIFICATION, error)).ok());
        let quantization =
            quantization.and_then(|it| it.map_err(|error| told(QUANTIZATION, error)).ok());
        let findings = findings.and_then(Result::ok);
        Ok(Self { machine, plan, trials, findings, profile, verification, quantization, unsound })
    }
}

fn left_out(name: &str, error: &StoreError) -> String {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    format!("{name} is left out: {error}{cause}")
}

/// A document of this version, or as much of a newer one as this version knows.
fn document<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    schema: &str,
    unsound: &mut Vec<String>,
) -> Result<T, StoreError> {
    let path = folder.join(name);
    let bytes = read_limited(&path)?;
    let place = || path.display().to_string();
    match parse(&bytes, schema, place) {
        Err(StoreError::Newer { place, found, known }) => {
            let error = StoreError::Newer { place, found: found.clone(), known };
            let read = parse_any_version(&bytes).ok_or(error)?;
            unsound.push(format!(
                "{name} is `{found}`, newer than `{schema}`: what this version does not know of it \
                 is missing here"
            ));
            Ok(read)
        }
        other => other,
    }
}

/// The lines that are trials; a number that was there already is left out, because findings cite
/// trials by number.
fn trials(bytes: &[u8], unsound: &mut Vec<String>) -> Vec<Trial> {
    let (mut trials, mut seen) = (Vec::new(), BTreeSet::new());
    let (mut wrong, mut newer) = (Vec::new(), 0_usize);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let place = || format!("line {} of {TRIALS}", at + 1);
        let trial = match parse::<Trial>(line, Trial::SCHEMA, place) {
            Err(StoreError::Newer { .. }) => match parse_any_version(line) {
                Some(trial) => {
                    newer += 1;
                    Ok(trial)
                }
                None => Err("it is of a newer version".to_owned()),
            },
            // A line that lacks its end was being written when the program died.
            Err(_) if !line.ends_with(b"\n") => Err("it was never finished".to_owned()),
            Err(error) => Err(error.to_string()),
            Ok(trial) => Ok(trial),
        };
        match trial {
            Ok(trial) if seen.insert(trial.id) => trials.push(trial),
            Ok(trial) => wrong.push(format!("{}: trial {} was there before", place(), trial.id)),
            Err(reason) => wrong.push(format!("{}: {reason}", place())),
        }
    }
    let more = wrong.len().saturating_sub(TOLD);
    unsound.extend(wrong.into_iter().take(TOLD).map(|it| format!("left out, {it}")));
    if more > 0 {
        unsound.push(format!("left out, {more} more lines of {TRIALS}"));
    }
    if newer > 0 {
        unsound.push(format!(
            "{newer} lines of {TRIALS} are of a newer version: what this version does not know of \
             them is missing here"
        ));
    }
    trials
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RunDirectory;
    use crate::store::fixture::{machine, measured, plan};

    /// A run of three trials, changed by somebody.
    fn run_with(change: impl FnOnce(&Path)) -> Result<SalvagedRun, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let mut run = RunDirectory::create(&path, &machine(), &plan()).unwrap();
        (1..=3).for_each(|id| run.append(&measured(id)).unwrap());
        drop(run);
        change(&path);
        SalvagedRun::read(&path)
    }

    fn edit(path: &Path, name: &str, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(path.join(name)).unwrap();
        fs::write(path.join(name), change(text)).unwrap();
    }

    fn ids(run: &SalvagedRun) -> Vec<u32> {
        run.trials.iter().map(|trial| trial.id).collect()
    }

    #[test]
    fn a_sound_run_is_read_whole_and_nothing_is_said() {
        let run = run_with(|_| ()).unwrap();
        assert_eq!((ids(&run), run.unsound.as_slice()), (vec![1, 2, 3], &[][..]));
        assert!(run.machine.is_some());
    }

    #[test]
    fn a_line_that_somebody_broke_costs_only_itself() {
        let run = run_with(|path| {
            edit(path, TRIALS, |text| {
                let lines: Vec<_> = text.lines().collect();
                format!("{}\n{{\"oops\n{}\n{}\n", lines[0], lines[2], lines[2])
            });
        });
        let run = run.unwrap();
        assert_eq!(ids(&run), [1, 3]);
        assert!(
            run.unsound[0].starts_with("left out, line 2 of trials.jsonl"),
            "{:?}",
            run.unsound
        );
        assert!(run.unsound[1].ends_with("trial 3 was there before"), "{:?}", run.unsound);
    }

    #[test]
    fn a_half_written_run_is_what_was_written() {
        let run = run_with(|path| {
            fs::remove_file(path.join(MACHINE)).unwrap();
            edit(path, TRIALS, |text| text[..text.len() - 40].to_owned());
            fs::write(path.join(FINDINGS), "{").unwrap();
        });
        let run = run.unwrap();
        assert_eq!(ids(&run), [1, 2]);
        assert!(run.machine.is_none() && run.findings.is_none());
        let told = run.unsound.join("\n");
        for words in ["machine.json is left out", "judged anew", "it was never finished"] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn of_a_newer_version_what_is_known_is_read() {
        let newer = |text: String, kind: &str| {
            text.replace(&format!("autotune.{kind}/1"), &format!("autotune.{kind}/2"))
        };
        let run = run_with(|path| {
            edit(path, PLAN, |text| newer(text, "plan"));
            edit(path, TRIALS, |text| newer(text, "trial"));
        });
        let run = run.unwrap();
        assert_eq!(ids(&run), [1, 2, 3]);
        assert!(run.unsound[0].contains("`autotune.plan/2`"), "{:?}", run.unsound);
        assert!(run.unsound[1].starts_with("3 lines"), "{:?}", run.unsound);
        let lost = run_with(|path| {
            edit(path, PLAN, |text| newer(text, "plan").replace("\"workload\"", "\"work\""));
        });
        assert!(matches!(lost, Err(StoreError::Newer { .. })));
    }

    #[test]
    fn without_a_plan_it_is_no_run() {
        let lost = run_with(|path| fs::remove_file(path.join(PLAN)).unwrap());
        assert!(matches!(lost, Err(StoreError::NotARun { missing: "plan.json", .. })));
    }
}
