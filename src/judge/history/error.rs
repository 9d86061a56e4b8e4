//! Series that no rule can be held against.

use super::{HistoryRules, HistorySeries};

/// A series, or a rule, that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// A value that is no time, speed or size.
    #[error(
        "session {session} (`{label}`) of `{cell}` has the value {value}, not a positive number"
    )]
    Value {
        /// Name of the cell.
        cell: String,
        /// Which session, from 1.
        session: usize,
        /// What it is called.
        label: String,
        /// The value.
        value: f64,
    },
    /// Not one label for each value.
    #[error("`{cell}` has {values} values and {labels} labels")]
    Labels {
        /// Name of the cell.
        cell: String,
        /// Number of values.
        values: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A change is accepted where there is no session.
    #[error("`{cell}` has no session {session} whose level could be accepted")]
    Accepted {
        /// Name of the cell.
        cell: String,
        /// Which session, from 1.
        session: usize,
    },
    /// The pinned session is in no series.
    #[error("no session is called `{label}`")]
    Pinned {
        /// Its label.
        label: String,
    },
    /// A share that is none.
    #[error("{what} is {value}, not a share above 0 and below 1")]
    Share {
        /// Which.
        what: String,
        /// Its value.
        value: f64,
    },
}

pub(super) fn check(series: &[HistorySeries], rules: &HistoryRules) -> Result<(), HistoryError> {
    share("alpha", rules.alpha)?;
    share("q", rules.q)?;
    for series in series {
        share(&format!("the slowdown allowed of `{}`", series.cell), series.delta)?;
        check_one(series)?;
    }
    match &rules.pinned {
        Some(label) if !series.iter().any(|series| series.labels.contains(label)) => {
            Err(HistoryError::Pinned { label: label.clone() })
        }
        _ => Ok(()),
    }
}

fn check_one(series: &HistorySeries) -> Result<(), HistoryError> {
    let HistorySeries { cell, values, labels, accepted, .. } = series;
    if values.len() != labels.len() {
        let (values, labels) = (values.len(), labels.len());
        return Err(HistoryError::Labels { cell: cell.clone(), values, labels });
    }
    let possible = |value: f64| value > 0.0 && value.is_finite();
    if let Some(place) = values.iter().position(|value| !possible(*value)) {
        return Err(HistoryError::Value {
            cell: cell.clone(),
            session: place + 1,
            label: labels[place].clone(),
            value: values[place],
        });
    }
    match accepted.iter().find(|place| **place >= values.len()) {
        Some(place) => Err(HistoryError::Accepted { cell: cell.clone(), session: place + 1 }),
        None => Ok(()),
    }
}

fn share(what: &str, value: f64) -> Result<(), HistoryError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(HistoryError::Share { what: what.to_owned(), value })
}
