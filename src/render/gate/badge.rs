//! A badge, as the endpoint that shields.io asks.

use serde::Serialize;

use super::standing::Standing;
use super::words;
use crate::model::{GateReport, GateVerdict};

/// What shields.io reads, version 1 of its schema.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Badge {
    schema_version: u8,
    label: &'static str,
    message: String,
    color: &'static str,
}

/// The verdict of the build as a badge.
#[must_use]
pub fn badge(report: &GateReport) -> String {
    let color = match report.verdict {
        GateVerdict::Fail | GateVerdict::Missing => "red",
        GateVerdict::NotComparable => "orange",
        GateVerdict::Inconclusive => "yellow",
        GateVerdict::New => "blue",
        GateVerdict::Pass => "brightgreen",
    };
    let badge = Badge { schema_version: 1, label: "performance", message: message(report), color };
    super::json(&badge)
}

/// The verdict, and the worst slowdown where that is why it fails.
fn message(report: &GateReport) -> String {
    let mut message = report.verdict.to_string();
    let worst = report.cells.iter().find(|cell| Standing::of(cell) == Standing::Fails);
    if let Some(slowdown) = worst.and_then(words::slowdown) {
        message = format!("{message}: {slowdown}");
    }
    if report.synthetic {
        message.push_str(" (simulated)");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_badge_says_the_verdict_and_the_worst_slowdown() {
        let read = |report| serde_json::from_str::<serde_json::Value>(&badge(&report)).unwrap();
        let failed = serde_json::json!({
            "schemaVersion": 1,
            "label": "performance",
            "message": "fail: +4.8 % slower (simulated)",
            "color": "red",
        });
        assert_eq!(read(fixture::report()), failed);
        let passed = read(fixture::passed());
        assert_eq!((&passed["message"], &passed["color"]), (&"pass".into(), &"brightgreen".into()));
    }
}
