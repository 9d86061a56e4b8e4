//! What is seen of a running sweep: a few lines in place on a terminal, plain lines in a log,
//! nothing with `--quiet`; and the same as JSON lines in a file.

mod events;
mod live;

use std::time::Duration;

use super::global::one_line;
use super::{Printer, Verbosity};
use crate::analysis;
use crate::knob;
use crate::model::{Outcome, Plan, Purpose, Source, Trial, TriedSetting};
use crate::search::Ask;
use crate::sweep::{Event, Progress};
pub(super) use events::Events;
use live::Live;

/// The display of one sweep.
pub(super) struct Display<'a> {
    printer: Printer,
    plan: &'a Plan,
    trials: Vec<Trial>,
    live: Option<Live>,
    events: Option<Events>,
    phase: Option<Purpose>,
}

impl<'a> Display<'a> {
    /// A display that begins at these trials; `events`: where the same goes as JSON lines.
    pub(super) fn new(
        printer: Printer,
        plan: &'a Plan,
        trials: &[Trial],
        events: Option<Events>,
    ) -> Self {
        let live = printer.live().then(|| Live::new(plan, trials.len()));
        Self { printer, plan, trials: trials.to_vec(), live, events, phase: None }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Asked { ask, id } => self.asked(ask, *id),
            Event::Finished { trial, progress } => self.finished(trial, progress),
            Event::NotCached { error } => self.line(&one_line(&error.to_string())),
        }
    }

    /// Takes the lines away; `reason`: why the sweep ended.
    pub(super) fn close(mut self, reason: &str) {
        if let Some(events) = &mut self.events {
            let warning = events.ended(reason, self.trials.len());
            self.warn(warning);
        }
        if let Some(live) = self.live {
            live.close();
        }
    }

    fn asked(&mut self, ask: &Ask, id: u32) {
        let begins = self.phase.replace(ask.purpose) != Some(ask.purpose);
        if begins {
            self.line(heading(ask.purpose));
        }
        let words = setting_words(self.plan, &ask.setting);
        if let Some(live) = &self.live {
            live.now(&words);
        }
        if let Some(events) = &mut self.events {
            let phase = begins.then(|| events.phase(ask.purpose)).flatten();
            let asked = events.asked(ask, id, &words);
            self.warn(phase.or(asked));
        }
    }

    fn finished(&mut self, trial: &Trial, progress: &Progress) {
        self.trials.push(trial.clone());
        let mut words = setting_words(self.plan, &trial.asked);
        if trial.work.depth != self.plan.protocol.slice.depth {
            words = format!("{words}, after {} tokens", trial.work.depth);
        }
        let result = result_words(trial);
        let best = analysis::leader(self.plan, &self.trials);
        if let Some(live) = &self.live {
            live.finished(progress, &format!("{words}: {result}"));
            live.best(&best_words(self.plan, best.as_ref()));
            live.machine(&machine_words(&self.trials));
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
        if let Some(events) = &mut self.events {
            let warning = events.finished(trial, progress, &words, best.as_ref());
            self.warn(warning);
        }
        if self.printer.verbosity >= Verbosity::Verbose {
            trial.caveats.iter().for_each(|caveat| self.line(&format!("  {}", one_line(caveat))));
        }
    }

    fn warn(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            self.line(&warning);
        }
    }

    fn line(&self, text: &str) {
        match &self.live {
            Some(live) => live.above(|| self.printer.say(text)),
            None => self.printer.say(text),
        }
    }
}

/// The fastest so far against the default, with how much that is worth.
fn best_words(plan: &Plan, best: Option<&TriedSetting>) -> String {
    let Some(best) = best else { return "the default, nothing else has run".to_owned() };
    if best.setting == plan.baseline {
        return "the default".to_owned();
    }
    let percent = 100.0 * (best.speed.value - 1.0);
    let looks = match best.speed.n {
        1 => "one look".to_owned(),
        looks => format!("{looks} looks"),
    };
    format!("{percent:+.0} % ({looks}): {}", setting_words(plan, &best.setting))
}

/// Whether the machine was left alone, by the doubts of the trials.
fn machine_words(trials: &[Trial]) -> String {
    let disturbed = |trial: &Trial| trial.is_disturbed();
    let all = trials.iter().filter(|trial| disturbed(trial)).count();
    let last = trials.last().filter(|trial| disturbed(trial));
    let doubt = last.and_then(|trial| {
        trial.caveats.iter().find(|doubt| Trial::is_of_the_machine(doubt)).map(|it| one_line(it))
    });
    match (doubt, all) {
        (Some(doubt), _) => doubt,
        (None, 0) => "quiet".to_owned(),
        (None, all) => format!("quiet now; {all} of {} trials were disturbed", trials.len()),
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
