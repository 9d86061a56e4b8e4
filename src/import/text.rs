//! Outside text: whether it is text at all, numbers in it, and as much of it as a message can take.

use super::{ImportError, MAX_NAME_CHARS};

/// Most characters of outside text in a message.
const SHOWN_CHARS: usize = 80;

/// A file as text, without the mark that some editors put before it.
pub(super) fn decoded(bytes: &[u8]) -> Result<&str, ImportError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ImportError::NotUtf8 { offset: error.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() { Err(ImportError::Empty) } else { Ok(text) }
}

/// A name that is at most [`MAX_NAME_CHARS`] long: both ends of a longer one.
pub(super) fn bounded(name: &str) -> String {
    shortened(name, MAX_NAME_CHARS)
}

/// Outside text for a message: short, and without anything that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    shortened(text, SHOWN_CHARS).escape_debug().to_string()
}

fn shortened(text: &str, limit: usize) -> String {
    // As many bytes are at least as many characters.
    if text.len() <= limit {
        return text.to_owned();
    }
    let characters = text.chars().count();
    if characters <= limit {
        return text.to_owned();
    }
    let head = limit / 2;
    let tail = limit - head - 1;
    let end = text.chars().skip(characters - tail);
    text.chars().take(head).chain(['…']).chain(end).collect()
}

/// The number in a piece of text; the error is the reason why it is none.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| {
        if text.is_empty() { "is blank".to_owned() } else { format!("is `{}`", shown(text)) }
    })?;
    // Rust reads `inf` and `nan` too: those are left to the check that every value passes.
    if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
        return Err(format!("is `{}`, beyond what 64 bits can hold", shown(text)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends() {
        let name = format!("start{}end", "ü".repeat(400));
        let short = bounded(&name);
        assert_eq!(short.chars().count(), MAX_NAME_CHARS);
        assert!(short.starts_with("startü") && short.ends_with("üend"), "{short}");
        assert_eq!(bounded(&"ü".repeat(300)), "ü".repeat(300));
        assert_eq!(shown("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
    }

    #[test]
    fn a_mark_before_the_text_is_no_text() {
        assert_eq!(decoded(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert!(matches!(decoded(b"\xef\xbb\xbf \n"), Err(ImportError::Empty)));
        assert!(matches!(decoded(b"ab\xff"), Err(ImportError::NotUtf8 { offset: 2 })));
    }

    #[test]
    fn numbers_say_why_they_are_none() {
        assert_eq!(number("1.5e-3"), Ok(1.5e-3));
        assert_eq!(number("1,5"), Err("is `1,5`".to_owned()));
        assert_eq!(number(""), Err("is blank".to_owned()));
        assert!(number("1e999").unwrap_err().contains("64 bits"));
        assert!(number("nan").unwrap().is_nan());
    }
}
