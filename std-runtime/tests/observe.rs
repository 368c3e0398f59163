//! What happens, as collectors see it.

#![cfg(all(feature = "metrics", feature = "tracing", target_os = "linux"))]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tidegate::lockfree::Cache;
use tidegate::pressure::{Medium, Pool, Pressure, Priority, Rules, Sample, Watermarks, from_fn};
use tidegate::{Clock, Runtime, Schedule, Swept, Tiers, clock, domain, pin, random_state};

/// What is written to it.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Triggered on this thread, so that local collectors see it.
fn happens() {
    let runtime = Runtime::builder().build().expect("a runtime");
    let minutely = Schedule::every(Duration::from_secs(60)).expect("an interval");
    let mut outcomes = vec![Err("on purpose"), Ok(7), Ok(5)];
    let it = runtime.task("sessions", minutely, move |_, _| {
        outcomes.pop().expect("three").map(|removed| Swept {
            visited: 10,
            removed,
            freed: 0,
            wrapped: true,
        })
    });
    let it = it.expect("a name");
    assert!(it.trigger().is_ok() && it.trigger().is_ok() && it.trigger().is_err());

    let cache: Arc<Cache<u32, u32>> =
        Arc::new(Cache::builder(domain(), random_state()).max_entries(100).build().expect("ok"));
    for key in 0..10 {
        cache.insert(key, key, clock().now(), &pin()).expect("room");
    }
    let pool = Pool::new();
    pool.cache("cache", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let full = from_fn("dial", Medium::Host, || Sample::bytes(95, 100, "a dial"));
    let rules = Rules::new(Watermarks::percent(90, 89).expect("ok")).steps(1, 4).expect("ok");
    let pressure = runtime.pressure("memory", Pressure::builder(full, &pool).rules(rules));
    assert!(pressure.expect("threads").force_check().is_ok());
}

/// Both at once, for what a collector of events has looked at once it remembers for the process.
#[test]
fn metrics_follow_prometheus_and_failures_and_evictions_are_events() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let lines = Lines::default();
    let writes = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writes.clone())
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .without_time()
        .finish();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, happens);
    });
    are_named_as_prometheus_does(&snapshotter);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("task=\"sessions\""), "{text}");
    assert!(lines[0].contains("error=on purpose"), "{text}");
    assert!(lines[1].contains("INFO") && lines[1].contains("evicted 4 entries"), "{text}");
}

/// And keys are never labels.
fn are_named_as_prometheus_does(snapshotter: &Snapshotter) {
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let key = key.key();
        let labels: Vec<_> =
            key.labels().map(|it| format!("{}={}", it.key(), it.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => format!("{} values", values.len()),
        };
        seen.insert(format!("{} {}", key.name(), labels.join(",")), value);
    }
    let expected = [
        ("tidegate_errors_total task=sessions", "1"),
        ("tidegate_evicted_bytes_total pressure=memory", "4"),
        ("tidegate_overruns_total task=memory", "0"),
        ("tidegate_overruns_total task=sessions", "0"),
        ("tidegate_pressure_total_bytes pressure=memory", "100"),
        ("tidegate_pressure_used_bytes pressure=memory", "95"),
        ("tidegate_removed_total task=memory", "4"),
        ("tidegate_removed_total task=sessions", "12"),
        ("tidegate_run_seconds task=memory", "1 values"),
        ("tidegate_run_seconds task=sessions", "2 values"),
        ("tidegate_runs_total task=memory", "1"),
        ("tidegate_runs_total task=sessions", "2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(seen, BTreeMap::from(expected));
}

/// Otherwise each structure that was ever made would be a label of its own.
#[test]
fn structures_without_a_name_share_a_label() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = Runtime::builder().build().expect("a runtime");
    let named = || tidegate::Cache::<u32, u32>::builder().name("pages").runtime(&runtime).build();
    let unnamed = || tidegate::Cache::<u32, u32>::builder().runtime(&runtime).build();
    let caches = [named(), named(), unnamed(), unnamed()];
    metrics::with_local_recorder(&recorder, || {
        for handle in runtime.sweep_handles() {
            handle.trigger().expect("a run");
        }
    });
    let runs = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let label = key.key().labels().next()?.value().to_owned();
        (key.key().name() == "tidegate_runs_total").then_some((label, value))
    });
    let two = |label: &str| (label.to_owned(), DebugValue::Counter(2));
    assert_eq!(BTreeMap::from_iter(runs), BTreeMap::from([two("cache"), two("pages")]));
    drop(caches);
}

#[test]
fn figures_of_a_cache_are_reported_by_its_name() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let cache = tidegate::Cache::builder()
            .name("pages")
            .max_capacity(10)
            .weigher(|_: &u32, &bytes: &u32| bytes)
            .count_reads(true)
            .manual()
            .build();
        cache.insert(1, 6);
        cache.insert(2, 6);
        assert_eq!((cache.get(&2), cache.get(&1)), (Some(6), None));
        assert_eq!(cache.get_with(3, || 4), 4);
        cache.run_pending_tasks();
        assert!(cache.try_get_with(4, || Err::<u32, _>("on purpose")).is_err());
        cache.invalidate(&3);
        let bytes = cache.stats().removed_bytes;
        assert_eq!((bytes.evicted, bytes.invalidated), (6, 4));
    });
    let mut figures = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(figure) => figure.into_inner(),
            DebugValue::Histogram(_) => continue,
        };
        figures.insert((key.key().name().to_owned(), labels.join(" ")), value);
    }
    let figure = |name: &str, labels: &str| {
        figures.get(&(format!("tidegate_cache_{name}"), labels.to_owned())).copied()
    };
    assert_eq!(figure("requests_total", "pages hit"), Some(1.0), "{figures:?}");
    assert_eq!(figure("requests_total", "pages miss"), Some(3.0), "{figures:?}");
    assert_eq!(figure("loads_total", "pages success"), Some(1.0));
    assert_eq!(figure("loads_total", "pages failure"), Some(1.0));
    assert_eq!(figure("inserted_total", "pages"), Some(3.0));
    assert_eq!(figure("removed_total", "pages size"), Some(1.0));
    assert_eq!(figure("removed_bytes_total", "pages size"), Some(6.0));
    assert_eq!(figure("removed_bytes_total", "pages explicit"), Some(4.0));
    assert_eq!(figure("entries", "pages"), Some(0.0), "it was dropped");
}
