//! The order of findings: worst first, and what was shown here before what was read elsewhere.

use super::{Change, Cost, Finding, Separation};

/// Sorts findings: what a trial here proved, then public figures, then what nobody measured, last
/// what a trial here did not bear out. Within a group the larger factor is first; what is alike
/// keeps the order of the checks.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let (a, b) = (place(&a.cost), place(&b.cost));
        a.0.cmp(&b.0).then(b.1.total_cmp(&a.1))
    });
}

/// The group, and the factor within it.
fn place(cost: &Cost) -> (u8, f64) {
    // A factor that is no number would be first in the total order.
    let factor = cost.factor().filter(|factor| factor.is_finite()).unwrap_or(0.0);
    let group = match cost {
        Cost::Measured { change: Change { separation: Separation::Faster, .. }, .. } => 0,
        Cost::Published { factor: Some(_), .. } => 1,
        Cost::Published { factor: None, .. } => 2,
        Cost::Unknown => 3,
        Cost::Measured { .. } => 4,
    };
    (group, factor)
}
