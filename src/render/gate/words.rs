//! The figures of a cell in words, the same in every output that people read.

use autotune_engine::api::Bytes;

use super::super::format;
use super::super::machine::clean;
use super::super::verdict::sentence;
use super::standing::Standing;
use crate::model::{GateCell, GateMachine, GateReport, GateSide, GateVerdict, Waiver, Weight};

/// Characters of a machine's key that tell machines apart for a reader.
const KEY: usize = 12;

/// A change in percent with its sign and without the unit: `+4.8`, `−0.3`, `±0.0`.
pub(super) fn signed(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return "–".into();
    }
    let digits = usize::from(percent.abs() < 99.95);
    let text = format!("{:.digits$}", percent.abs());
    let sign = match percent {
        _ if text.trim_start_matches(['0', '.']).is_empty() => "±",
        p if p < 0.0 => "−",
        _ => "+",
    };
    format!("{sign}{text}")
}

/// How much worse the head is: `+4.8 % slower`, or `−0.1 %` where it is not.
pub(super) fn slowdown(cell: &GateCell) -> Option<String> {
    let text = format!("{} %", signed(cell.slowdown?));
    let worse = text.starts_with('+');
    Some(if worse { format!("{text} {}", cell.worse_word()) } else { text })
}

/// The interval of that, in percent: `[+3.5, +6.1]`.
pub(super) fn interval(cell: &GateCell) -> Option<String> {
    let (low, high) = cell.interval?;
    Some(format!("[{}, {}]", signed(low), signed(high)))
}

/// Both; a cell without them says so.
pub(super) fn change(cell: &GateCell) -> String {
    match (slowdown(cell), interval(cell)) {
        (Some(slowdown), Some(interval)) => format!("{slowdown} {interval}"),
        (Some(slowdown), None) => format!("{slowdown}, no interval"),
        (None, _) if cell.head.is_some() => "not compared".to_owned(),
        (None, _) => "not measured".to_owned(),
    }
}

/// The slowdown that is allowed: `2 %`.
pub(super) fn limit(cell: &GateCell) -> String {
    format::confidence(cell.delta)
}

/// The smallest slowdown that would have failed: `1.9 %`.
pub(super) fn sees(cell: &GateCell) -> Option<String> {
    cell.minimum_detectable.map(format::tenth_percent)
}

/// The larger p value against what is required: `p=.0002<.0013`. Signs that cannot be any smaller
/// with so few blocks have not decided a failure, and are left out.
pub(super) fn evidence(cell: &GateCell) -> Option<String> {
    let required = cell.p_required?;
    let spared = |guard: &f64| cell.verdict == GateVerdict::Fail && *guard > required;
    let guard = cell.p_guard.filter(|guard| !spared(guard)).unwrap_or(0.0);
    let decisive = cell.p_t?.max(guard);
    let sign = if decisive <= required { '<' } else { '>' };
    Some(format!("p={}{sign}{}", probability(decisive), probability(required)))
}

/// A probability with the digits that matter: `.0002`, `.0310`, `.50`, `2e-6`.
pub(super) fn probability(p: f64) -> String {
    let text = match p {
        p if !p.is_finite() => return "–".into(),
        p if p > 0.0 && p < 0.000_05 => return format!("{p:.0e}"),
        p if p < 0.0995 => format!("{p:.4}"),
        p => format!("{p:.2}"),
    };
    text.trim_start_matches('0').to_owned()
}

/// A value in the unit that suits it: `42.1 tok/s`, `12.3 ms`, `1.20 GiB`.
pub(super) fn level(value: f64, unit: &str) -> String {
    match unit {
        "s" => format::seconds(value),
        "bytes" if value.is_finite() => Bytes(whole(value)).to_string(),
        unit => format!("{} {}", format::three(value), clean(unit)),
    }
}

/// Both sides: `42.1 tok/s → 40.2 tok/s`.
pub(super) fn levels(cell: &GateCell) -> Option<String> {
    let level = |value| level(value, &cell.unit);
    match (cell.base, cell.head) {
        (Some(base), Some(head)) => Some(format!("{} → {}", level(base), level(head))),
        (Some(base), None) => Some(format!("{} before", level(base))),
        (None, Some(head)) => Some(level(head)),
        (None, None) => None,
    }
}

/// What a waiver accepts, until when and why.
pub(super) fn waiver(waiver: &Waiver) -> String {
    format!(
        "waived up to {} until {}: {} ({})",
        format::confidence(waiver.ceiling),
        clean(&waiver.expires),
        clean(&waiver.reason),
        clean(&waiver.issue)
    )
}

/// Why nothing could be decided, and what to do about it, each a sentence.
pub(super) fn reasons(cell: &GateCell) -> [Option<String>; 2] {
    let said = |text: &Option<String>| text.as_deref().map(|text| sentence(&clean(text)));
    let why = said(&cell.why).or_else(|| Some(sentence(&cell.reason?.word().replace('-', " "))));
    [why, said(&cell.next_action)]
}

