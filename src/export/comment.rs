//! Lines of comments: text from outside can neither end one nor begin something else.

/// Columns that a comment takes at most, unless a single word is longer.
const WIDTH: usize = 96;

/// The text as comment lines that begin with `mark`, each ended; later lines are indented.
pub(super) fn lines(mark: &str, text: &str) -> String {
    let mut lines = vec![mark.to_owned()];
    for word in clean(text).split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is a first line");
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > mark.len() + 2 {
            lines.push(format!("{mark}   {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// The text on one line, with nothing in it that is not seen.
pub(super) fn clean(text: &str) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().map(|c| if unseen(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_line_of_a_comment_is_one(text in ".{0,300}") {
            let made = lines("#", &text);
            prop_assert!(made.ends_with('\n'));
            for line in made.split_terminator('\n') {
                prop_assert!(line.starts_with('#') && !line.contains(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        let made = lines("#", &"word ".repeat(60));
        assert!(made.lines().count() > 2 && made.lines().all(|line| line.len() <= WIDTH), "{made}");
        assert_eq!(lines("#", "a\nrm -rf /"), "# a\u{fffd}rm -rf /\n");
    }
}
