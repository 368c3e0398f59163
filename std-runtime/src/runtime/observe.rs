//! The figures of a run, for collectors: the `metrics` facade and `tracing`, each behind a feature of its name. Names
//! follow Prometheus; keys never become labels.

use std::fmt::Display;
use std::time::Duration;

/// Reports a run that has ended. Metrics get the label, of which there are no more than a program has names; traces get the
/// name.
#[cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "used by the collectors")
)]
pub(super) fn ran(
    name: &str,
    label: &str,
    removed: Result<u64, &impl Display>,
    took: Duration,
    overruns: u64,
) {
    #[cfg(feature = "metrics")]
    {
        let task = || label.to_owned();
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
        Ok(removed) => tracing::debug!(task = name, removed, ?took, overruns, "run"),
        Err(error) => tracing::warn!(task = name, %error, ?took, overruns, "run failed"),
    }
}
