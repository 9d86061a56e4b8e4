//! A tree-structured Parzen estimator (Bergstra and others, 2011) from a crate, one per axis; for
//! comparison with the tool's own strategy.

use ::tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator, range};
use autotune_engine::api::Setting;

use super::super::field::{Field, Point};
use super::super::ledger::Ledger;
use super::{chance, random};

/// Looks by chance before the estimators are asked.
const STARTUP: usize = 8;
/// Proposals that may be no new setting before one by chance is taken.
const ATTEMPTS: usize = 60;

pub(super) fn propose(ledger: &Ledger<'_>, field: &Field<'_>) -> Option<Setting> {
    let seen = ledger.seen();
    if seen.len() < STARTUP {
        return random::propose(ledger, field);
    }
    let mut chance = chance(ledger, 4);
    let mut axes = optimizers(field)?;
    let own = [(ledger.plan.baseline.clone(), 1.0)];
    let told = seen.iter().filter_map(|it| Some(((*it).clone(), ledger.seen_cost(it)?)));
    for (setting, cost) in own.into_iter().chain(told) {
        let Some(point) = field.point(&setting) else { continue };
        for (axis, level) in axes.iter_mut().zip(&point) {
            axis.tell(f64::from(*level) + 0.5, cost.ln()).ok()?;
        }
    }
    for _ in 0..ATTEMPTS {
        let mut point = Point::new();
        for (place, axis) in axes.iter_mut().enumerate() {
            let asked = axis.ask(&mut chance).ok()?.clamp(0.0, 255.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            let level = asked as u8;
            point.push(level.min(field.levels(place) - 1));
        }
        if let Some(setting) = random::wanted(ledger, field, &point) {
            return Some(setting);
        }
    }
    random::propose(ledger, field)
}

/// One estimator per axis: densities over what has an order, counts over what has none.
fn optimizers(field: &Field<'_>) -> Option<Vec<TpeOptimizer>> {
    (0..field.dimensions())
        .map(|axis| {
            let levels = field.levels(axis);
            if field.is_ordered(axis) {
                Some(TpeOptimizer::new(parzen_estimator(), range(0.0, f64::from(levels)).ok()?))
            } else {
                let all = categorical_range(usize::from(levels)).ok()?;
                Some(TpeOptimizer::new(histogram_estimator(), all))
            }
        })
        .collect()
}
