//! What a regression gate found, for people, CI systems and dashboards.
//!
//! One file per output; each is a pure function of a [`GateReport`]. Text from outside (names,
//! reasons, commands) stays text in every format. Writing files is left to `cli`, judging to those
//! who make the report.

mod action_benchmark;
mod badge;
mod bencher;
mod benchstat;
mod comment;
mod explain;
#[cfg(test)]
mod fixture;
mod github;
mod junit;
mod openmetrics;
mod page;
mod standing;
mod story;
mod terminal;
mod words;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::model::GateReport;

pub use action_benchmark::{bigger_is_better, smaller_is_better};
pub use badge::badge;
pub use bencher::bencher;
pub use benchstat::{Half, benchstat};
pub use comment::{MARKER, comment};
pub use explain::explain;
pub use github::{annotations, outputs, summary};
pub use junit::{Undecided, junit};
pub use openmetrics::openmetrics;
pub use terminal::{Ink, terminal};

/// A form that a report can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// The document itself, `autotune.gate/1`.
    Json,
    /// What a terminal shows, without styles.
    Text,
    /// Test results for CI systems.
    Junit,
    /// The summary of a step of GitHub Actions.
    Github,
    /// Its annotations, as workflow commands.
    Annotations,
    /// A comment for a pull request.
    Comment,
    /// Gauges for GitLab, Prometheus and `node_exporter`.
    Openmetrics,
    /// An endpoint for shields.io.
    Badge,
    /// One side in Go's benchmark format.
    Benchstat(Half),
    /// The Bencher Metric Format.
    Bencher,
    /// `customBiggerIsBetter` of github-action-benchmark.
    BiggerIsBetter,
    /// `customSmallerIsBetter` of github-action-benchmark.
    SmallerIsBetter,
}

impl Export {
    /// Every form, in the order of the help.
    pub const ALL: [Self; 13] = [
        Self::Json,
        Self::Text,
        Self::Junit,
        Self::Github,
        Self::Annotations,
        Self::Comment,
        Self::Openmetrics,
        Self::Badge,
        Self::Benchstat(Half::Base),
        Self::Benchstat(Half::Head),
        Self::Bencher,
        Self::BiggerIsBetter,
        Self::SmallerIsBetter,
    ];

    /// Its name, as typed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Junit => "junit",
            Self::Github => "github",
            Self::Annotations => "annotations",
            Self::Comment => "comment",
            Self::Openmetrics => "openmetrics",
            Self::Badge => "badge",
            Self::Benchstat(Half::Base) => "benchstat-base",
            Self::Benchstat(Half::Head) => "benchstat-head",
            Self::Bencher => "bencher",
            Self::BiggerIsBetter => "bigger-is-better",
            Self::SmallerIsBetter => "smaller-is-better",
        }
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|export| export.word() == text).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|export| export.word()).collect();
            format!("`{text}` is none of {}", words.join(", "))
        })
    }
}

/// The report in a form; each ends with a line break, unless it is empty.
#[must_use]
pub fn export(report: &GateReport, form: Export) -> String {
    match form {
        Export::Json => json(report),
        Export::Text => terminal(report, Ink::Plain),
        Export::Junit => junit(report, Undecided::of(report)),
        Export::Github => summary(report),
        Export::Annotations => annotations(report),
        Export::Comment => comment(report),
        Export::Openmetrics => openmetrics(report),
        Export::Badge => badge(report),
        Export::Benchstat(half) => benchstat(report, half),
        Export::Bencher => bencher(report),
        Export::BiggerIsBetter => bigger_is_better(report),
        Export::SmallerIsBetter => smaller_is_better(report),
    }
}

fn json(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("plain data with strings as keys") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_word_of_its_own_and_is_found_by_it() {
        for form in Export::ALL {
            assert_eq!(form.to_string().parse(), Ok(form));
        }
        let wrong = "sarif".parse::<Export>().unwrap_err();
        assert!(wrong.starts_with("`sarif` is none of json, text"), "{wrong}");
    }

    #[test]
    fn every_form_of_every_report_ends_with_a_line_break() {
        let reports = [
            fixture::report(),
            fixture::hostile(),
            fixture::passed(),
            fixture::history(),
            fixture::selftest(),
        ];
        for (report, form) in
            reports.iter().flat_map(|report| Export::ALL.map(|form| (report, form)))
        {
            let text = export(report, form);
            assert!(text.ends_with('\n') || text.is_empty(), "{form}: {text}");
        }
    }

    #[test]
    fn the_document_is_read_back_as_it_was() {
        let report = fixture::report();
        let read: GateReport = serde_json::from_str(&export(&report, Export::Json)).unwrap();
        assert_eq!(read, report);
    }
}
