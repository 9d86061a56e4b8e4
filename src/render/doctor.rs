//! A diagnosis for people: text of 80 columns, and Markdown.

use std::fmt::Write as _;

use super::machine::{clean, markdown_text, wrap};
use crate::model::{CheckOutcome, Checked, Cost, Diagnosis, Finding, Provenance};
use crate::stats::Separation;

/// Columns of the text.
const WIDTH: usize = 80;
/// Columns before the text of a row.
const LABEL: usize = 10;

/// Text for a terminal, worst finding first; `verbose` lists every check.
#[must_use]
pub fn text(diagnosis: &Diagnosis, verbose: bool) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    if let Some(sentence) = whose(diagnosis) {
        let _ = writeln!(out, "{sentence}\n");
    }
    for (index, finding) in diagnosis.findings.iter().enumerate() {
        let title = format!("{}. {}", index + 1, clean(&finding.what));
        for line in wrap(&title, WIDTH) {
            let _ = writeln!(out, "{bold}{line}{bold:#}");
        }
        for (label, text) in rows(finding) {
            row(&mut out, label, &text);
        }
        out.push('\n');
    }
    if diagnosis.findings.is_empty() {
        let _ = writeln!(out, "{bold}Nothing found.{bold:#}");
    }
    let _ = writeln!(out, "{}", counted(&diagnosis.checked));
    if verbose || diagnosis.findings.is_empty() {
        for check in &diagnosis.checked {
            let line = format!("{}: {} ({})", check.check, check.title, outcome(check));
            for (at, line) in wrap(&clean(&line), WIDTH - 4).iter().enumerate() {
                let _ = writeln!(out, "{}{line}", if at == 0 { "  " } else { "    " });
            }
        }
    } else {
        let _ = writeln!(out, "-v lists them");
    }
    out
}

/// Markdown, a section for each finding.
#[must_use]
pub fn markdown(diagnosis: &Diagnosis) -> String {
    let mut out = String::from("# What costs speed here\n\n");
    let _ = writeln!(
        out,
        "autotune {}, {}\n",
        markdown_text(&clean(&diagnosis.tool_version)),
        markdown_text(&clean(&diagnosis.examined_at))
    );
    if let Some(sentence) = whose(diagnosis) {
        let _ = writeln!(out, "{sentence}\n");
    }
    for (index, finding) in diagnosis.findings.iter().enumerate() {
        let _ = writeln!(out, "## {}. {}\n", index + 1, markdown_text(&clean(&finding.what)));
        for (label, text) in rows(finding) {
            let _ = writeln!(out, "- {label}: {}", markdown_text(&text));
        }
        out.push('\n');
    }
    if diagnosis.findings.is_empty() {
        out.push_str("Nothing found.\n\n");
    }
    out.push_str("## Checked\n\n| check | looks at | outcome |\n|---|---|---|\n");
    for check in &diagnosis.checked {
        let cells = [&check.check, &check.title, &outcome(check)];
        let [name, title, outcome] = cells.map(|cell| markdown_text(&clean(cell)));
        let _ = writeln!(out, "| {name} | {title} | {outcome} |");
    }
    out
}

fn whose(diagnosis: &Diagnosis) -> Option<&'static str> {
    match diagnosis.provenance {
        Provenance::Live => None,
        Provenance::Captured => Some("A captured machine: judged from files alone, nothing tried."),
        Provenance::Simulated => Some("A simulated machine."),
    }
}

