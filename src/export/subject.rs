//! What is handed over: one setting of a run, with what is known of it.

use autotune_engine::api::Setting;

use super::{command, cost, unsaid};
use crate::knob::{self, Knob, Tool};
use crate::model::{Candidate, Findings, Level, Machine, Plan, Verdict};

/// Which of a run's two settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The best one that was found.
    Tuned,
    /// What llama-server would run.
    Default,
}

impl Choice {
    /// The word for it on the command line and in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::Default => "default",
        }
    }
}

/// One setting of a run, with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the sweep set out to do.
    pub plan: &'a Plan,
    /// What it found.
    pub findings: &'a Findings,
    /// Where it ran.
    pub machine: &'a Machine,
    /// Name of the run, for people.
    pub run: &'a str,
    /// Which setting.
    pub choice: Choice,
    /// The model's file, absolute for targets that run in a folder of their own.
    pub model: &'a str,
}

impl Subject<'_> {
    /// The setting with its measured numbers.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        match self.choice {
            Choice::Tuned => &self.findings.best,
            Choice::Default => &self.findings.baseline,
        }
    }

    /// The setting.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.candidate().setting
    }

    /// Folder and name of the model's file; the folder is `.` where there is none.
    pub(super) fn folder_and_file(&self) -> (&str, &str) {
        match self.model.rsplit_once('/') {
            Some(("", file)) => ("/", file),
            Some((folder, file)) => (folder, file),
            None => (".", self.model),
        }
    }

    /// Name of the model's file without its ending.
    pub(super) fn stem(&self) -> &str {
        let file = self.folder_and_file().1;
        file.strip_suffix(".gguf").filter(|stem| !stem.is_empty()).unwrap_or(file)
    }

    /// Names of the knobs that were searched.
    pub(super) fn tuned(&self) -> Vec<&str> {
        self.plan.axes.iter().map(|axis| axis.knob.as_str()).collect()
    }

    /// Arguments of one of llama.cpp's programs for a model in this place.
    pub(super) fn arguments(&self, tool: Tool, model: &str) -> Vec<String> {
        command::arguments(tool, self.setting(), model, &self.plan.workload, &self.tuned())
    }

    /// What one of llama.cpp's programs cannot be told, by its flags or from outside.
    pub(super) fn notes(&self, tool: Tool) -> Vec<String> {
        let (setting, tuned) = (self.setting(), self.tuned());
        let mut notes = unsaid::special(tool, setting, &tuned);
        if !tuned.contains(&knob::IsaVariantKnob.name()) && self.passes_over_a_variant() {
            notes.extend(unsaid::variant(tool, setting));
        }
        let unsaid = unsaid::unsaid(tool, setting, &tuned);
        let rest = unsaid.iter().filter(|(knob, _)| !unsaid::is_wrapped(knob.name(), setting));
        notes.extend(rest.map(|(knob, level)| self.unsaid(command::program(tool), *knob, level)));
        notes
    }

    /// `LM Studio has no word for `ubatch`, which is 256: alone it gave +4.2 % [+1.0 %, +7.5 %]`.
    pub(super) fn unsaid(&self, who: &str, knob: &dyn Knob, level: &Level) -> String {
        let said = format!("{who} has no word for `{}`, which is {level}", knob.name());
        match self.choice {
            Choice::Tuned => format!("{said}: {}", cost::of(self.findings, knob.name())),
            Choice::Default => said,
        }
    }

    /// Whether llama.cpp by itself would load a CPU variant that does not run here.
    fn passes_over_a_variant(&self) -> bool {
        let own = self.setting().process.isa_variant.as_deref();
        let usable = self.plan.variants.iter().find(|variant| variant.usable());
        let first = self.plan.variants.first();
        own.is_some() && usable.map(|it| &it.name) != first.map(|it| &it.name)
    }

    /// Where this comes from, a line each.
    pub(super) fn provenance(&self) -> Vec<String> {
        let (plan, engine) = (self.plan, &self.plan.engine);
        let version = env!("CARGO_PKG_VERSION");
        let mut lines = vec![
            format!(
                "autotune {version}: the {} setting of {} for the workload `{}`",
                self.choice.word(),
                self.run,
                plan.workload.name
            ),
            format!(
                "measured with {} {} (ggml {}) on {}",
                engine.name,
                engine.version,
                engine.ggml_version,
                self.machine.cpu.model.as_deref().unwrap_or("a processor that was not named")
            ),
        ];
        if engine.synthetic {
            lines.push("measured on a simulated machine: these numbers are of no real one".into());
        }
        if let (Choice::Tuned, Verdict::Confirmed { turn, .. }) =
            (self.choice, &self.findings.verdict)
        {
            let speed = cost::times(&turn.speed_ratio);
            lines.push(format!("{speed} as fast as the default, {} pairs", turn.speed_ratio.n));
        }
        lines
    }
}
