//! How long tests try random damage.

use std::time::Duration;

/// Returns the time that a test tries random damage for: a moment, or `TIDEGATE_FUZZ_SECONDS`.
pub(super) fn fuzz_time() -> Duration {
    let seconds = std::env::var("TIDEGATE_FUZZ_SECONDS");
    let seconds = seconds.map_or(0.3, |seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs_f64(seconds)
}
