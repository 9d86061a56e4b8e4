//! A slowdown on purpose: for tests of who has to notice it, behind a feature of the build.

use std::sync::LazyLock;
use std::time::Instant;

/// How much longer each step takes, as a share of itself.
static SHARE: LazyLock<f64> = LazyLock::new(|| {
    let percent = std::env::var("AUTOTUNE_PLANTED_PERCENT").ok();
    let percent: f64 = percent.and_then(|text| text.parse().ok()).unwrap_or(0.0);
    if percent.is_finite() { percent.clamp(0.0, 1000.0) / 100.0 } else { 0.0 }
});

/// Spins until a step that began then has taken so much longer than it would have.
pub(super) fn linger(since: Instant) {
    let whole = since.elapsed().mul_f64(1.0 + *SHARE);
    while since.elapsed() < whole {
        std::hint::spin_loop();
    }
}
