//! A text as models read it: tokens in chunks, as llama-perplexity cuts them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use autotune_engine::api::{Failure, Language, Token, Tokenized};
use thiserror::Error;

/// Mixed prose, code, figures and languages that no model has been trained on before it was
/// published here: to measure with.
pub const BUILTIN_EVALUATION: &str = include_str!("../../profiles/texts/evaluation.txt");
/// The same kind of text without a sentence in common: for importance matrices, which must not be
/// made of what is measured with.
pub const BUILTIN_CALIBRATION: &str = include_str!("../../profiles/texts/calibration.txt");

/// Largest text that is read: a thousand times what a result needs.
const LIMIT_BYTES: u64 = 32 << 20;
/// Chunks that a text must have at least.
const FEWEST_CHUNKS: usize = 2;

/// Why a text cannot be used.
#[derive(Debug, Error)]
pub enum TextError {
    /// It cannot be read.
    #[error("cannot read the text {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It is larger than any result needs.
    #[error("the text {path} is larger than {LIMIT_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("the text {path} is not UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// It has too few tokens.
    #[error("the text has {tokens} tokens, and {needed} are needed: two chunks of {chunk}")]
    TooShort {
        /// Tokens it has.
        tokens: usize,
        /// Tokens it needs.
        needed: usize,
        /// Tokens of a chunk.
        chunk: usize,
    },
    /// Models read it differently.
    #[error("{candidate} reads the text differently than {reference}: {how}")]
    OtherTokenizer {
        /// The reference.
        reference: PathBuf,
        /// The candidate.
        candidate: PathBuf,
        /// What differs.
        how: String,
    },
    /// A model's vocabulary cannot be read.
    #[error("cannot read the text with {model}")]
    Model {
        /// The model.
        model: PathBuf,
        /// Why.
        #[source]
        cause: Failure,
    },
}

/// The text of a file, without the line break at its end: llama-perplexity takes that off, too.
pub fn read_text(path: &Path) -> Result<String, TextError> {
    let failed = |cause| TextError::Read { path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(TextError::TooLarge { path: path.to_owned() });
    }
    let mut text =
        String::from_utf8(bytes).map_err(|_| TextError::NotText { path: path.to_owned() })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// Which tokens of a chunk are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoredFrom {
    /// Those of the second half, which have half a chunk before them: llama-perplexity's way.
    Half,
    /// All but the first.
    Start,
}

impl ScoredFrom {
    /// Tokens at the start of a chunk whose successors are not scored.
    #[must_use]
    pub fn tokens(self, chunk: u32) -> u32 {
        match self {
            Self::Half => chunk / 2,
            Self::Start => 0,
        }
    }
}

/// A text cut into chunks of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// The chunks; what is left at the end is not read.
    pub chunks: Vec<Vec<Token>>,
    /// Tokens of the whole text.
    pub tokens: u64,
}

/// Cuts a text as llama-perplexity does: from its first token on, and the first token of each chunk
/// gives way to the one that begins a text, where the vocabulary has one.
pub fn chunks(text: &Tokenized, chunk_tokens: u32) -> Result<Chunks, TextError> {
    let chunk = chunk_tokens as usize;
    let needed = FEWEST_CHUNKS * chunk;
    if text.tokens.len() < needed || chunk == 0 {
        return Err(TextError::TooShort { tokens: text.tokens.len(), needed, chunk });
    }
    let mut chunks: Vec<Vec<Token>> = text.tokens.chunks_exact(chunk).map(<[_]>::to_vec).collect();
    if let Some(beginning) = text.beginning {
        for chunk in &mut chunks {
            chunk[0] = beginning;
        }
    }
    Ok(Chunks { chunks, tokens: text.tokens.len() as u64 })
}

/// The tokens of a text, which all of these models read alike; the first is the reference.
pub fn tokenize_alike(
    language: &mut dyn Language,
    models: &[PathBuf],
    text: &str,
) -> Result<Tokenized, TextError> {
    let mut known: Option<(&PathBuf, Tokenized)> = None;
    for model in models {
        let read = language
            .tokenize(model, text)
            .map_err(|cause| TextError::Model { model: model.clone(), cause })?;
        let Some((reference, first)) = &known else {
            known = Some((model, read));
            continue;
        };
        let how = if read.vocabulary != first.vocabulary {
            let (own, its) = (read.vocabulary, first.vocabulary);
            format!("its vocabulary has {own} tokens, the other {its}")
        } else if read.tokens != first.tokens {
            let same = read.tokens.iter().zip(&first.tokens).take_while(|(a, b)| a == b).count();
            format!("from token {same} on its tokens are others")
        } else if read.beginning != first.beginning {
            "it begins texts with another token".to_owned()
        } else {
            continue;
        };
        let (reference, candidate) = ((*reference).clone(), model.clone());
        return Err(TextError::OtherTokenizer { reference, candidate, how });
    }
    Ok(known.expect("there is at least one model").1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: Token) -> Tokenized {
        let tokens = (0..tokens).collect();
        Tokenized { tokens, vocabulary: 9999, beginning: Some(-7), trained_context: 512 }
    }

    #[test]
    fn every_chunk_begins_as_a_text_does_and_the_rest_is_left() {
        let cut = chunks(&text(11), 4).unwrap();
        assert_eq!(cut.chunks, [[-7, 1, 2, 3], [-7, 5, 6, 7]]);
        assert_eq!(cut.tokens, 11);
        let cut = chunks(&Tokenized { beginning: None, ..text(8) }, 4).unwrap();
        assert_eq!(cut.chunks, [[0, 1, 2, 3], [4, 5, 6, 7]]);
    }

    #[test]
    fn a_short_text_says_what_it_lacks() {
        let error = chunks(&text(1023), 512).unwrap_err().to_string();
        assert_eq!(error, "the text has 1023 tokens, and 1024 are needed: two chunks of 512");
    }

    #[test]
    fn the_two_texts_within_share_no_line() {
        let lines = |text: &'static str| -> std::collections::HashSet<&str> {
            text.lines().map(str::trim).filter(|line| line.len() > 40).collect()
        };
        let (one, other) = (lines(BUILTIN_EVALUATION), lines(BUILTIN_CALIBRATION));
        assert!(one.len() > 100 && other.len() > 100);
        assert_eq!(one.intersection(&other).count(), 0);
    }
}
