//! The last lines that a child process wrote.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Lines kept.
const LINES: usize = 400;
/// Bytes kept of one line.
const LINE_BYTES: u64 = 2000;

/// The last lines of a stream, filled by a thread of its own until the other end is closed, so
/// that a full pipe never stops who writes. At most 400 lines of 2000 bytes are kept.
#[derive(Debug, Clone, Default)]
pub struct Ring(Arc<Mutex<VecDeque<String>>>);

impl Ring {
    /// Reads until the end, and keeps the last lines.
    pub fn fill_from(&self, stream: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let ring = self.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            // A line without an end counts as several, so that nothing grows without bound.
            while matches!(
                stream.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line),
                Ok(read) if read > 0
            ) {
                ring.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        })
    }

    fn push(&self, line: String) {
        let mut lines = self.lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last `count` lines.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_stay_and_long_ones_are_split() {
        let ring = Ring::default();
        let text: Vec<String> = (0..LINES + 5).map(|n| format!("line {n}")).collect();
        ring.fill_from(std::io::Cursor::new(text.join("\n"))).join().unwrap();
        assert_eq!(ring.lines().len(), LINES);
        assert_eq!(ring.last(1), [format!("line {}", LINES + 4)]);
        ring.fill_from(std::io::repeat(b'x').take(LINE_BYTES + 1)).join().unwrap();
        assert_eq!(ring.last(1), ["x"]);
    }
}
