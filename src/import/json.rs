//! JSON that is read without believing how much of it there is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::text::shown;
use super::{ImportError, Tool};

/// A list of which no more than one item above `LIMIT` is held, so that a reader can tell.
#[derive(Debug)]
pub(super) struct Bounded<T, const LIMIT: usize>(pub Vec<T>);

impl<T, const LIMIT: usize> Default for Bounded<T, LIMIT> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const LIMIT: usize> Bounded<T, LIMIT> {
    /// The items, if they are not too many.
    pub fn checked(self, what: &'static str) -> Result<Vec<T>, ImportError> {
        if self.0.len() > LIMIT {
            return Err(ImportError::TooMany { what, limit: LIMIT });
        }
        Ok(self.0)
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Bounded<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List::<T, LIMIT>(PhantomData))
    }
}

struct List<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
    type Value = Bounded<T, LIMIT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() <= LIMIT {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Bounded(items)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Bounded(items))
    }
}

/// The one document of a file.
pub(super) fn document<'a, T: Deserialize<'a>>(
    tool: Tool,
    text: &'a str,
) -> Result<T, ImportError> {
    serde_json::from_str(text).map_err(|error| unreadable(tool, text, &error))
}

/// Documents one after another, in lines or not.
pub(super) fn documents<'a, T: Deserialize<'a> + 'a>(
    tool: Tool,
    text: &'a str,
) -> impl Iterator<Item = Result<T, ImportError>> + 'a {
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    stream.map(move |item| item.map_err(|error| unreadable(tool, text, &error)))
}

fn unreadable(tool: Tool, text: &str, error: &serde_json::Error) -> ImportError {
    let place = format!("line {}, column {}", error.line(), error.column());
    if let Some(value) = word_at(text, error).filter(|word| is_no_json_number(word)) {
        return ImportError::NotFinite { place, value: shown(value) };
    }
    let message = error.to_string();
    let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
    if reason == "number out of range" {
        return ImportError::OutOfRange { place };
    }
    ImportError::Malformed { tool, place, reason: shown(reason) }
}

/// What C and Python write for what JSON has no number for.
fn is_no_json_number(word: &str) -> bool {
    let word = word.trim_start_matches('-');
    ["nan", "inf", "infinity"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// The word in which reading ended.
fn word_at<'a>(text: &'a str, error: &serde_json::Error) -> Option<&'a str> {
    let line = text.split('\n').nth(error.line().checked_sub(1)?)?;
    let at = error.column().checked_sub(1)?;
    let (before, behind) = (line.get(..at)?, line.get(at..)?);
    let part_of_it = |c: char| c.is_ascii_alphabetic() || c == '-';
    let start = before.trim_end_matches(part_of_it).len();
    let end = at + behind.find(|c| !part_of_it(c)).unwrap_or(behind.len());
    line.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_to_their_end_and_held_to_the_limit() {
        let list: Bounded<u8, 2> = serde_json::from_str("[1, 2]").unwrap();
        assert_eq!(list.0, [1, 2]);
        let list: Bounded<u8, 2> = serde_json::from_str("[1, 2, 3, 4, \"x\"]").unwrap();
        assert_eq!(list.0, [1, 2, 3]);
        let error = list.checked("rows").unwrap_err();
        assert_eq!(error, ImportError::TooMany { what: "rows", limit: 2 });
    }

    #[test]
    fn numbers_that_json_lacks_are_named() {
        for (text, value) in [
            ("[1,\n NaN]", "NaN"),
            ("[-Infinity]", "-Infinity"),
            ("[ inf ]", "inf"),
            ("[-nan]", "-nan"),
        ] {
            match document::<Vec<f64>>(Tool::Hyperfine, text).unwrap_err() {
                ImportError::NotFinite { value: found, .. } => assert_eq!(found, value),
                other => panic!("{text}: {other:?}"),
            }
        }
        let error = document::<Vec<f64>>(Tool::Hyperfine, "[1e999]").unwrap_err();
        assert!(matches!(error, ImportError::OutOfRange { .. }), "{error:?}");
        let error = document::<Vec<f64>>(Tool::Hyperfine, "[1, x]").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the file is not what hyperfine writes: expected value (line 1, column 5)"
        );
    }
}