/// The cell in one line: its standing, its figures, and what to do.
pub(super) fn summary(cell: &GateCell) -> String {
    let mut parts = vec![change(cell), format!("limit {}", limit(cell))];
    parts.extend(levels(cell));
    parts.extend(evidence(cell));
    parts.extend(sees(cell).map(|sees| format!("sees ≥ {sees}")));
    parts.extend(cell.waiver.as_ref().map(waiver));
    parts.extend(reasons(cell).into_iter().flatten());
    format!("{}: {}", Standing::of(cell).word(), parts.join("; "))
}

/// What was compared with what: `v1.2 (program, 3f2a1c9) → build (program)`.
pub(super) fn sides(report: &GateReport) -> Option<String> {
    let side = |side: &GateSide| {
        let facts: Vec<&str> =
            [Some(side.kind.as_str()), side.commit.as_deref()].into_iter().flatten().collect();
        clean(&format!("{} ({})", side.name, facts.join(", ")))
    };
    match (&report.base, &report.head) {
        (Some(base), Some(head)) => Some(format!("{} → {}", side(base), side(head))),
        (Some(only), None) | (None, Some(only)) => Some(side(only)),
        (None, None) => None,
    }
}

/// Facts by which people know a machine, with what stands behind each.
const MACHINE: [(&str, &str); 5] = [
    ("processor", ""),
    ("cores", " cores"),
    ("memory GiB", " GiB"),
    ("GPU 0 name", ""),
    ("hypervisor", ""),
];

/// A machine by its key and what it is made of.
pub(super) fn machine(machine: &GateMachine) -> String {
    let told = |(fact, unit): &(&str, &str)| {
        machine.strict.get(*fact).map(|value| format!("{value}{unit}"))
    };
    let mut facts: Vec<String> = MACHINE.iter().filter_map(told).collect();
    if facts.is_empty() {
        facts = machine.strict.values().cloned().collect();
    }
    let key: String = machine.key.chars().take(KEY).collect();
    clean(&format!("{key}: {}", facts.join(", ")))
}

/// The least sensitive blocking cell: what the whole run could have missed.
pub(super) fn blindest(report: &GateReport) -> Option<(&GateCell, f64)> {
    let blocking = report.cells.iter().filter(|cell| cell.weight == Weight::Blocking);
    let seen = blocking.filter_map(|cell| Some((cell, cell.minimum_detectable?)));
    seen.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Three significant digits without an exponent, for machines: `0.048`, `0.000012`, `1230`.
pub(super) fn significant(value: f64) -> f64 {
    format!("{value:.2e}").parse::<f64>().map_or(value, |rounded| rounded + 0.0)
}

/// The same lines, of which none steers a terminal or turns its direction.
pub(super) fn lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is no count of bytes becomes the nearest one"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn changes_have_a_sign_and_one_decimal() {
        for (share, text) in [
            (0.048, "+4.8"),
            (-0.003, "−0.3"),
            (-0.0001, "±0.0"),
            (0.123, "+12.3"),
            (1.5, "+150"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(signed(share), text);
        }
    }

    #[test]
    fn probabilities_keep_the_digits_that_decide() {
        for (p, text) in [
            (0.000_21, ".0002"),
            (0.001_25, ".0013"),
            (0.031, ".0310"),
            (0.5, ".50"),
            (1.0, "1.00"),
            (2e-6, "2e-6"),
            (0.0, ".0000"),
        ] {
            assert_eq!(probability(p), text, "{p}");
        }
    }

    #[test]
    fn the_p_value_that_decides_is_the_larger_one() {
        let mut cell = fixture::failing();
        (cell.p_t, cell.p_guard, cell.p_required) = (Some(0.0001), Some(0.004), Some(0.0025));
        cell.verdict = GateVerdict::Inconclusive;
        assert_eq!(evidence(&cell).unwrap(), "p=.0040>.0025");
        cell.verdict = GateVerdict::Fail;
        assert_eq!(evidence(&cell).unwrap(), "p=.0001<.0025");
        cell.p_guard = None;
        assert_eq!(evidence(&cell).unwrap(), "p=.0001<.0025");
    }

    #[test]
    fn levels_are_scaled_for_people_and_rounded_for_machines() {
        assert_eq!(level(0.0123, "s"), "12.3 ms");
        assert_eq!(level(1_288_490_189.0, "bytes"), Bytes(1_288_490_189).to_string());
        assert_eq!(level(42.12, "tok/s"), "42.1 tok/s");
        for (value, text) in
            [(0.048_21, "0.0482"), (1234.5, "1230"), (-0.0, "0"), (1e-6, "0.000001")]
        {
            assert_eq!(significant(value).to_string(), text);
        }
    }
}
