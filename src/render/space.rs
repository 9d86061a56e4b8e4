//! A search space for a terminal of 80 columns: the default, the knobs, and what is left out.

use std::fmt::Write as _;

use autotune_engine::api::Setting;

use super::machine::{clean, wrap};
use crate::knob;
use crate::model::{Plan, Rejected};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// The default setting, the knobs with their levels, and what is left out.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut text = "\n".to_owned();
    row(&mut text, "Default: ", &levels(&plan.baseline));
    for note in &plan.baseline_notes {
        row(&mut text, "  note: ", note);
    }
    text.push_str("\nKnobs (* default)\n");
    for axis in &plan.axes {
        let own = knob::named(&axis.knob).map(|knob| knob.read(&plan.baseline)).ok();
        let mark = |level| if Some(level) == own.as_ref() { "*" } else { "" };
        let words: Vec<String> =
            axis.levels.iter().map(|level| format!("{level}{}", mark(level))).collect();
        let scope = format!("{:?}", axis.scope).to_lowercase();
        row(&mut text, &format!("  {:16} {scope:8} ", axis.knob), &words.join(" "));
    }
    if !plan.rejected.is_empty() {
        text.push_str("\nLeft out\n");
    }
    // Levels that are left out for one reason stand in one row.
    for same in plan.rejected.chunk_by(|a, b| (&a.knob, &a.reason) == (&b.knob, &b.reason)) {
        left_out(&mut text, same);
    }
    text
}

fn left_out(text: &mut String, same: &[Rejected]) {
    let levels = same.iter().filter_map(|it| it.level.as_ref().map(ToString::to_string));
    let levels = levels.collect::<Vec<_>>().join(", ");
    let Some(first) = same.first() else { return };
    let space = if levels.is_empty() { "" } else { " " };
    let line = format!("{}{space}{levels}: {}", first.knob, first.reason);
    for (index, line) in wrap(&clean(&line), WIDTH - 4).iter().enumerate() {
        let _ = writeln!(text, "{}{line}", if index == 0 { "  " } else { "    " });
    }
}

/// A label and what belongs to it, the further lines below its first.
pub(super) fn row(text: &mut String, label: &str, words: &str) {
    let indent = label.chars().count();
    let mut label = label.to_owned();
    for line in wrap(&clean(words), WIDTH.saturating_sub(indent).max(20)) {
        let _ = writeln!(text, "{}", format!("{label}{line}").trim_end());
        label = " ".repeat(indent);
    }
}

/// The knobs that are usually turned, and others where they are not as llama.cpp has them.
fn levels(setting: &Setting) -> String {
    let plain = knob::plain(setting);
    let told = |knob: &&&dyn knob::Knob| knob.usual() || knob.read(setting) != knob.read(&plain);
    let level = |knob: &&dyn knob::Knob| format!("{} {}", knob.name(), knob.read(setting));
    knob::ALL.iter().filter(told).map(level).collect::<Vec<_>>().join(", ")
}