/// What stands below a finding's title.
fn rows(finding: &Finding) -> Vec<(&'static str, String)> {
    let evidence = finding
        .evidence
        .iter()
        .map(|seen| ("seen", clean(&format!("{}: {}", seen.source, seen.value))));
    let mut rows: Vec<(&'static str, String)> = evidence.collect();
    rows.push(("costs", clean(&cost(&finding.cost))));
    rows.extend(finding.remedy.iter().map(|remedy| ("do", clean(remedy))));
    if finding.needs_root {
        let several = finding.remedy.len() > 1;
        let who = if several { "needed by at least one of these" } else { "needed" };
        rows.push(("root", who.to_owned()));
    }
    rows
}

fn cost(cost: &Cost) -> String {
    match cost {
        Cost::Unknown => "not measured, and no public figure is known".to_owned(),
        Cost::Published { figure, source, .. } => format!("elsewhere {figure} ({source})"),
        Cost::Measured { trial, before_tok_per_s, after_tok_per_s, change } => {
            let ratio = change.speed_ratio;
            let interval = ratio.low.zip(ratio.high);
            let interval =
                interval.map(|(low, high)| format!(" [{low:.2}, {high:.2}]")).unwrap_or_default();
            let word = match change.separation {
                Separation::Faster => format!("{:.2} times as fast{interval}", ratio.value),
                Separation::Slower => format!("slower: {:.2} times{interval}", ratio.value),
                Separation::NotSeparated => format!("~ {:.2} times{interval}", ratio.value),
            };
            format!(
                "{before_tok_per_s:.1} tokens/s as it is, {after_tok_per_s:.1} with the remedy: \
                 {word} ({trial})"
            )
        }
    }
}

fn row(out: &mut String, label: &str, text: &str) {
    let mut label = format!("   {label:<width$}", width = LABEL - 3);
    for line in wrap(text, WIDTH - LABEL) {
        out.push_str(format!("{label}{line}").trim_end());
        out.push('\n');
        label = " ".repeat(LABEL);
    }
}

fn counted(checked: &[Checked]) -> String {
    let count = |wanted: fn(&CheckOutcome) -> bool| {
        checked.iter().filter(|check| wanted(&check.outcome)).count()
    };
    let found = count(|outcome| matches!(outcome, CheckOutcome::Found));
    let fine = count(|outcome| matches!(outcome, CheckOutcome::Fine));
    let none = count(|outcome| matches!(outcome, CheckOutcome::NotApplicable { .. }));
    let unseen = count(|outcome| matches!(outcome, CheckOutcome::Unseen { .. }));
    format!(
        "{} checks: {found} found, {fine} fine, {none} without meaning here, {unseen} not seen",
        checked.len()
    )
}

fn outcome(check: &Checked) -> String {
    match &check.outcome {
        CheckOutcome::Fine => "fine".to_owned(),
        CheckOutcome::Found => "found".to_owned(),
        CheckOutcome::NotApplicable { reason } => format!("no meaning here: {reason}"),
        CheckOutcome::Unseen { reason } => format!("not seen: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Evidence;
    use crate::stats::paired_change;

    fn diagnosis() -> Diagnosis {
        let change = paired_change(&[1.0, 1.1, 0.9, 1.05], 0.95, 0.02).unwrap();
        let finding = |check: &str, what: &str, cost: Cost| Finding {
            check: check.to_owned(),
            what: what.to_owned(),
            evidence: vec![Evidence {
                source: "limits.cpu_quota_cores".to_owned(),
                value: "0.50\u{1b}[31m".to_owned(),
            }],
            cost,
            remedy: vec!["llama-server --threads 1 --threads-batch 1".to_owned()],
            needs_root: check == "governor",
        };
        Diagnosis {
            provenance: Provenance::Captured,
            findings: vec![
                finding(
                    "cpu-quota",
                    "llama.cpp takes 2 threads by default, and the control group gives time for \
                     0.50 of a processor",
                    Cost::Measured {
                        trial: "generation by m, 2 threads against 1, 4 blocks".to_owned(),
                        before_tok_per_s: 12.0,
                        after_tok_per_s: 33.0,
                        change,
                    },
                ),
                finding("governor", "the governor is <b>powersave</b>", Cost::Unknown),
            ],
            checked: vec![
                Checked {
                    check: "cpu-quota".to_owned(),
                    title: "threads".to_owned(),
                    outcome: CheckOutcome::Found,
                },
                Checked {
                    check: "turbo".to_owned(),
                    title: "clocks above the base".to_owned(),
                    outcome: CheckOutcome::Unseen { reason: "a virtual machine".to_owned() },
                },
            ],
            ..Diagnosis::default()
        }
    }

    #[test]
    fn findings_come_with_evidence_cost_and_remedy_in_eighty_columns() {
        let printed = anstream::adapter::strip_str(&text(&diagnosis(), false)).to_string();
        for words in [
            "files alone",
            "1. llama.cpp takes 2 threads",
            "12.0 tokens/s as it is, 33.0 with the remedy: 2.75 times as fast [",
            "do     llama-server --threads 1 --threads-batch 1",
            "not measured, and no public figure is known",
            "root   needed",
            "2 checks: 1 found, 0 fine, 0 without meaning here, 1 not seen",
        ] {
            let flat = printed.split_whitespace().collect::<Vec<_>>().join(" ");
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(&words), "{words} is not in\n{printed}");
        }
        assert!(printed.lines().all(|line| line.chars().count() <= WIDTH), "{printed}");
        assert!(!printed.contains('\u{1b}'), "{printed}");
        assert!(!printed.contains("a virtual machine"), "{printed}");
        assert!(text(&diagnosis(), true).contains("not seen: a virtual machine"));
    }

    #[test]
    fn a_clean_machine_gets_the_list_of_what_was_checked() {
        let clean = Diagnosis { findings: Vec::new(), ..diagnosis() };
        let printed = text(&clean, false);
        assert!(printed.contains("Nothing found."), "{printed}");
        assert!(printed.contains("turbo: clocks above the base"), "{printed}");
    }

    #[test]
    fn markdown_escapes_what_comes_from_outside() {
        let printed = markdown(&diagnosis());
        assert!(printed.contains("\\<b\\>powersave"), "{printed}");
        assert!(printed.contains("| cpu-quota | threads | found |"), "{printed}");
    }
}
