//! What is being done just now: a line that moves on terminals, lines one below the other elsewhere.

use std::time::Duration;

use indicatif::ProgressBar;

use super::{Printer, global};

/// The line.
pub(super) struct Activity {
    printer: Printer,
    bar: ProgressBar,
}

impl Activity {
    pub(super) fn new(printer: Printer) -> Self {
        let bar = printer.bar("{spinner} {wide_msg} {elapsed}", None);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { printer, bar }
    }

    /// Something else is done.
    pub(super) fn say(&self, words: &str) {
        if self.printer.live() {
            self.bar.set_message(global::one_line(words));
        } else {
            self.printer.say(global::one_line(words));
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
