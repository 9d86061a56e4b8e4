//! The regression gate's rules: from numbers to pass, fail, or what is missing for either.
//!
//! Pure: [`judge_history`] for a series of sessions. Measuring is left to others, the tests to
//! `stats`.

mod history;

pub use history::{HistoryError, HistoryJudgement, HistoryRules, HistorySeries, judge_history};
