//! What llama.cpp and ggml say, kept as the last few hundred lines. Which of them mean a failure
//! is left to [`super::verdict`].

use std::collections::VecDeque;
use std::ffi::{c_char, c_void};
use std::io::Write;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use llama_cpp_sys_2 as sys;

use super::text;

/// Lines kept; a model load says about 150.
const LINES: usize = 400;
/// Lines kept of work whose every line is wanted: two for each tensor of the largest models.
const MOST_COLLECTED: usize = 1 << 19;
/// Bytes kept of one line.
const LINE_BYTES: usize = 2000;

static LOG: Mutex<Log> = Mutex::new(Log::new());
static INSTALLED: Once = Once::new();

#[derive(Debug)]
struct Log {
    lines: VecDeque<String>,
    /// Lines ever begun and dropped from the front, so that a [`Mark`] stays true.
    dropped: usize,
    partial: String,
    echo: bool,
    /// Everything that is said, while somebody wants it.
    collected: Option<Vec<String>>,
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

impl Log {
    const fn new() -> Self {
        Self {
            lines: VecDeque::new(),
            dropped: 0,
            partial: String::new(),
            echo: false,
            collected: None,
        }
    }

    /// Messages come in pieces: a line ends where a newline says so, whatever the level.
    fn write(&mut self, piece: &str) {
        for part in piece.split_inclusive('\n') {
            let room = LINE_BYTES.saturating_sub(self.partial.len());
            let text = part.trim_end_matches(['\n', '\r']);
            self.partial.extend(text.chars().take(room));
            if part.ends_with('\n') {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        if line.trim().is_empty() {
            return;
        }
        if self.echo {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
        if let Some(collected) = &mut self.collected
            && collected.len() < MOST_COLLECTED
        {
            collected.push(line.clone());
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    fn since(&self, mark: Mark) -> Vec<String> {
        self.lines.iter().skip(mark.0.saturating_sub(self.dropped)).cloned().collect()
    }
}

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Also writes every line to stderr as it comes: the last words of a process that dies.
pub fn echo_to_stderr() {
    log().echo = true;
}

/// Takes over the log of llama.cpp and ggml, and the last message before ggml aborts.
pub(super) fn capture() {
    INSTALLED.call_once(|| {
        // SAFETY: both callbacks are functions that live as long as the program, take no user
        // data, and never unwind into C.
        unsafe {
            sys::llama_log_set(Some(on_message), ptr::null_mut());
            sys::ggml_set_abort_callback(Some(on_abort));
        }
    });
}

/// Adds a line of our own.
pub(super) fn note(line: &str) {
    log().write(&format!("{line}\n"));
}

/// Does some work and gives every line that was said during it.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    log().collected = Some(Vec::new());
    let result = work();
    (result, log().collected.take().unwrap_or_default())
}

/// Where the log stands now.
pub(super) fn mark() -> Mark {
    let log = log();
    Mark(log.dropped + log.lines.len())
}

/// What was said since then, as far as it is still kept.
pub(super) fn since(mark: Mark) -> Vec<String> {
    log().since(mark)
}

unsafe extern "C" fn on_message(level: sys::ggml_log_level, piece: *const c_char, _: *mut c_void) {
    let _ = catch_unwind(|| {
        if level != sys::GGML_LOG_LEVEL_DEBUG {
            log().write(&text(piece));
        }
    });
}

unsafe extern "C" fn on_abort(message: *const c_char) {
    let _ = catch_unwind(|| {
        let mut log = log();
        log.write("\n");
        log.write(&format!("{}{}\n", crate::worker::ABORT_MARK, text(message)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_said_in_pieces_is_one_line() {
        let mut log = Log::new();
        for piece in ["load: ", "....", "..\nnext", " line\n\n"] {
            log.write(piece);
        }
        assert_eq!(log.lines, ["load: ......", "next line"]);
    }

    #[test]
    fn a_mark_survives_lines_that_were_dropped() {
        let mut log = Log::new();
        (0..LINES).for_each(|n| log.write(&format!("old {n}\n")));
        let mark = Mark(log.dropped + log.lines.len());
        (0..3).for_each(|n| log.write(&format!("new {n}\n")));
        assert_eq!(log.lines.len(), LINES);
        assert_eq!(log.since(mark), ["new 0", "new 1", "new 2"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut log = Log::new();
        (0..1000).for_each(|_| log.write("0123456789"));
        log.write("\n");
        assert_eq!(log.lines[0].len(), LINE_BYTES);
    }
}
