//! A comment for a pull request. Posting it is left to others.

use super::page::page;
use crate::model::GateReport;

/// The first line, by which the comment of an earlier run is found and replaced.
pub const MARKER: &str = "<!-- autotune-gate -->";

/// What GitHub takes as one comment, in characters; bytes are never fewer.
const LIMIT_BYTES: usize = 65_536;

/// The report as Markdown that starts with [`MARKER`].
#[must_use]
pub fn comment(report: &GateReport) -> String {
    page(report, &format!("{MARKER}\n"), LIMIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// How many bars part the cells of each row; an escaped one parts nothing.
    fn bars(page: &str) -> Vec<usize> {
        let rows = page.lines().filter(|line| line.starts_with('|'));
        rows.map(|row| row.replace("\\|", "").matches('|').count()).collect()
    }

    /// The page without code, in which nothing has a meaning: from a run of backticks to the next
    /// one of the same length.
    fn without_code(page: &str) -> String {
        let (mut text, mut rest) = (String::new(), page);
        while let Some(start) = rest.find('`') {
            text.push_str(&rest[..start]);
            let fence = rest[start..].chars().take_while(|c| *c == '`').count();
            rest = &rest[start + fence..];
            loop {
                let at = rest.find('`').expect("code that ends");
                let run = rest[at..].chars().take_while(|c| *c == '`').count();
                rest = &rest[at + run..];
                if run == fence {
                    break;
                }
            }
        }
        text + rest
    }

    #[test]
    fn regressions_come_first_and_passes_are_folded() {
        let page = comment(&fixture::report());
        assert_eq!(page.lines().next(), Some(MARKER));
        let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part}:\n{page}"));
        assert!(at("**FAIL**") < at("missing") && at("missing") < at("<details>"));
        assert!(
            at("<details>") < at("tiny-q4_0/tg128") && at("tiny-q4_0/tg128") < at("</details>")
        );
        at("slowdowns from 5.2 % on");
        at("Machine: 0123456789ab: x86");
        at("```sh\nautotune gate ab --base old --head new\n```");
    }

    #[test]
    fn a_comment_keeps_to_its_size_and_says_what_it_left_out() {
        let page = comment(&fixture::crowded());
        assert!(page.len() <= LIMIT_BYTES && page.len() > LIMIT_BYTES * 9 / 10, "{}", page.len());
        assert!(page.contains("more passing cells had no room here"));
        assert!(page.contains("**FAIL**") && page.contains("To reproduce it"));
        let mut report = fixture::crowded();
        report.cells.reverse();
        for cell in &mut report.cells {
            *cell = crate::model::GateCell { name: cell.name.clone(), ..fixture::failing() };
        }
        let page = comment(&report);
        assert!(page.len() <= LIMIT_BYTES, "{}", page.len());
        assert!(page.contains("more cells that do not pass had no room here"));
    }

    #[test]
    fn outside_text_is_never_markup_and_calls_nobody() {
        let page = comment(&fixture::hostile());
        assert!(page.len() <= LIMIT_BYTES);
        let text = without_code(&page);
        assert!(!text.contains("@team"), "{text}");
        assert!(!text.replace("\\<", "").contains("<script"), "{text}");
        assert_eq!(bars(&page), [[8; 9].as_slice(), &[6; 3]].concat(), "{page}");
        assert_eq!(page.matches(MARKER).count(), 1);
        assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    }
}
