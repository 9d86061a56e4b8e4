//! What the candidates say to the prompts, and where each leaves the source.

use super::super::super::format;
use super::super::super::machine::clean;
use super::super::super::view::{BlockView, CellView};
use super::source;
use crate::model::{PromptAnswers, QuantizationStudy, SpokenAnswer};

/// Stands before the first letter that is not the source's.
const LEAVES: char = '▸';
/// Letters of one answer, or of a prompt, that are shown.
const LONGEST: usize = 1200;

/// A table for each prompt.
pub(super) fn blocks(study: &QuantizationStudy) -> Vec<BlockView> {
    let spoken: Vec<BlockView> = study.answers.iter().map(|prompt| table(study, prompt)).collect();
    if spoken.is_empty() {
        return spoken;
    }
    let meaning = format!(
        "Each says the likeliest token each time; {LEAVES} stands where the words leave those of \
         the source. Words that differ are not worse for it: the divergence above counts, these \
         only show it."
    );
    std::iter::once(BlockView::text(meaning)).chain(spoken).collect()
}

fn table(study: &QuantizationStudy, prompt: &PromptAnswers) -> BlockView {
    let reference = reference(study, prompt);
    let row = |answer: &SpokenAnswer| {
        let of = reference.filter(|reference| reference.name != answer.name);
        vec![
            CellView::plain(clean(&answer.name)),
            CellView::plain(leaving(answer, of)),
            CellView::plain(words(answer, of)),
        ]
    };
    let rows = prompt.answers.iter().map(row).collect();
    let columns = [("Candidate", false), ("Leaves the source", false), ("Words", false)];
    BlockView::table(format!("“{}”", one_line(&prompt.prompt)), &columns, rows)
}

fn reference<'a>(study: &QuantizationStudy, prompt: &'a PromptAnswers) -> Option<&'a SpokenAnswer> {
    let name = &source(study)?.name;
    prompt.answers.iter().find(|answer| answer.name == *name)
}

fn leaving(answer: &SpokenAnswer, reference: Option<&SpokenAnswer>) -> String {
    match (answer.same_tokens, reference) {
        (Some(0), _) => "with the first token".to_owned(),
        (Some(same), _) => format!("after {}", format::plural(same as usize, "token")),
        (None, Some(_)) => "not in these words".to_owned(),
        (None, None) => "–".to_owned(),
    }
}

/// The words, with a mark where they leave the reference's.
fn words(answer: &SpokenAnswer, reference: Option<&SpokenAnswer>) -> String {
    let own = one_line(&answer.text);
    let Some(reference) = reference.filter(|_| answer.same_tokens.is_some()) else { return own };
    let of = one_line(&reference.text);
    let same = own.chars().zip(of.chars()).take_while(|(own, its)| own == its).count();
    let (shared, rest): (String, String) =
        (own.chars().take(same).collect(), own.chars().skip(same).collect());
    format!("{shared}{LEAVES}{rest}")
}

/// Lines are told apart by a sign, so that the words stay a cell of a table. Backticks are the
/// model's own and no code of ours.
fn one_line(text: &str) -> String {
    let line = clean(&text.trim().replace("\r\n", "\n").replace('\n', " ⏎ ").replace('`', "'"));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
