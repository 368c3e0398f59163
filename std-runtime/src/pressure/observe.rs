//! The result of a check, for the program that collects it: by the `metrics` facade and by
//! `tracing`, each behind a feature of its name. Names are Prometheus's; keys never become labels.

#[cfg(feature = "metrics")]
use tidegate_core::pressure::Reading;

use super::check::Check;
#[cfg(feature = "metrics")]
use super::source::Measure;
use super::source::Sample;

/// Reports that a source was sampled, and what was done about it.
#[cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(unused_variables, reason = "for those who collect")
)]
pub(super) fn checked(name: &str, check: Check, sample: Option<&Sample>) {
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
