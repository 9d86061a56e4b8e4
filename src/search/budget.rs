//! How much of the budget each phase may use.
//!
//! A phase ends at its mark, counted from the beginning: what one phase leaves is the next one's.

use std::time::Duration;

use autotune_engine::api::Setting;

use super::cost::Cost;
use super::ledger::Ledger;
use super::{Ask, Now, Reason};
use crate::model::Purpose;

/// Marks of fitness, search, finals, certificate, confirmation, soak and ablation as shares of
/// the whole; curves may use what is left.
const MARKS: [f64; 7] = [0.05, 0.40, 0.48, 0.52, 0.72, 0.72, 0.84];
/// Share of the search and finals that looks at new settings, by how loud the machine is: on a
/// quiet one every repeated visit is a setting not seen.
const LOOKS: [(f64, f64); 3] = [(0.01, 0.86), (0.03, 0.75), (f64::INFINITY, 0.62)];
/// Share of the whole that a confirmation gets at least, ...
const CONFIRM_SHARE: f64 = 0.15;
/// ... and at most, as long as it has not decided.
const UNDECIDED_SHARE: f64 = 0.35;
/// Share of the whole that an audit gets where one is asked for.
const AUDIT_SHARE: f64 = 0.15;

/// Where the phases end.
#[derive(Debug)]
pub(super) struct Budget {
    elapsed_ms: f64,
    trials: f64,
    whole_ms: f64,
    whole_trials: f64,
    soak_share: f64,
    audit_share: f64,
    looks_share: f64,
    curve_share: f64,
    pub(super) cost: Cost,
}

impl Budget {
    pub(super) fn new(ledger: &Ledger<'_>, now: Now) -> Self {
        let protocol = &ledger.plan.protocol;
        let whole_ms = protocol.budget_ms.map_or(f64::INFINITY, |budget| budget as f64);
        let noise = ledger.noise();
        let looks = LOOKS.iter().find(|(limit, _)| noise <= *limit).map_or(0.62, |it| it.1);
        Self {
            elapsed_ms: millis(now.elapsed),
            trials: ledger.trials.len() as f64,
            whole_ms,
            whole_trials: protocol.max_trials.map_or(f64::INFINITY, f64::from),
            soak_share: if whole_ms.is_finite() { protocol.soak_ms as f64 / whole_ms } else { 0.0 },
            audit_share: if protocol.audit > 0 { AUDIT_SHARE } else { 0.0 },
            looks_share: looks,
            curve_share: protocol.curve_share,
            cost: Cost::of(ledger.plan, ledger.trials),
        }
    }

    /// The share of the whole at which a phase ends.
    fn mark(&self, purpose: Purpose) -> f64 {
        let [fitness, _, _, certify, confirm, _, ablation] = MARKS;
        // Without curves, audit and soak their time belongs to the others.
        let curves = if self.curve_share > 0.0 { 1.0 - ablation } else { 0.0 };
        let rest = 1.0 - curves - self.audit_share;
        let scale = (rest - self.soak_share).max(0.5) / ablation;
        let search = fitness + (certify - fitness) * self.looks_share;
        let finals = fitness + (certify - fitness) * (self.looks_share + 1.0) / 2.0;
        match purpose {
            Purpose::Fitness => fitness,
            Purpose::Search => search * scale,
            Purpose::Finalist => finals * scale,
            Purpose::Certify => certify * scale,
            Purpose::Confirm => confirm * scale,
            Purpose::Soak => (self.decision() + self.soak_share).min(1.0),
            Purpose::Ablation => rest.max(self.mark(Purpose::Soak)),
            Purpose::Curve => (1.0 - self.audit_share).max(self.mark(Purpose::Soak)),
            Purpose::Audit => 1.0,
        }
    }

