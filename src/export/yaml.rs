//! Just enough YAML to write: maps, lists, numbers, and strings that are always in double quotes.
//!
//! Quoted strings are read alike by every parser of YAML 1.1 and 1.2, whatever they hold; plain
//! ones such as `no`, `0x15` or `12:30` are not.

use std::fmt::Write as _;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A string.
    Text(String),
    /// Lines of a block, each without a control character and not empty.
    Block(Vec<String>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// A list.
    List(Vec<Yaml>),
    /// A map in the order it is written.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// A string.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of strings.
    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A map with plain names.
    pub(super) fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Yaml)>) -> Self {
        Self::Map(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The document.
    pub(super) fn document(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, indent: usize) {
        match self {
            Self::Map(pairs) => {
                for (name, value) in pairs {
                    let _ = write!(text, "{:indent$}{}:", "", key(name));
                    value.write_after(text, indent);
                }
            }
            Self::List(items) => {
                for item in items {
                    let _ = write!(text, "{:indent$}-", "");
                    item.write_item(text, indent);
                }
            }
            scalar => scalar.write_after(text, indent),
        }
    }

    /// What follows `name:`.
    fn write_after(&self, text: &mut String, indent: usize) {
        match self {
            Self::Map(pairs) if pairs.is_empty() => text.push_str(" {}\n"),
            Self::List(items) if items.is_empty() => text.push_str(" []\n"),
            Self::Map(_) | Self::List(_) => {
                text.push('\n');
                self.write(text, indent + 2);
            }
            Self::Block(lines) => {
                text.push_str(" |\n");
                for line in lines {
                    let _ = writeln!(text, "{:width$}{line}", "", width = indent + 2);
                }
            }
            Self::Text(value) => {
                let _ = writeln!(text, " {}", quoted(value));
            }
            Self::Number(number) => {
                let _ = writeln!(text, " {number}");
            }
            Self::Bool(value) => {
                let _ = writeln!(text, " {value}");
            }
        }
    }

    /// What follows `-`: a map begins on the same line.
    fn write_item(&self, text: &mut String, indent: usize) {
        match self {
            Self::Map(pairs) if !pairs.is_empty() => {
                let mut inner = String::new();
                self.write(&mut inner, indent + 2);
                text.push(' ');
                text.push_str(inner.trim_start_matches(' '));
            }
            other => other.write_after(text, indent),
        }
    }
}

/// A name in a map: plain where it is one of a schema, else quoted.
fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    // Words that some parsers take for something else.
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let taken = words.contains(&name.to_ascii_lowercase().as_str());
    if begins && !taken && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}

/// A string in double quotes, with escapes for all that does not print.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if prints(c) => out.push(c),
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out + "\""
}

/// Whether a character may stand in a document as it is, and is seen there.
fn prints(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parser_reads_back_every_string_and_name(text in ".{0,40}", name in ".{1,20}") {
            let document = Yaml::Map(vec![(name.clone(), Yaml::texts([text.clone()]))]).document();
            let read: BTreeMap<String, Vec<String>> = serde_saphyr::from_str(&document).unwrap();
            prop_assert_eq!(read, BTreeMap::from([(name, vec![text])]), "{}", document);
        }
    }

    #[test]
    fn maps_in_lists_and_lists_in_maps_keep_their_shape() {
        let item = Yaml::map([("a", Yaml::Number(1)), ("b", Yaml::texts(["yes", "0x10"]))]);
        let block = Yaml::Block(vec!["one # two".into(), "--three".into()]);
        let empty = Yaml::Map(Vec::new());
        let document =
            Yaml::map([("list", Yaml::List(vec![item])), ("text", block), ("none", empty)])
                .document();
        assert_eq!(
            document,
            "list:\n  - a: 1\n    b:\n      - \"yes\"\n      - \"0x10\"\ntext: |\n  one # two\n  \
             --three\nnone: {}\n"
        );
        let read: serde_json::Value = serde_saphyr::from_str(&document).unwrap();
        assert_eq!(read["list"][0]["b"][1], "0x10");
        assert_eq!(read["text"], "one # two\n--three\n");
    }
}
