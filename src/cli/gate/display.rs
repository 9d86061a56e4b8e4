//! What is shown while the gate measures.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Printer, Verbosity};
use crate::gate::{Arms, Progress};

/// A line that moves on a terminal, and a line per block for those who asked for more in a log.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    printer: Printer,
    title: String,
    begun: Instant,
    blocks: u32,
}

impl Display {
    pub(super) fn start(printer: Printer, title: &str) -> Self {
        let bar = printer.live().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.expect("the template is fixed"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, printer, title: title.to_owned(), begun: Instant::now(), blocks: 0 }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        let title = &self.title;
        match progress {
            Progress::Visiting { block, visit, arm } => {
                let side = if *arm == Arms::Base { "base" } else { "head" };
                self.moves(format!("{title}: block {block}, process {visit}: {side}"));
            }
            Progress::Block { blocks, next_look, open, took } => {
                self.blocks = *blocks;
                let next = next_look.map_or_else(
                    || "the last one".to_owned(),
                    |next| {
                        let left = took.as_secs_f64() * f64::from(next - blocks);
                        format!("the next verdict after {next}, in about {}", time(left))
                    },
                );
                let text = format!("{title}: block {blocks} done, {open} cells open, {next}");
                self.moves(text.clone());
                if self.bar.is_none() {
                    self.printer.say_at(Verbosity::Verbose, text);
                }
            }
            Progress::Dropped { reason } => {
                self.tell(Verbosity::Verbose, format!("{title}: a block is thrown away: {reason}"));
            }
            Progress::Again { arm, failure } => {
                let side = if *arm == Arms::Base { "base" } else { "head" };
                self.tell(Verbosity::Normal, format!("{title}: the {side} failed once: {failure}"));
            }
        }
    }

    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let took = time(self.begun.elapsed().as_secs_f64());
        let blocks = if self.blocks == 1 { "block" } else { "blocks" };
        self.printer.say(format!("{}: {} {blocks} in {took}", self.title, self.blocks));
    }

    fn moves(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    fn tell(&self, verbosity: Verbosity, text: String) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.say_at(verbosity, text)),
            None => self.printer.say_at(verbosity, text),
        }
    }
}

/// A span in words.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
