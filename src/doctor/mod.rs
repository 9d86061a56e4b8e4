//! What costs speed here today: facts of a machine and its state → [`Diagnosis`].
//!
//! Judges what others saw and measured; [`Bench`] tries a remedy in seconds. Looks at nothing itself,
//! changes nothing, prints nothing.

mod check;
mod figure;
mod rank;
#[cfg(test)]
mod tests;
mod trial;

use autotune_engine::api::{Bytes, Sum};

pub use self::figure::Figure;
use crate::detect::GpuProcess;
use crate::model::{
    CheckOutcome, Checked, Condition, Cost, Diagnosis, Evidence, Finding, Machine, ModelCard,
    StorageKind,
};
use crate::stats::{Change, Separation};

pub use self::check::CHECKS;
pub use self::trial::{Bench, ThreadTrial, trials};

/// Everything that is known when a machine is judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the machine is.
    pub machine: &'a Machine,
    /// What state it is in.
    pub condition: &'a Condition,
    /// The model that shall run, where one was named.
    pub model: Option<&'a ModelCard>,
    /// What that model needs of main memory with everything on the processor, by the engine's
    /// own count; `None` where it was not asked.
    pub need: Option<Sum>,
    /// What that model is stored on.
    pub model_storage: Option<StorageKind>,
    /// Who holds memory of NVIDIA's cards.
    pub gpu_memory: &'a [GpuProcess],
    /// What was tried here.
    pub trials: &'a [TrialResult],
}

/// What trying the remedy of one check showed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialResult {
    /// The check, for example `cpu-quota`.
    pub check: &'static str,
    /// What was measured.
    pub cost: Cost,
}

/// One thing that may cost speed.
pub trait Check: Sync {
    /// Its name, for example `cpu-quota`.
    fn id(&self) -> &'static str;

    /// What it looks at, one line.
    fn title(&self) -> &'static str;

    /// What others measured, where the fault is that of a public report.
    fn figure(&self) -> Option<&'static Figure>;

    /// Judges a machine.
    fn examine(&self, subject: &Subject<'_>) -> Verdict;
}

/// What a check comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing is the matter.
    Fine,
    /// It has no meaning here; one line why.
    NotApplicable(String),
    /// What it needs could not be seen; one line why.
    Unseen(String),
    /// Something is.
    Found(Finding),
}

/// Runs every check.
#[must_use]
pub fn examine(subject: &Subject<'_>) -> Diagnosis {
    let mut findings = Vec::new();
    let mut checked = Vec::new();
    for check in CHECKS {
        let outcome = match check.examine(subject) {
            Verdict::Fine => CheckOutcome::Fine,
            Verdict::NotApplicable(reason) => CheckOutcome::NotApplicable { reason },
            Verdict::Unseen(reason) => CheckOutcome::Unseen { reason },
            Verdict::Found(finding) => {
                findings.push(measured(finding, subject.trials));
                CheckOutcome::Found
            }
        };
        let (check, title) = (check.id().to_owned(), check.title().to_owned());
        checked.push(Checked { check, title, outcome });
    }
    rank::sort(&mut findings);
    Diagnosis {
        schema: Diagnosis::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        examined_at: subject.machine.captured_at.clone(),
        provenance: subject.machine.provenance,
        findings,
        checked,
    }
}

/// The finding with what it costs here in place of what it cost elsewhere.
fn measured(mut finding: Finding, trials: &[TrialResult]) -> Finding {
    let Some(trial) = trials.iter().find(|trial| trial.check == finding.check) else {
        return finding;
    };
    if let Cost::Measured { change, .. } = &trial.cost {
        match change.separation {
            Separation::Faster => {}
            Separation::Slower => finding.what.push_str("; the remedy was slower when tried here"),
            Separation::NotSeparated => {
                finding.what.push_str("; no difference was measured here");
            }
        }
    }
    finding.cost = trial.cost.clone();
    finding
}
