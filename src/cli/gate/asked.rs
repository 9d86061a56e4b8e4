//! How a build is judged: flags before the project's file, and that before what is usual.

use std::time::Duration;

use super::arguments::{Confirm, Judged, Length, OnUndecided};
use super::file::GateFile;
use super::percent::{Limits, Percent};
use crate::cli::Stop;
use crate::judge::{FEWEST_BLOCKS, OnInconclusive, OnMissing, Policy, Rule};

/// Time for a session unless another is asked for.
const USUAL_BUDGET: Duration = Duration::from_secs(600);
/// Blocks that may be asked for.
const MOST_BLOCKS: u32 = 4096;

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) file: &'a GateFile,
    pub(super) judged: &'a Judged,
    pub(super) length: &'a Length,
}

impl Asked<'_> {
    /// Whether a failure has to repeat.
    pub(super) fn confirm(&self, virtualised: bool) -> Result<Confirm, Stop> {
        let asked = match (self.length.confirm, &self.file.confirm) {
            (Some(confirm), _) => confirm,
            (None, Some(word)) => parsed("confirm", word)?,
            (None, None) => Confirm::Auto,
        };
        Ok(match asked {
            Confirm::Auto if virtualised => Confirm::Same,
            Confirm::Auto => Confirm::None,
            other => other,
        })
    }

    /// Time for a session.
    pub(super) fn budget(&self) -> Result<Duration, Stop> {
        let asked = match (&self.length.budget, &self.file.budget) {
            (Some(budget), _) => **budget,
            (None, Some(text)) => humantime::parse_duration(text)
                .map_err(|error| Stop::usage(format!("the budget `{text}`: {error}")))?,
            (None, None) => USUAL_BUDGET,
        };
        Ok(if self.on_undecided()? == OnUndecided::Retry { asked.saturating_mul(2) } else { asked })
    }

    fn on_undecided(&self) -> Result<OnUndecided, Stop> {
        match (self.judged.on_inconclusive, &self.file.on_inconclusive) {
            (Some(asked), _) => Ok(asked),
            (None, Some(word)) => parsed("on_inconclusive", word),
            (None, None) => Ok(OnUndecided::Warn),
        }
    }

    /// The rule.
    pub(super) fn rule(&self) -> Result<Rule, Stop> {
        let usual = Rule::default();
        let (judged, file) = (self.judged, self.file);
        let chance = |name: &str, asked: Option<f64>, usual: f64| match asked {
            Some(p) if p > 0.0 && p < 1.0 => Ok(p),
            Some(p) => Err(Stop::usage(format!("{name} = {p} is no chance between 0 and 1"))),
            None => Ok(usual),
        };
        let most = self.length.max_blocks.or(file.max_blocks).unwrap_or(usual.most_blocks);
        let typed = self.length.max_blocks.is_some();
        if most > MOST_BLOCKS || (most < FEWEST_BLOCKS && !typed) {
            return Err(Stop::usage(format!(
                "max_blocks = {most} is not between {FEWEST_BLOCKS} and {MOST_BLOCKS}"
            )));
        }
        let retry = self.on_undecided()? == OnUndecided::Retry;
        let blind = judged.max_mde.or(file.max_mde).map(Percent::share);
        Ok(Rule {
            alpha: chance("alpha", judged.alpha.or(file.alpha), usual.alpha)?,
            power: chance("power", judged.power.or(file.power), usual.power)?,
            most_blocks: if retry { 2 * most } else { most },
            blind_above: blind.unwrap_or(usual.blind_above),
            seed: judged.seed,
            ..usual
        })
    }

    /// How a build is judged from its cells.
    pub(super) fn policy(&self, identical: bool) -> Result<Policy, Stop> {
        let fail = self.on_undecided()? == OnUndecided::Fail;
        Ok(Policy {
            on_inconclusive: if fail { OnInconclusive::Fail } else { OnInconclusive::Warn },
            on_missing: if self.judged.allow_missing { OnMissing::Allow } else { OnMissing::Fail },
            identical,
        })
    }

    /// The limits.
    pub(super) fn limits(&self) -> Limits {
        self.judged.delta.clone().unwrap_or_default().or(&self.file.limits())
    }
}

/// A word of the file as a flag would have been.
fn parsed<T: clap::ValueEnum>(key: &str, word: &str) -> Result<T, Stop> {
    T::from_str(word, false)
        .map_err(|_| Stop::usage(format!("the gate's file: {key} cannot be `{word}`")))
}
