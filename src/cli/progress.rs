//! What is seen of a running sweep: a bar on a terminal, lines in a log, nothing with `--quiet`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::global::one_line;
use super::{Printer, Verbosity};
use crate::knob;
use crate::model::{Outcome, Plan, Purpose, Source, Trial};
use crate::search::{self, Ask};
use crate::sweep::{Event, Progress};

/// The display of one sweep.
pub(super) struct Display<'a> {
    printer: Printer,
    plan: &'a Plan,
    bar: Option<ProgressBar>,
    phase: Option<Purpose>,
}

impl<'a> Display<'a> {
    /// A display that begins at these trials.
    pub(super) fn new(printer: Printer, plan: &'a Plan, trials: &[Trial]) -> Self {
        let bar = printer.live().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {prefix} {wide_msg}")
                .expect("the template is a constant");
            let expected = u64::from(search::expected_visits(plan));
            let bar = ProgressBar::new(expected.max(trials.len() as u64)).with_style(style);
            bar.set_position(trials.len() as u64);
            bar
        });
        Self { printer, plan, bar, phase: None }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Asked { ask, .. } => self.asked(ask),
            Event::Finished { trial, progress } => self.finished(trial, progress),
            Event::NotCached { error } => self.line(&one_line(&error.to_string())),
        }
    }

    /// Takes the bar away.
    pub(super) fn close(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn asked(&mut self, ask: &Ask) {
        if self.phase.replace(ask.purpose) != Some(ask.purpose) {
            self.line(heading(ask.purpose));
        }
        if let Some(bar) = &self.bar {
            bar.set_message(setting_words(self.plan, &ask.setting));
        }
    }

    fn finished(&self, trial: &Trial, progress: &Progress) {
        let mut words = setting_words(self.plan, &trial.asked);
        if trial.work.depth != self.plan.protocol.slice.depth {
            words = format!("{words}, after {} tokens", trial.work.depth);
        }
        let result = result_words(trial);
        if let Some(bar) = &self.bar {
            bar.set_length(u64::from(progress.expected_trials));
            bar.set_position(u64::from(progress.trials));
            bar.set_prefix(format!("~{} left", clock(progress.remaining)));
            if matches!(trial.outcome, Outcome::Failed(_)) {
                self.line(&format!("{words}: {result}"));
            }
        } else {
            self.line(&format!(
                "[{}/{} ~{} left] {words}: {result}",
                progress.trials,
                progress.expected_trials,
                clock(progress.remaining)
            ));
        }
        if self.printer.verbosity >= Verbosity::Verbose {
            trial.caveats.iter().for_each(|caveat| self.line(&format!("  {}", one_line(caveat))));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.printer.say(text)),
            None => self.printer.say(text),
        }
    }
}

fn heading(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Fitness => "comparing the default with itself: what this machine resolves",
        Purpose::Search => "searching: one look at each setting, the default in between",
        Purpose::Finalist => "comparing the best few in rounds",
        Purpose::Certify => "racing the last few until none can be much better",
        Purpose::Confirm => "confirming the winner against the default in pairs",
        Purpose::Soak => "running the winner for minutes on end",
        Purpose::Ablation => "taking the winner apart, one change at a time",
        Purpose::Curve => "measuring curves around the best setting",
        Purpose::Audit => "looking at settings by chance to judge the search",
    }
}

/// A setting by what it changes: `threads 8, ubatch 256`, or `default`.
fn setting_words(plan: &Plan, setting: &autotune_engine::api::Setting) -> String {
    let changes: Vec<String> = knob::changed(&plan.baseline, setting)
        .into_iter()
        .map(|(knob, _, level)| format!("{} {level}", knob.name()))
        .collect();
    if changes.is_empty() { "default".to_owned() } else { one_line(&changes.join(", ")) }
}

/// The speeds of a trial, or what happened instead.
fn result_words(trial: &Trial) -> String {
    let rate = |tokens: u64, nanoseconds: u64, word: &str| {
        let seconds = nanoseconds as f64 / 1e9;
        (tokens > 0 && nanoseconds > 0).then(|| {
            let rate = autotune_engine::api::TokenRate(tokens as f64 / seconds);
            format!("{word} {rate} tok/s")
        })
    };
    match &trial.outcome {
        Outcome::Measured(measured) => {
            let Some(sample) = measured.samples.first() else { return "no sample".to_owned() };
            let prefill = rate(trial.work.all_prompt_tokens(), sample.prefill_ns, "prefill");
            let decode = rate(trial.work.all_generated_tokens(), sample.decode_ns, "decode");
            let cached = (trial.source == Source::Cache).then(|| "from the cache".to_owned());
            [prefill, decode, cached].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Outcome::NotRun(not_run) => one_line(&not_run.reason),
        Outcome::Failed(failure) => one_line(&failure.to_string()),
    }
}

/// Minutes and seconds: `3:07`.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_reads_as_a_clock() {
        for (seconds, text) in [(0, "0:00"), (67, "1:07"), (3600, "60:00")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
