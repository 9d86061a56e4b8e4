//! An axis of divergences: logarithmic, with zero at its left edge.

use super::plane::Axis;

/// A logarithmic axis whose left edge is zero.
pub(super) struct Nats {
    axis: Axis,
    /// Where zero is drawn.
    zero: f64,
}

impl Nats {
    /// For these divergences; `None` where none is above zero.
    pub(super) fn of(divergences: &(impl Iterator<Item = f64> + Clone)) -> Option<Self> {
        let known = || divergences.clone().filter(|nats| *nats > 0.0);
        let low = known().map(f64::log10).reduce(f64::min)?;
        let high = known().map(f64::log10).reduce(f64::max)?;
        let (first, last) = (low.floor(), high + 0.25);
        let zero = first - 0.35;
        #[expect(clippy::cast_possible_truncation, reason = "powers of ten of nats")]
        let powers = first as i32..=last.floor() as i32;
        let mut ticks = vec![(zero, "0".to_owned())];
        ticks.extend(powers.map(|power| (f64::from(power), nats(10_f64.powi(power)))));
        let label = "mean KL divergence from the source, nats".to_owned();
        Some(Self { axis: Axis { label, low: zero - 0.15, high: last, ticks }, zero })
    }

    /// The axis itself, its values powers of ten.
    pub(super) fn axis(&self) -> &Axis {
        &self.axis
    }

    /// The place of a divergence; what is not above zero stands at zero.
    pub(super) fn place(&self, nats: f64) -> f64 {
        if nats > 0.0 { nats.log10().max(self.zero) } else { self.zero }
    }
}

fn nats(value: f64) -> String {
    if value < 0.0005 { format!("{value:.0e}") } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_stands_left_of_every_power_and_less_than_zero_with_it() {
        let axis = Nats::of(&[0.0, 0.0014, 0.3].into_iter()).unwrap();
        let labels: Vec<&str> = axis.axis().ticks.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(labels, ["0", "0.001", "0.01", "0.1"]);
        assert!(axis.place(0.0) < axis.place(0.001) && axis.place(-1.0) <= axis.place(0.0));
        assert!(axis.axis().low < axis.place(0.0));
        assert!(Nats::of(&[0.0].into_iter()).is_none());
    }
}
