//! A few lines that are drawn in place on a terminal, at most ten times a second.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::clock;
use crate::model::Plan;
use crate::search;
use crate::sweep::Progress;

/// How often lines are drawn at most, in a second.
const DRAWS_PER_SECOND: u8 = 10;

/// The lines of one sweep.
pub(super) struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    best: ProgressBar,
    now: ProgressBar,
    last: ProgressBar,
    machine: ProgressBar,
}

impl Live {
    /// Lines that begin after `trials` trials.
    pub(super) fn new(plan: &Plan, trials: usize) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let all = MultiProgress::with_draw_target(target);
        let style =
            |template| ProgressStyle::with_template(template).expect("the template is a constant");
        let expected = u64::from(search::expected_visits(plan)).max(trials as u64);
        let bar = ProgressBar::new(expected)
            .with_style(style("{bar:24} {pos}/{len} trials{prefix} {wide_msg}"));
        let line = |name: &'static str, text: &'static str| {
            let line =
                all.add(ProgressBar::new_spinner().with_style(style("{prefix:12}{wide_msg}")));
            line.set_prefix(name);
            line.set_message(text);
            line
        };
        let bar = all.add(bar);
        bar.set_position(trials as u64);
        Self {
            best: line("best so far", "the default, nothing else has run"),
            now: line("now", ""),
            last: line("before", ""),
            machine: line("machine", "quiet"),
            bar,
            all,
        }
    }

    /// What is being run.
    pub(super) fn now(&self, words: &str) {
        self.now.set_message(words.to_owned());
    }

    /// How far the sweep has come, and what the last trial gave.
    pub(super) fn finished(&self, progress: &Progress, words: &str) {
        self.bar.set_length(u64::from(progress.expected_trials));
        self.bar.set_position(u64::from(progress.trials));
        self.bar.set_prefix(format!(", ~{} left", clock(progress.remaining)));
        self.last.set_message(words.to_owned());
    }

    /// The fastest so far.
    pub(super) fn best(&self, words: &str) {
        self.best.set_message(words.to_owned());
    }

    /// Whether the machine is left alone.
    pub(super) fn machine(&self, words: &str) {
        self.machine.set_message(words.to_owned());
    }

    /// Prints something that stays above the lines.
    pub(super) fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Takes the lines away.
    pub(super) fn close(self) {
        for line in [&self.machine, &self.last, &self.now, &self.best, &self.bar] {
            line.finish_and_clear();
        }
    }
}