    /// The share at which a confirmation ends that nothing has decided: what comes after it is
    /// worth less than its decision.
    fn decision(&self) -> f64 {
        let most = self.mark(Purpose::Certify) + UNDECIDED_SHARE;
        most.min(1.0 - self.soak_share).max(self.mark(Purpose::Confirm))
    }

    /// Whether an ask fits into what its phase may use. The very first visit always does: without
    /// it nothing is known.
    pub(super) fn allow(&self, ask: &Ask) -> bool {
        let mark = self.mark(ask.purpose);
        let cost = self.cost.visit_to_ms(&ask.setting);
        self.trials < 1.0 && self.whole_trials >= 1.0
            || self.elapsed_ms + cost <= mark * self.whole_ms
                && self.trials + 1.0 <= (mark * self.whole_trials).max(0.0)
    }

    /// Whether a look fits although the search's own share is spent: as long as nothing is better
    /// than the baseline there is nothing to confirm, and finals and confirmation need no time yet.
    pub(super) fn allow_late(&self, ask: &Ask) -> bool {
        let mark = 1.0 - self.curve_share - self.audit_share - CONFIRM_SHARE;
        let cost = self.cost.visit_to_ms(&ask.setting);
        self.elapsed_ms + cost <= mark * self.whole_ms
            && self.trials + 1.0 <= (mark * self.whole_trials).max(0.0)
    }

    /// Whether so much of the curves' own share is left.
    pub(super) fn allow_curve(&self, spent_ms: f64) -> bool {
        spent_ms < self.curve_share * self.whole_ms
    }

    /// The limit that another pair of the confirmation would break. Before the fewest that a
    /// decision takes nothing is worth more than one of them.
    pub(super) fn limit_of_pair(&self, winner: &Setting, too_few: bool) -> Option<Reason> {
        let cost = self.cost.visit_to_ms(winner) + self.cost.visit_ms;
        let mark = if too_few { 1.0 } else { self.decision() };
        if self.elapsed_ms + cost > mark * self.whole_ms {
            Some(Reason::Budget)
        } else if self.trials + 2.0 > self.whole_trials {
            Some(Reason::TrialLimit)
        } else {
            None
        }
    }

    /// The limit of the whole that this ask would break.
    pub(super) fn limit_of(&self, ask: &Ask) -> Option<Reason> {
        if self.elapsed_ms + self.cost.visit_to_ms(&ask.setting) > self.whole_ms {
            Some(Reason::Budget)
        } else if self.trials + 1.0 > self.whole_trials {
            Some(Reason::TrialLimit)
        } else {
            None
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(soak_share: f64, curve_share: f64) -> Budget {
        Budget {
            elapsed_ms: 0.0,
            trials: 1.0,
            whole_ms: 900e3,
            whole_trials: f64::INFINITY,
            soak_share,
            audit_share: 0.0,
            looks_share: 0.75,
            curve_share,
            cost: Cost::of(
                &crate::plan::plan(crate::plan::tests::wish(&crate::plan::tests::card())),
                &[],
            ),
        }
    }

    #[test]
    fn phases_end_one_after_the_other_and_fitness_soak_and_confirmation_take_two_fifths() {
        let order = [
            Purpose::Fitness,
            Purpose::Search,
            Purpose::Finalist,
            Purpose::Certify,
            Purpose::Confirm,
            Purpose::Soak,
            Purpose::Ablation,
            Purpose::Curve,
        ];
        for (soak, curve) in [(0.2, 0.25), (0.0, 0.25), (0.2, 0.0), (0.0, 0.0)] {
            let budget = budget(soak, curve);
            let marks = order.map(|purpose| budget.mark(purpose));
            assert!(marks.is_sorted() && marks[7] <= 1.0, "{marks:?}");
            let fixed = marks[0] + (marks[4] - marks[3]) + soak;
            assert!(fixed <= 0.45, "{fixed}: {marks:?}");
            assert!(marks[1] >= 0.2, "{marks:?}");
        }
    }
}
