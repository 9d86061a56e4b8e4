//! What is seen while servers are compared: a bar on a terminal, lines in a log.

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Printer;
use crate::cli::global::one_line;
use crate::model::Side;
use crate::verify::Event;

/// The display of one comparison.
pub(super) struct Display {
    printer: Printer,
    bar: Option<ProgressBar>,
    pairs: u32,
    /// Servers: with one, nothing is called a default.
    servers: u32,
}

impl Display {
    pub(super) fn new(printer: Printer, pairs: u32, servers: u32) -> Self {
        let bar = printer.live().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {eta} left {wide_msg}")
                .expect("the template is a constant");
            ProgressBar::new(u64::from(pairs * servers)).with_style(style)
        });
        Self { printer, bar, pairs, servers }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Begun { side, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("asking the {}", self.name(*side)));
                    bar.tick();
                }
            }
            Event::Visited { side, pair, visit } => {
                let line = format!(
                    "[{pair}/{}] {}: {:.3} s per turn",
                    self.pairs,
                    self.name(*side),
                    visit.turn_s
                );
                match &self.bar {
                    Some(bar) => bar.inc(1),
                    None => self.printer.say(line),
                }
            }
            Event::Failed { reason } => {
                let line = format!("a visit is repeated: {}", one_line(reason));
                match &self.bar {
                    Some(bar) => bar.suspend(|| self.printer.say(line)),
                    None => self.printer.say(line),
                }
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn close(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn name(&self, side: Side) -> &'static str {
        match side {
            _ if self.servers < 2 => "server",
            Side::Default => "default setting",
            Side::Tuned => "tuned setting",
        }
    }
}
