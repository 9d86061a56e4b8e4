//! What a template sees. These types are a contract with users' own templates: chosen on purpose,
//! every value already text, nothing internal.

use serde::Serialize;

/// Everything a report shows.
#[derive(Debug, Clone, Serialize)]
pub struct ReportView {
    /// Version of these names: `autotune.report/1`.
    pub schema: &'static str,
    /// Title of the document.
    pub title: String,
    /// The command that made the run.
    pub command: String,
    /// Version of `autotune` that ran it.
    pub version: String,
    /// When the run was planned.
    pub measured_at: String,
    /// When this document was made.
    pub rendered_at: String,
    /// Version of `autotune` that made this document.
    pub renderer: String,
    /// The machine in one line.
    pub machine: String,
    /// The engine's identity in one line.
    pub engine: String,
    /// What nobody may overlook: synthetic runs and models, crashes, one sentence each.
    pub marks: Vec<MarkView>,
    /// The first screen.
    pub summary: SummaryView,
    /// Everything else, in order.
    pub sections: Vec<SectionView>,
    /// Every trial.
    pub trials: Vec<TrialView>,
}

/// A sentence that nobody may overlook.
#[derive(Debug, Clone, Serialize)]
pub struct MarkView {
    /// `synthetic` or `warning`.
    pub kind: &'static str,
    /// A few words for a badge.
    pub label: &'static str,
    /// The sentence.
    pub text: String,
}

/// What a finding means, for colour and symbol; the words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Proven better.
    Better,
    /// No detectable difference.
    Same,
    /// Proven worse, or failed.
    Worse,
    /// Not known.
    Open,
}

/// The first screen.
#[derive(Debug, Clone, Serialize)]
pub struct SummaryView {
    /// What the verdict means.
    pub tone: Tone,
    /// The verdict in a few words.
    pub headline: String,
    /// Its interval and sample count, where it has one.
    pub interval: String,
    /// The verdict in one or two sentences.
    pub sentence: String,
    /// Machine, model, workload.
    pub facts: Vec<FactView>,
    /// Default against tuned.
    pub metrics: Vec<MetricView>,
    /// Whether there is a tuned setting beside the default.
    pub tuned: bool,
    /// Heads of the columns of numbers: default, tuned, their comparison.
    pub columns: [String; 3],
    /// Whether any metric has a target.
    pub targets: bool,
    /// What did it, in order of size.
    pub steps: Vec<StepView>,
    /// The command to copy.
    pub command: CodeView,
    /// Trials behind the verdict.
    pub evidence: Vec<LinkView>,
}

/// A name and a value.
#[derive(Debug, Clone, Serialize)]
pub struct FactView {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// One metric of the default and of the tuned setting.
#[derive(Debug, Clone, Serialize)]
pub struct MetricView {
    /// The metric.
    pub name: &'static str,
    /// Under the default setting.
    pub default: CellView,
    /// Under the tuned setting.
    pub tuned: CellView,
    /// The paired comparison.
    pub change: CellView,
    /// What it should reach, and whether it does; empty where nothing was asked for.
    pub target: CellView,
}

/// One step from the default to the tuned setting.
#[derive(Debug, Clone, Serialize)]
pub struct StepView {
    /// The knob.
    pub knob: String,
    /// Its level in the default.
    pub from: String,
    /// Its level in the tuned setting.
    pub to: String,
    /// What the step does alone.
    pub change: CellView,
}

/// One part of the report.
#[derive(Debug, Clone, Serialize)]
pub struct SectionView {
    /// Anchor.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What is missing and how to get it, where there is no evidence.
    pub missing: Option<String>,
    /// Its content, in order.
    pub blocks: Vec<BlockView>,
}

/// A piece of a section.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BlockView {
    /// A paragraph.
    Text {
        /// The words.
        text: String,
    },
    /// A heading within the section.
    Heading {
        /// The words.
        text: String,
    },
    /// A list.
    List {
        /// One entry each.
        items: Vec<ItemView>,
    },
    /// A table.
    Table(TableView),
    /// Plots, side by side where there is room.
    Figures {
        /// The plots.
        figures: Vec<FigureView>,
    },
    /// Text to copy.
    Code(CodeView),
}

