//! The regression gate's rules: from numbers to pass, fail, or what is missing for either.
//!
//! Pure: [`judge_blocks`] for two sides measured in turn, [`judge_baseline`] for a session against
//! stored ones, [`judge_samples`] for what other tools measured, [`judge_history`] for a series;
//! [`judge_build`] makes one verdict of many cells. Differences are logarithms of times, positive
//! where the head is slower. Measuring is left to `gate`, the tests to `stats`.

mod baseline;
mod blocks;
mod build;
mod history;
mod holm;
mod judgement;
mod rule;
mod samples;
mod tested;
#[cfg(test)]
mod tests;
mod words;

pub use baseline::{FEWEST_SESSIONS, LEAST_SPREAD, Stored, judge_baseline};
pub use blocks::{Raced, judge_blocks};
pub use build::{BuildVerdict, OnInconclusive, OnMissing, Policy, judge_build, worst_first};
pub use history::{HistoryError, HistoryJudgement, HistoryRules, HistorySeries, judge_history};
pub use judgement::Judgement;
pub use rule::{FEWEST_BLOCKS, Rule, Stage};
pub use samples::{Sampled, judge_samples};
pub use words::{Told, tell};
