//! Columns of text for a terminal, and names that are too long for them.

/// A column: its head, and which side its cells keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) side: Side,
}

/// The side that cells keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A column of words.
pub(super) const fn words(head: &'static str) -> Column {
    Column { head, side: Side::Left }
}

/// A column of numbers.
pub(super) const fn numbers(head: &'static str) -> Column {
    Column { head, side: Side::Right }
}

/// Head and rows as lines with two blanks between columns.
pub(super) fn lines(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
    let all = || std::iter::once(&heads).chain(rows);
    let width = |at: usize| {
        let cells = all().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells =
            row.iter().zip(columns).zip(&widths).map(|((cell, column), width)| match column.side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

/// The widest of lines, in characters.
pub(super) fn widest(lines: &[String]) -> usize {
    lines.iter().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// A name of at most so many characters, shortened in the middle: names of quantizations differ
/// at their ends.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= most {
        return name.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept / 2, kept - kept / 2);
    let tail = &letters[letters.len() - tail..];
    letters[..head].iter().chain(['…'].iter().take(most)).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_loses_its_middle() {
        assert_eq!(shortened("Llama-3-8B-Instruct-Q4_K_M", 13), "Llama-…Q4_K_M");
        assert_eq!(shortened("Q4_K_M", 6), "Q4_K_M");
        assert_eq!(shortened("Q4_K_M", 1), "…");
        assert_eq!(shortened("Q4_K_M", 0), "");
    }

    #[test]
    fn numbers_stand_right_and_words_left() {
        let rows = vec![vec!["Q4".to_owned(), "4.89".to_owned()]];
        let shown = lines(&[words("name"), numbers("bits")], &rows);
        assert_eq!(shown, ["name  bits", "Q4    4.89"]);
    }
}
