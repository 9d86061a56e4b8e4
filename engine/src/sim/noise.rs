//! Seeded noise: multiplicative, log-normal, with a slow drift that neighbours in time share.

use std::time::Duration;

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::spec::NoiseSpec;

/// The noise of one machine from its start on.
#[derive(Debug)]
pub(super) struct Noise {
    chance: Xoshiro256PlusPlus,
    spec: NoiseSpec,
    /// Logarithm of the drift's factor.
    drift: f64,
    /// When the drift was last moved.
    drifted_at: Duration,
}

impl Noise {
    pub(super) fn new(spec: &NoiseSpec, seed: u64) -> Self {
        let mut noise = Self {
            chance: Xoshiro256PlusPlus::seed_from_u64(seed),
            spec: spec.clone(),
            drift: 0.0,
            drifted_at: Duration::ZERO,
        };
        noise.drift = noise.spec.drift_sd * noise.normal();
        noise
    }

    /// The factor that everything is slower by at this moment. An autoregressive process of first
    /// order whose correlation falls to 1/e after `drift_time_s`, however long a step is.
    pub(super) fn drift_factor(&mut self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.drifted_at).as_secs_f64();
        self.drifted_at = now;
        let kept = (-elapsed / self.spec.drift_time_s).exp();
        let fresh = (1.0 - kept * kept).max(0.0).sqrt() * self.spec.drift_sd;
        self.drift = kept * self.drift + fresh * self.normal();
        (self.drift + self.spec.trend_per_hour.ln_1p() * now.as_secs_f64() / 3600.0).exp()
    }

    /// The factor of one repetition; its median is 1.
    pub(super) fn sample_factor(&mut self) -> f64 {
        (self.spec.sample_sd * self.normal()).exp()
    }

    /// The factor of one generated token; its median is 1.
    pub(super) fn token_factor(&mut self) -> f64 {
        (self.spec.token_sd * self.normal()).exp()
    }

    /// A standard normal number, by Box and Muller.
    fn normal(&mut self) -> f64 {
        // (0, 1] for the logarithm, [0, 1) for the angle.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn uniform(&mut self) -> f64 {
        uniform(&mut self.chance)
    }
}

/// A number from 0 to below 1.
pub(super) fn uniform(chance: &mut Xoshiro256PlusPlus) -> f64 {
    (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> NoiseSpec {
        NoiseSpec { sample_sd: 0.1, drift_sd: 0.2, drift_time_s: 10.0, ..NoiseSpec::default() }
    }

    fn correlation(step: Duration) -> f64 {
        let mut noise = Noise::new(&spec(), 1);
        let levels: Vec<f64> =
            (0..4000).map(|index| noise.drift_factor(step * index).ln()).collect();
        let square: f64 = levels.iter().map(|level| level * level).sum();
        assert!(((square / 4000.0).sqrt() - 0.2).abs() < 0.05, "spread of {square}");
        levels.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / square
    }

    #[test]
    fn drift_is_shared_by_neighbours_in_time_only() {
        // exp(-1 s / 10 s) = .905 and exp(-100 s / 10 s) = .00005
        assert!((correlation(Duration::from_secs(1)) - 0.905).abs() < 0.03);
        assert!(correlation(Duration::from_secs(100)).abs() < 0.06);
    }

    #[test]
    fn samples_spread_as_told_around_one() {
        let mut noise = Noise::new(&spec(), 2);
        let logs: Vec<f64> = (0..4000).map(|_| noise.sample_factor().ln()).collect();
        let mean = logs.iter().sum::<f64>() / 4000.0;
        let sd = (logs.iter().map(|log| log * log).sum::<f64>() / 4000.0).sqrt();
        assert!(mean.abs() < 0.01 && (sd - 0.1).abs() < 0.01, "{mean} {sd}");
        assert!((noise.token_factor() - 1.0).abs() < f64::EPSILON);
    }
}
