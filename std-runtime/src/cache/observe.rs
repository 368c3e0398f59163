//! The figures of a cache, for the `metrics` facade. Names follow Prometheus; keys never become labels.

use std::sync::{Mutex, PoisonError};

use tidegate_core::cache::{Counters, RemovedBytes, Stats};

/// Reports what a cache has done since it last reported.
pub(super) struct Reporter {
    label: String,
    last: Mutex<Stats>,
}

impl Reporter {
    pub(super) fn new(name: Option<&str>) -> Self {
        Self { label: name.unwrap_or("cache").to_owned(), last: Mutex::default() }
    }

    pub(super) fn report(&self, stats: &Stats) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = || self.label.clone();
        let more = |figure: fn(&Stats) -> u64| figure(stats).saturating_sub(figure(&last));
        let asked = |result, figure| {
            metrics::counter!("tidegate_cache_requests_total", "cache" => cache(), "result" => result)
                .increment(more(figure));
        };
        asked("hit", |stats| stats.counters.hits);
        asked("miss", |stats| stats.counters.misses);
        metrics::counter!("tidegate_cache_stale_total", "cache" => cache())
            .increment(more(|stats| stats.counters.stale));
        metrics::counter!("tidegate_cache_inserted_total", "cache" => cache())
            .increment(more(|stats| stats.counters.inserted));
        metrics::counter!("tidegate_cache_refused_total", "cache" => cache())
            .increment(more(|stats| stats.counters.refused));
        for (cause, entries, bytes) in CAUSES {
            metrics::counter!("tidegate_cache_removed_total", "cache" => cache(), "cause" => cause)
                .increment(entries(&stats.counters).saturating_sub(entries(&last.counters)));
            metrics::counter!("tidegate_cache_removed_bytes_total", "cache" => cache(), "cause" => cause)
                .increment(
                    bytes(&stats.removed_bytes).saturating_sub(bytes(&last.removed_bytes)),
                );
        }
        let loaded = |result, figure| {
            metrics::counter!("tidegate_cache_loads_total", "cache" => cache(), "result" => result)
                .increment(more(figure));
        };
        loaded("success", |stats| stats.loads.succeeded);
        loaded("failure", |stats| stats.loads.failed);
        metrics::counter!("tidegate_cache_load_nanoseconds_total", "cache" => cache()).increment(
            more(|stats| u64::try_from(stats.loads.time.as_nanos()).unwrap_or(u64::MAX)),
        );
        // Relative, as the counters are: caches without a name share a label.
        metrics::gauge!("tidegate_cache_entries", "cache" => cache())
            .increment(stats.usage.entries as f64 - last.usage.entries as f64);
        metrics::gauge!("tidegate_cache_bytes", "cache" => cache())
            .increment(stats.usage.bytes as f64 - last.usage.bytes as f64);
        *last = *stats;
    }
}

/// A cause of removals: its label, and the entries and bytes that were removed for it.
type Cause = (&'static str, fn(&Counters) -> u64, fn(&RemovedBytes) -> u64);

const CAUSES: [Cause; 5] = [
    ("expired", |counters| counters.expired, |bytes| bytes.expired),
    ("explicit", |counters| counters.invalidated, |bytes| bytes.invalidated),
    ("replaced", |counters| counters.replaced, |bytes| bytes.replaced),
    ("size", |counters| counters.evicted, |bytes| bytes.evicted),
    ("pressure", |counters| counters.shed, |bytes| bytes.shed),
];
