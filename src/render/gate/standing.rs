//! Where a cell stands: its verdict, and what its weight and its waiver make of it.

use crate::model::{GateCell, GateVerdict, Weight};

/// What a cell means for the build, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It fails the build.
    Fails,
    /// It was not measured, although it was before.
    Missing,
    /// It was not compared, or not with the same work.
    NotComparable,
    /// It is slower than allowed, and a waiver holds.
    Waived,
    /// It is slower than allowed, and cannot fail the build.
    Advisory,
    /// Nothing is shown.
    Inconclusive,
    /// There is nothing to compare it with yet.
    New,
    /// It is not slower than allowed.
    Passes,
}

impl Standing {
    /// Where a cell stands.
    pub(super) fn of(cell: &GateCell) -> Self {
        match cell.verdict {
            GateVerdict::Fail if cell.waiver.is_some() => Self::Waived,
            GateVerdict::Fail if cell.weight == Weight::Advisory => Self::Advisory,
            verdict => verdict.into(),
        }
    }

    /// Its name. A failure of the build is the only one in capitals.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fails => "FAIL",
            Self::Missing => "missing",
            Self::NotComparable => "not-comparable",
            Self::Waived => "waived",
            Self::Advisory => "advisory",
            Self::Inconclusive => "inconclusive",
            Self::New => "new",
            Self::Passes => "pass",
        }
    }
}

/// Where a whole build stands, which has neither weight nor waiver.
impl From<GateVerdict> for Standing {
    fn from(verdict: GateVerdict) -> Self {
        match verdict {
            GateVerdict::Fail => Self::Fails,
            GateVerdict::Missing => Self::Missing,
            GateVerdict::NotComparable => Self::NotComparable,
            GateVerdict::Inconclusive => Self::Inconclusive,
            GateVerdict::New => Self::New,
            GateVerdict::Pass => Self::Passes,
        }
    }
}
