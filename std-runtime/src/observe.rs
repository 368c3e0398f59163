//! What happened, for whoever collects it: by the `metrics` facade and by `tracing`, each behind a feature of
//! its name. Names are Prometheus's; keys never become labels.

use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::pressure::{Check, Sample};
#[cfg(all(feature = "metrics", target_os = "linux"))]
use crate::pressure::{Measure, Reading};
use crate::task::RunError;

/// A run has ended.
#[cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "for those who collect")
)]
pub(crate) fn ran(task: &str, removed: Result<u64, &RunError>, took: Duration, overruns: u64) {
    #[cfg(feature = "metrics")]
    {
        let task = || task.to_owned();
        match removed {
            Ok(removed) => {
                metrics::counter!("tidegate_runs_total", "task" => task()).increment(1);
                metrics::counter!("tidegate_removed_total", "task" => task()).increment(removed);
                metrics::histogram!("tidegate_run_seconds", "task" => task())
                    .record(took.as_secs_f64());
            }
            Err(_) => metrics::counter!("tidegate_errors_total", "task" => task()).increment(1),
        }
        metrics::counter!("tidegate_overruns_total", "task" => task()).increment(overruns);
    }
    #[cfg(feature = "tracing")]
    match removed {
        Ok(removed) => tracing::debug!(task, removed, ?took, overruns, "run"),
        Err(error) => tracing::warn!(task, %error, ?took, overruns, "run failed"),
    }
}

/// A source was sampled, and something done about it.
#[cfg(target_os = "linux")]
#[cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "for those who collect")
)]
pub(crate) fn checked(name: &str, check: Check, sample: Option<&Sample>) {
    #[cfg(feature = "metrics")]
    {
        let name = || name.to_owned();
        if let Check::Evicted { bytes, .. } = check {
            metrics::counter!("tidegate_evicted_bytes_total", "pressure" => name())
                .increment(bytes);
        }
        match sample.map(|sample| (sample.measure, sample.reading)) {
            Some((Measure::Bytes, Reading::Known { used, total })) => {
                metrics::gauge!("tidegate_pressure_used_bytes", "pressure" => name())
                    .set(used as f64);
                metrics::gauge!("tidegate_pressure_total_bytes", "pressure" => name())
                    .set(total as f64);
            }
            Some((_, Reading::Unknown(_))) => {
                metrics::counter!("tidegate_pressure_unknown_total", "pressure" => name())
                    .increment(1);
            }
            _ => {}
        }
    }
    #[cfg(feature = "tracing")]
    if let Check::Evicted { .. } = check {
        tracing::info!(pressure = name, %check, "evicted");
    } else {
        let detail = sample.map(|sample| sample.detail.as_str());
        tracing::debug!(pressure = name, %check, detail, "not evicted");
    }
}
