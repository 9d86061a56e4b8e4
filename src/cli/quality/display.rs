//! A line on stderr while models read.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::appraise::Looking;
use crate::cli::{Printer, global};

/// The line.
pub(in crate::cli) struct Display {
    bar: ProgressBar,
}

impl Display {
    /// Hidden where nobody looks.
    pub(in crate::cli) fn new(printer: Printer) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "chunk {pos}/{len} {eta:>4}  {wide_msg}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("a template that indicatif knows"));
        if printer.live() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Self { bar }
    }

    /// After each chunk.
    pub(in crate::cli) fn show(&self, looking: Looking<'_>) {
        self.bar.set_length(u64::from(looking.planned));
        self.bar.set_position(u64::from(looking.done));
        let known = looking.candidates.iter().filter_map(|(name, scores)| {
            let mean = scores.mean_divergence()?;
            let se = mean.se.map_or(String::new(), |se| format!(" ± {se:.4}"));
            Some(format!("{} {:.4}{se}", global::one_line(name), mean.mean))
        });
        self.bar.set_message(known.collect::<Vec<_>>().join(", "));
    }

    /// Something else is done.
    pub(in crate::cli) fn say(&self, words: &str) {
        self.bar.set_message(global::one_line(words));
    }

    /// Takes the line away.
    pub(in crate::cli) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
