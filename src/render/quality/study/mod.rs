//! The quantizations of one model side by side: a table for a terminal, Markdown, a section of a
//! report, and a page of its own by the same templates.

mod answers;
mod folklore;
mod markdown;
mod method;
mod page;
mod remarks;
mod section;
mod summary;
mod table;
mod terminal;

pub use markdown::study_markdown;
pub use page::{study_page, study_view};
pub(in crate::render) use section::{SECTION, TITLE, section};
pub use terminal::study_text;

use super::super::machine::clean;
use super::{figures, words};
use crate::model::{Divergence, QuantizationStudy, StudyCandidate};

/// How far a candidate is from the source; `None` where that was not measured.
pub(in crate::render) fn divergence_of(candidate: &StudyCandidate) -> Option<Divergence> {
    Some(candidate.quality.as_ref()?.against.as_ref()?.kl_divergence)
}

/// Whether it is what the others are quantizations of.
pub(in crate::render) fn is_source(study: &QuantizationStudy, candidate: &StudyCandidate) -> bool {
    candidate.model == study.source
}

fn source(study: &QuantizationStudy) -> Option<&StudyCandidate> {
    study.candidates.iter().find(|it| is_source(study, it))
}

fn named<'a>(study: &'a QuantizationStudy, name: &str) -> Option<&'a StudyCandidate> {
    study.candidates.iter().find(|it| it.name == name)
}

fn on_front(study: &QuantizationStudy, candidate: &StudyCandidate) -> bool {
    study.front.contains(&candidate.name)
}

fn compared(study: &QuantizationStudy) -> bool {
    study.candidates.iter().any(|it| divergence_of(it).is_some())
}

/// What the models are quantizations of, without its folders.
fn source_name(study: &QuantizationStudy) -> String {
    clean(words::file_name(&study.source))
}

/// The choice and why, with its full stop. It begins with a name, so its case stays.
fn choice(study: &QuantizationStudy) -> String {
    match &study.choice {
        Some(choice) => stopped(&clean(&choice.sentence)),
        None if study.candidates.is_empty() => "Nothing was compared.".to_owned(),
        None => "None of the candidates can be taken.".to_owned(),
    }
}

fn stopped(text: &str) -> String {
    let text = text.trim();
    format!("{text}{}", if text.ends_with(['.', '!', '?']) { "" } else { "." })
}

/// The divergence of a candidate, or what stands in its place.
fn divergence(study: &QuantizationStudy, candidate: &StudyCandidate) -> String {
    match divergence_of(candidate) {
        Some(it) => figures::doubtful(it.mean, it.se),
        None if is_source(study, candidate) && !study.speed_only => "the source".to_owned(),
        None => figures::NONE.to_owned(),
    }
}

fn same_top(candidate: &StudyCandidate) -> String {
    let against = candidate.quality.as_ref().and_then(|it| it.against.as_ref());
    against.map_or_else(
        || figures::NONE.to_owned(),
        |it| figures::share(it.top1_agreement, it.top1_agreement_se),
    )
}

fn class(candidate: &StudyCandidate) -> String {
    candidate.quality.as_ref().map_or_else(|| figures::NONE.to_owned(), words::class)
}
