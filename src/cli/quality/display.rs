//! A line on stderr while models read.

use indicatif::ProgressBar;

use crate::appraise::Looking;
use crate::cli::{Printer, global};

/// The line.
pub(super) struct Display {
    bar: ProgressBar,
}

impl Display {
    /// Hidden where nobody looks.
    pub(super) fn new(printer: Printer) -> Self {
        Self { bar: printer.bar("chunk {pos}/{len} {eta:>4}  {wide_msg}", None) }
    }

    /// After each chunk.
    pub(super) fn show(&self, looking: Looking<'_>) {
        self.bar.set_length(u64::from(looking.planned));
        self.bar.set_position(u64::from(looking.done));
        let known = looking.candidates.iter().filter_map(|(name, scores)| {
            let mean = scores.mean_divergence()?;
            let se = mean.se.map_or(String::new(), |se| format!(" ± {se:.4}"));
            Some(format!("{} {:.4}{se}", global::one_line(name), mean.mean))
        });
        self.bar.set_message(known.collect::<Vec<_>>().join(", "));
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