/// An entry of a list.
#[derive(Debug, Clone, Serialize)]
pub struct ItemView {
    /// A word in front.
    pub label: Option<String>,
    /// The words.
    pub text: String,
    /// For checklists: whether it was checked.
    pub checked: Option<bool>,
}

/// A table.
#[derive(Debug, Clone, Serialize)]
pub struct TableView {
    /// What it shows.
    pub caption: String,
    /// Heads of its columns.
    pub columns: Vec<ColumnView>,
    /// Its rows, each as long as `columns`.
    pub rows: Vec<Vec<CellView>>,
}

/// The head of a column.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnView {
    /// The words.
    pub text: &'static str,
    /// Whether it holds numbers.
    pub numeric: bool,
}

/// A value with its doubt and its evidence.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CellView {
    /// The value.
    pub text: String,
    /// Interval and sample count.
    pub detail: String,
    /// What it means.
    pub tone: Option<Tone>,
    /// Trials behind it.
    pub evidence: Vec<LinkView>,
    /// Another document that it leads to, relative to this one and safe to place into either format.
    pub link: Option<String>,
}

/// A link to a trial or the first of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkView {
    /// `7` or `7–12`.
    pub text: String,
    /// Anchor of the first.
    pub anchor: String,
}

/// A plot.
#[derive(Debug, Clone, Serialize)]
pub struct FigureView {
    /// File name without extension.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What it says, for those who cannot see it.
    pub description: String,
    /// Whether it needs the full width.
    pub wide: bool,
    /// The picture, safe to place into HTML.
    pub svg: String,
}

/// Text to copy, and what it cannot say.
#[derive(Debug, Clone, Serialize)]
pub struct CodeView {
    /// What it is.
    pub label: String,
    /// The text.
    pub code: String,
    /// What it cannot say.
    pub notes: Vec<String>,
}

/// One trial.
#[derive(Debug, Clone, Serialize)]
pub struct TrialView {
    /// Its number.
    pub id: u32,
    /// Why it was run.
    pub purpose: &'static str,
    /// Round of interleaving.
    pub block: u32,
    /// What differs from the default.
    pub setting: String,
    /// Prompt tokens per second.
    pub prefill: String,
    /// Generated tokens per second.
    pub decode: String,
    /// What happened, in the contract's word.
    pub outcome: &'static str,
    /// Reason of a failure, doubts, the cache.
    pub remarks: Vec<String>,
}

impl CellView {
    /// A plain value.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Nothing known.
    pub(super) fn none() -> Self {
        Self::plain("–")
    }

    /// With the trials behind it.
    pub(super) fn citing(mut self, trials: &[u32]) -> Self {
        self.evidence = links(trials);
        self
    }
}

impl From<super::format::Figure> for CellView {
    fn from(figure: super::format::Figure) -> Self {
        Self { text: figure.text, detail: figure.detail, ..Self::default() }
    }
}

impl SectionView {
    /// A section with evidence.
    pub(super) fn of(id: &'static str, title: &'static str, blocks: Vec<BlockView>) -> Self {
        Self { id, title, missing: None, blocks }
    }

    /// A section without.
    pub(super) fn missing(id: &'static str, title: &'static str, why: impl Into<String>) -> Self {
        Self { id, title, missing: Some(why.into()), blocks: Vec::new() }
    }
}

impl BlockView {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    pub(super) fn table(
        caption: impl Into<String>,
        columns: &[(&'static str, bool)],
        rows: Vec<Vec<CellView>>,
    ) -> Self {
        let columns = columns.iter().map(|&(text, numeric)| ColumnView { text, numeric }).collect();
        Self::Table(TableView { caption: caption.into(), columns, rows })
    }
}

/// Trials as links, neighbours joined.
pub(super) fn links(trials: &[u32]) -> Vec<LinkView> {
    let mut sorted = trials.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| *b == a + 1);
    runs.map(|run| {
        let (first, last) = (run[0], run[run.len() - 1]);
        let text = if first == last { first.to_string() } else { format!("{first}–{last}") };
        LinkView { text, anchor: format!("trial-{first}") }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_trials_are_joined() {
        let texts: Vec<_> = links(&[9, 1, 2, 3, 7, 3]).into_iter().map(|link| link.text).collect();
        assert_eq!(texts, ["1–3", "7", "9"]);
    }
}
