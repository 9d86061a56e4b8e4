//! Why a file gives no samples.

use thiserror::Error;

use super::Tool;

/// Why a file gives no samples. Outside text in it is shortened and escaped.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ImportError {
    /// Bytes that are no text.
    #[error("the file is no UTF-8 text (byte {offset})")]
    NotUtf8 {
        /// The first byte that is none, from 0.
        offset: usize,
    },
    /// Nothing but blanks.
    #[error("the file is empty")]
    Empty,
    /// Another tool's file.
    #[error("the file is not what {tool} writes: it looks like {looks_like}")]
    NotThisFormat {
        /// What was asked for.
        tool: Tool,
        /// What it seems to be.
        looks_like: Tool,
    },
    /// The right tool, but told to write for people or a database.
    #[error("the file is llama-bench's {output}, which has no single samples")]
    ForPeople {
        /// `Markdown table` or `SQL`.
        output: &'static str,
    },
    /// Something in it contradicts the format.
    #[error("the file is not what {tool} writes: {reason} ({place})")]
    Malformed {
        /// What was asked for.
        tool: Tool,
        /// Where.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// Means and deviations without what they are made of.
    #[error("`{cell}` has summaries only, no single measurements")]
    SummariesOnly {
        /// Who wrote it.
        tool: Tool,
        /// The first such cell.
        cell: String,
    },
    /// Well-formed, and nothing in it was measured.
    #[error("the file holds no measurement of {tool}{}", because(left_out.as_ref()))]
    NoCells {
        /// What was asked for.
        tool: Tool,
        /// The first thing that was left out.
        left_out: Option<String>,
    },
    /// NaN or an infinity.
    #[error("{place} is {value}, not a finite number")]
    NotFinite {
        /// Cell and place.
        place: String,
        /// As it was written.
        value: String,
    },
    /// Zero or less: a ratio says nothing of it.
    #[error("{place} is {value}, and only values above zero can be compared")]
    NotPositive {
        /// Cell and place.
        place: String,
        /// The value, in the unit of the cell.
        value: f64,
    },
    /// A number too large to hold.
    #[error("a number is beyond what 64 bits can hold ({place})")]
    OutOfRange {
        /// Where.
        place: String,
    },
    /// A value that is no number.
    #[error("{place} {reason}, not a number")]
    NotANumber {
        /// Where.
        place: String,
        /// What it is: `is blank`.
        reason: String,
    },
    /// Two units in one cell.
    #[error("`{cell}` is in {first} and in {second} ({place})")]
    MixedUnits {
        /// The cell.
        cell: String,
        /// Its unit so far.
        first: String,
        /// The other one.
        second: String,
        /// Where.
        place: String,
    },
    /// The same test twice.
    #[error("`{cell}` is there twice ({place})")]
    Repeated {
        /// The cell.
        cell: String,
        /// The second place.
        place: String,
    },
    /// Two names that are alike when they are shortened.
    #[error("two names are alike in their beginning and end: `{cell}`")]
    NamesAlike {
        /// What is left of both.
        cell: String,
    },
    /// Times without the iterations that they took, or the other way round.
    #[error("`{cell}` has {values} measured values and {counts} counts of iterations ({place})")]
    LengthsDiffer {
        /// The cell.
        cell: String,
        /// How many values.
        values: usize,
        /// How many counts.
        counts: usize,
        /// Where.
        place: String,
    },
    /// More than is held in memory.
    #[error("the file has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// A column that is not there.
    #[error("the table has no column `{column}`, only {there}")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What there is.
        there: String,
    },
    /// A heading that is there twice.
    #[error("the table has two columns `{column}`")]
    RepeatedColumn {
        /// The heading.
        column: String,
    },
    /// No column, or more than one, that could hold the values.
    #[error("cannot tell which column holds the values: {candidates}")]
    NoValueColumn {
        /// Those that could.
        candidates: String,
    },
    /// More may be better or worse.
    #[error("cannot tell whether more is better in column `{column}`")]
    DirectionUnknown {
        /// The column of the values.
        column: String,
    },
}

fn because(left_out: Option<&String>) -> String {
    left_out.map(|note| format!(": {note}")).unwrap_or_default()
}

impl ImportError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotUtf8 { offset: 0 } => {
                "some shells write UTF-16 with `>`: let the tool write the file itself"
            }
            Self::NotThisFormat { looks_like, .. } => {
                return Some(format!("try --from {looks_like}"));
            }
            Self::ForPeople { .. } => Tool::LlamaBench.recipe(),
            Self::SummariesOnly { tool: Tool::GoogleBenchmark, .. } => {
                "run the benchmark with --benchmark_repetitions=10, without \
                 --benchmark_report_aggregates_only"
            }
            Self::Malformed { tool, .. }
            | Self::NoCells { tool, .. }
            | Self::SummariesOnly { tool, .. } => tool.recipe(),
            Self::Repeated { .. } => {
                "if both are the same test, take their samples together with --merge"
            }
            Self::NoColumn { .. } => "headings are compared letter by letter",
            Self::RepeatedColumn { .. } => "give each column a heading of its own",
            Self::NoValueColumn { .. } => "name it with --column",
            Self::DirectionUnknown { .. } => {
                "say --better higher or --better lower, or the unit: --unit ms, --unit tok/s"
            }
            Self::NotANumber { .. } => "write numbers with a point: 1.5, or 1.5e-3",
            Self::MixedUnits { .. } => "measure both with one version of the benchmark",
            Self::TooMany { .. } => "import parts of it, each by itself",
            Self::NotFinite { .. } | Self::NotPositive { .. } => {
                "measure that benchmark again, or leave it out of the file"
            }
            Self::NotUtf8 { .. }
            | Self::Empty
            | Self::OutOfRange { .. }
            | Self::LengthsDiffer { .. }
            | Self::NamesAlike { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether another tool's file would give this error.
    pub(super) fn doubts_the_format(&self) -> bool {
        matches!(
            self,
            Self::Malformed { .. }
                | Self::NoCells { .. }
                | Self::NoColumn { .. }
                | Self::RepeatedColumn { .. }
                | Self::NoValueColumn { .. }
                | Self::DirectionUnknown { .. }
                | Self::NotANumber { .. }
        )
    }
}
