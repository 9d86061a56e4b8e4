//! What `verify` says on stdout to people.

use std::fmt::Write as _;

use autotune_engine::api::TokenRate;

use crate::cli::global::one_line;
use crate::model::{Proof, SentRequest, Served, Verification};
use crate::stats::{Change, Estimate, Separation};

/// The answer for people.
pub(super) fn text(verification: &Verification) -> String {
    let mut text = String::new();
    if !verification.servers.is_empty() {
        let _ = writeln!(text, "{}\n", heading(verification));
        text.push_str(&table(verification));
        text.push('\n');
    }
    let _ = writeln!(text, "{}", one_line(&verification.sentence));
    for server in &verification.servers {
        for note in &server.unsaid {
            let _ = writeln!(text, "note: {}", one_line(note));
        }
    }
    for note in &verification.notes {
        let _ = writeln!(text, "note: {}", one_line(note));
    }
    text
}

/// Who was asked, and what.
fn heading(verification: &Verification) -> String {
    let mut builds: Vec<&str> =
        verification.servers.iter().filter_map(|server| server.build.as_deref()).collect();
    builds.dedup();
    let build = match builds.as_slice() {
        [] => "llama-server of an unknown build".to_owned(),
        builds => format!("llama-server {}", builds.join(" and ")),
    };
    let request = |one: &SentRequest| {
        let depth = if one.depth > 0 { format!(" after {}", one.depth) } else { String::new() };
        format!("{} + {} tokens{depth}", one.prompt_tokens, one.generate_tokens)
    };
    let requests: Vec<String> = verification.requests.iter().map(request).collect();
    one_line(&format!("{build}; workload {}: {}", verification.workload, requests.join(", ")))
}

/// One line per phase: every server's own number, and the change.
fn table(verification: &Verification) -> String {
    /// Name, a server's number, how it is written, and its change.
    type Row<'a> =
        (&'a str, fn(&Served) -> Option<Estimate>, &'a dyn Fn(f64) -> String, Option<Change>);
    let seconds = |it: f64| format!("{it:.3}");
    let rate = |it: f64| TokenRate(it).to_string();
    let (turn, wall, prefill, decode, count) = match &verification.result {
        Proof::Compared { turn, wall, prefill, decode, pairs, .. } => {
            (*turn, *wall, *prefill, *decode, pairs.len())
        }
        Proof::Observed { visits, .. } => (None, None, None, None, visits.len()),
        Proof::NothingToProve => (None, None, None, None, 0),
    };
    let rows: [Row<'_>; 4] = [
        ("turn s", |one| one.turn_s, &seconds, turn),
        ("wall clock s", |one| one.wall_s, &seconds, wall),
        ("prefill tok/s", |one| one.prefill_tok_per_s, &rate, prefill),
        ("decode tok/s", |one| one.decode_tok_per_s, &rate, decode),
    ];
    let mut text = String::new();
    if verification.servers.len() > 1 {
        let _ = writeln!(
            text,
            "{:14}{:>10}{:>10}   times as fast, of {count} pairs",
            "", "default", "tuned"
        );
    } else {
        let _ = writeln!(text, "{:14}{:>10}   median of {count} visits", "", "server");
    }
    for (name, number, show, change) in rows {
        let _ = write!(text, "{name:14}");
        for server in &verification.servers {
            let number = number(server).map_or_else(|| "-".to_owned(), |it| show(it.value));
            let _ = write!(text, "{number:>10}");
        }
        let _ =
            writeln!(text, "   {}", change.map_or_else(String::new, |it| words(&it)).trim_end());
    }
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// `1.26 (95 % interval 1.20 to 1.31)`; with `~` where no difference can be told.
fn words(change: &Change) -> String {
    let speed = &change.speed_ratio;
    let mark = if change.separation == Separation::NotSeparated { "~ " } else { "" };
    let interval = match (speed.low, speed.high) {
        (Some(low), Some(high)) => {
            let level = (1e4 * speed.confidence).round() / 1e2;
            format!(" ({level} % interval {low:.2} to {high:.2})")
        }
        _ => String::new(),
    };
    format!("{mark}{:.2}{interval}", speed.value)
}
