//! What befalls a machine for seconds or minutes, whatever it computes: neighbours that come and
//! go, heat, and what was recorded on a real one. The median of each over a long time is about 1.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::noise::uniform;
use super::spec::{BurstSpec, NoiseSpec, ThrottleSpec};
use super::trace::Trace;

/// What is being computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Prompts.
    Compute,
    /// Tokens by one thread.
    Alone,
    /// Tokens by several threads.
    Together,
}

/// The state of all that befalls a machine.
#[derive(Debug)]
pub(super) struct Weather {
    bursts: Option<Bursts>,
    heat: Option<Heat>,
    record: Option<Record>,
}

#[derive(Debug)]
struct Bursts {
    spec: BurstSpec,
    chance: Xoshiro256PlusPlus,
    /// Whether a neighbour is there, and until when that stays so, in seconds.
    there: bool,
    until_s: f64,
}

#[derive(Debug)]
struct Heat {
    spec: ThrottleSpec,
    /// 0 = cold, 1 = as hot as it gets.
    level: f64,
    /// When it was last looked at.
    at: Duration,
}

#[derive(Debug)]
struct Record {
    trace: Arc<Trace>,
    /// Exponent of its values.
    scale: f64,
    /// Where in the record the machine was switched on, in seconds.
    begin_s: f64,
}

impl Weather {
    pub(super) fn new(spec: &NoiseSpec, trace: Option<Arc<Trace>>, seed: u64) -> Self {
        // Chance of its own, so that a machine without it has the noise that it always had.
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x0077_6561_7468_6572);
        let record = trace.map(|trace| Record {
            begin_s: uniform(&mut chance) * trace.together.length_s(),
            scale: spec.trace_scale,
            trace,
        });
        let bursts = spec.bursts.map(|spec| {
            let until_s = spec.every_s * exponential(&mut chance);
            Bursts { spec, chance, there: false, until_s }
        });
        let heat = spec.throttling.map(|spec| Heat { spec, level: 0.0, at: Duration::ZERO });
        Self { bursts, heat, record }
    }

    /// Whether there is any, so that work has to be cut into pieces.
    pub(super) fn changes(&self) -> bool {
        self.bursts.is_some() || self.heat.is_some() || self.record.is_some()
    }

    /// The factor that work at this moment is slower by. What has passed since the last look,
    /// unless it was [worked](Self::worked), counts as rest.
    pub(super) fn factor(&mut self, now: Duration, kind: Kind) -> f64 {
        let seconds = now.as_secs_f64();
        let burst = self.bursts.as_mut().map_or(1.0, |bursts| bursts.factor(seconds));
        let heat = self.heat.as_mut().map_or(1.0, |heat| {
            heat.pass(now, 0.0);
            heat.factor()
        });
        let record = self.record.as_ref().map_or(1.0, |record| {
            let series = match kind {
                Kind::Compute => &record.trace.compute,
                Kind::Alone => &record.trace.alone,
                Kind::Together => &record.trace.together,
            };
            series.at(record.begin_s + seconds).powf(record.scale)
        });
        burst * heat * record
    }

    /// The machine was at work until now.
    pub(super) fn worked(&mut self, now: Duration) {
        if let Some(heat) = &mut self.heat {
            heat.pass(now, 1.0);
        }
    }
}

impl Bursts {
    fn factor(&mut self, seconds: f64) -> f64 {
        while self.until_s <= seconds {
            self.there = !self.there;
            let mean = if self.there { self.spec.length_s } else { self.spec.every_s };
            self.until_s += mean * exponential(&mut self.chance);
        }
        if self.there { 1.0 / (1.0 - self.spec.share) } else { 1.0 }
    }
}

impl Heat {
    /// Approaches a level for the time since the last look.
    fn pass(&mut self, now: Duration, goal: f64) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.level = goal + (self.level - goal) * (-elapsed / self.spec.time_s).exp();
    }

    fn factor(&self) -> f64 {
        let above = (self.level - self.spec.threshold) / (1.0 - self.spec.threshold);
        1.0 + self.spec.slowdown * above.max(0.0)
    }
}

/// An exponential number of mean 1, never 0.
fn exponential(chance: &mut Xoshiro256PlusPlus) -> f64 {
    (-(1.0 - uniform(chance)).ln()).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    fn weather(spec: &NoiseSpec) -> Weather {
        Weather::new(spec, None, 5)
    }

    #[test]
    fn neighbours_come_for_a_while_and_take_their_share() {
        let bursts = BurstSpec { every_s: 30.0, length_s: 10.0, share: 0.5 };
        let mut weather = weather(&NoiseSpec { bursts: Some(bursts), ..NoiseSpec::default() });
        let factors: Vec<f64> = (0..80_000)
            .map(|step| weather.factor(seconds(f64::from(step) / 4.0), Kind::Alone))
            .collect();
        let there = factors.iter().filter(|factor| **factor > 1.5).count() as f64 / 80_000.0;
        assert!((there - 0.25).abs() < 0.05, "{there}");
        assert!(factors.iter().all(|factor| [1.0, 2.0].contains(factor)));
        let changes = factors.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((400..600).contains(&changes), "{changes} in 20000 s");
    }

    #[test]
    fn a_machine_that_works_gets_hot_and_one_that_rests_recovers() {
        let throttling = ThrottleSpec { time_s: 60.0, threshold: 0.5, slowdown: 0.4 };
        let mut weather =
            weather(&NoiseSpec { throttling: Some(throttling), ..NoiseSpec::default() });
        assert!((weather.factor(seconds(100.0), Kind::Compute) - 1.0).abs() < 1e-12);
        weather.worked(seconds(130.0));
        assert!((weather.factor(seconds(130.0), Kind::Compute) - 1.0).abs() < 1e-12);
        weather.worked(seconds(600.0));
        let hot = weather.factor(seconds(600.0), Kind::Compute);
        assert!((hot - 1.4).abs() < 0.001, "{hot}");
        let rested = weather.factor(seconds(720.0), Kind::Compute);
        assert!((rested - 1.0).abs() < 1e-12, "{rested}");
    }
}
