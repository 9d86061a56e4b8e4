//! A fixed piece of work: when it takes longer, it is the machine.

use std::hint::black_box;

use autotune_engine::api::Clock;

/// Numbers that are mixed: about 10 ms on a processor of today.
const STEPS: u64 = 6_000_000;
/// How often it is timed per visit; the fastest counts, as interruptions only add.
const TIMES: u32 = 3;

/// Something that times a fixed piece of work.
pub trait Canary {
    /// Seconds that it took; `None` where there is no machine to ask.
    fn sing(&mut self) -> Option<f64>;
}

/// A dependent chain of integer arithmetic: what it takes is the clock of one core.
pub struct Arithmetic<'a>(pub &'a dyn Clock);

impl Canary for Arithmetic<'_> {
    fn sing(&mut self) -> Option<f64> {
        let once = || {
            let start = self.0.now();
            let mut number = black_box(0x9e37_79b9_7f4a_7c15_u64);
            for _ in 0..STEPS {
                // Marsaglia's xorshift: each step waits for the one before.
                number ^= number << 13;
                number ^= number >> 7;
                number ^= number << 17;
            }
            black_box(number);
            self.0.now().saturating_sub(start).as_secs_f64()
        };
        (0..TIMES).map(|_| once()).filter(|seconds| *seconds > 0.0).min_by(f64::total_cmp)
    }
}

/// For simulated machines.
pub struct Silent;

impl Canary for Silent {
    fn sing(&mut self) -> Option<f64> {
        None
    }
}
