//! Workloads by name or from a file's text: strict, with the place of a mistake.
//!
//! Reading the file is left to the caller.

use thiserror::Error;

use crate::model::Workload;

/// Tokens that any length of a workload may have at most.
const MOST_TOKENS: u32 = 1 << 24;

/// The profiles that ship with the program; the first is the default.
const BUILT_IN: [&str; 7] = [
    include_str!("../../profiles/chat.toml"),
    include_str!("../../profiles/rag.toml"),
    include_str!("../../profiles/code.toml"),
    include_str!("../../profiles/essay.toml"),
    include_str!("../../profiles/translation.toml"),
    include_str!("../../profiles/question.toml"),
    include_str!("../../profiles/explain.toml"),
];

/// Why a text is no workload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// Not TOML, or not these names and types.
    #[error("{origin}, line {line}: `{key}`: {reason}")]
    Syntax {
        /// Where the text comes from.
        origin: String,
        /// Counted from 1.
        line: usize,
        /// The key on that line.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that makes no workload.
    #[error("{origin}: `{key}` {reason}")]
    Value {
        /// Where the text comes from.
        origin: String,
        /// The key.
        key: &'static str,
        /// What it would have to be.
        reason: String,
    },
}

/// The workloads that ship with the program; the first is the default.
#[must_use]
pub fn built_in() -> Vec<Workload> {
    let parse = |text: &&str| workload(text, "a built-in profile");
    BUILT_IN.iter().map(parse).collect::<Result<_, _>>().expect("the tests parse every profile")
}

/// Reads a workload from the text of a file; `origin` names it in errors.
pub fn workload(text: &str, origin: &str) -> Result<Workload, WorkloadError> {
    let workload: Workload = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, key) = place(text, start);
        let reason = error.message().replace('\n', " ");
        WorkloadError::Syntax { origin: origin.to_owned(), line, key, reason }
    })?;
    check(&workload).map_err(|(key, reason)| WorkloadError::Value {
        origin: origin.to_owned(),
        key,
        reason,
    })?;
    Ok(workload)
}

fn check(workload: &Workload) -> Result<(), (&'static str, String)> {
    if workload.name.trim().is_empty() || workload.name.chars().any(char::is_control) {
        return Err(("name", "must be a word on one line".into()));
    }
    let lengths = [
        ("prompt_tokens", workload.prompt_tokens),
        ("generate_tokens", workload.generate_tokens),
        ("depth", workload.depth),
        ("context", workload.context),
    ];
    for (key, value) in lengths {
        if value > MOST_TOKENS {
            return Err((key, format!("is {value}; the most is {MOST_TOKENS} tokens")));
        }
    }
    if workload.prompt_tokens + workload.generate_tokens == 0 {
        return Err(("generate_tokens", "and `prompt_tokens` are both 0: nothing to do".into()));
    }
    let turn = workload.depth + workload.prompt_tokens + workload.generate_tokens;
    if turn > workload.context {
        let context = workload.context;
        return Err(("context", format!("is {context} tokens, but a turn needs {turn}")));
    }
    Ok(())
}

/// The line of a byte, counted from 1, and the key on it.
fn place(text: &str, byte: usize) -> (usize, String) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or("");
    let key = line.split('=').next().unwrap_or("").trim().trim_matches(['[', ']', '"']);
    (text[..start].matches('\n').count() + 1, key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHAT: &str = BUILT_IN[0];

    #[test]
    fn every_profile_is_a_workload_with_a_name_of_its_own() {
        let mut names: Vec<String> = built_in().into_iter().map(|it| it.name).collect();
        assert_eq!(names[0], "chat");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), BUILT_IN.len());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (from, to, expected) in [
            ("prompt_tokens = 512", "prompt_tokens = \"many\"", "line 4: `prompt_tokens`"),
            ("prompt_tokens = 512", "promt_tokens = 512", "`promt_tokens`"),
            ("prompt_tokens = 512", "prompt_tokens = -1", "line 4: `prompt_tokens`"),
            ("context = 4096", "context = 100", "a turn needs 768"),
            ("context = 4096", "context = 4294967295", "the most is"),
            ("name = \"chat\"", "name = \"\"", "`name`"),
            ("name = \"chat\"", "name = \"chat", "line 2"),
        ] {
            let text = CHAT.replace(from, to);
            assert_ne!(text, CHAT);
            let error = workload(&text, "mine.toml").unwrap_err().to_string();
            assert!(error.starts_with("mine.toml") && error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = workload(&text, "x");
        }
    }
}
