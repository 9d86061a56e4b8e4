//! Quality beside speed, for people and spreadsheets: what one look at quality found, and the
//! quantizations of a model side by side.
//!
//! One file per output; each is a pure function of a [`QualityReport`] or a [`QuantizationStudy`].
//! Text from outside (file names, notes, the models' own words) stays text in every format. What
//! numbers mean is left to `crate::quality`, writing files to `cli`.
//!
//! [`QualityReport`]: crate::model::QualityReport
//! [`QuantizationStudy`]: crate::model::QuantizationStudy

mod csv;
mod figures;
#[cfg(test)]
mod fixture;
mod markdown;
mod study;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub use csv::csv;
pub use markdown::markdown;
pub(super) use study::{SECTION, TITLE, divergence_of, is_source, section};
pub use study::{study_markdown, study_page, study_text, study_view};
pub use terminal::text;

/// Columns that a line for a terminal of 80 takes at most.
const WIDTH: usize = 79;
