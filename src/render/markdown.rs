//! Text inside Markdown: from outside comes text, never markup.

/// The text as one line that Markdown shows as it is, in prose and in table cells.
pub(super) fn escaped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut escaped = String::with_capacity(text.len());
    for (place, &c) in letters.iter().enumerate() {
        let beside = |at: Option<usize>| {
            at.and_then(|at| letters.get(at)).is_some_and(|c| c.is_alphanumeric())
        };
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() => escaped.push('\u{fffd}'),
            // Within a word an underscore is no markup, and names are full of them.
            '_' if beside(place.checked_sub(1)) && beside(Some(place + 1)) => escaped.push('_'),
            // One tilde is our word for "no difference"; two would strike out.
            '~' if letters.get(place + 1) != Some(&'~')
                && (place == 0 || letters[place - 1] != '~') =>
            {
                escaped.push('~');
            }
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // Our own sentences set names in backticks; an odd one would open a span.
            '`' if letters.iter().filter(|c| **c == '`').count() % 2 == 1 => {
                escaped.push_str("\\`");
            }
            '#' | '+' | '-' if place == 0 && !beside(Some(1)) => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// The text as an inline code span, whatever backticks it has.
pub(super) fn code(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let fence = "`".repeat(longest_run(&clean) + 1);
    format!("{fence} {clean} {fence}").replace('|', "\\|")
}

/// The text as a code block, whatever backticks it has.
pub(super) fn fenced(text: &str) -> String {
    let held = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    let text: String = text.chars().map(held).collect();
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}sh\n{text}\n{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_is_never_markup() {
        for (text, shown) in [
            ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
            ("[x](http://y) | **b**", r"\[x\](http://y) \| \*\*b\*\*"),
            ("a\n# b", "a # b"),
            ("ggml_cpu_icelake _x_", r"ggml_cpu_icelake \_x\_"),
            ("~ +0.3 %", "~ +0.3 %"),
            ("~~gone~~", r"\~\~gone\~\~"),
            ("one ` tick", r"one \` tick"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn code_survives_backticks() {
        assert_eq!(code("a``b"), "``` a``b ```");
        assert!(fenced("```").starts_with("````sh\n"));
    }
}
