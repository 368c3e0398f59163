//! The layer counts requests for `metrics`, and reports events to `tracing`.
#![cfg(all(feature = "metrics", feature = "tracing"))]

mod common;

use std::sync::{Arc, Mutex};

use http::Request;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tidegate_tower::{Policy, RateLimitLayer};
use tracing::field::{Field, Visit};
use tracing::span;

use common::{ask, built, get, per_minute};

/// Keeps the texts of events.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tidegate_tower")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        self.0.lock().expect("a lock").push(text.0.trim_end().to_owned());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn outcomes_are_counted_and_denials_are_events() {
    let builder = RateLimitLayer::builder()
        .policy(Policy::new("clients", per_minute(2)))
        .policy(Policy::new("tried", per_minute(1)).shadow(true));
    let (layer, _) = built(builder);
    let (recorder, events) = (DebuggingRecorder::new(), Events::default());
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(events.clone(), || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for _ in 0..3 {
                    ask(&layer, get("/", "192.0.2.1")).await;
                }
                ask(&layer, Request::get("/").body(()).expect("a request")).await;
            });
        });
    });
    let mut counts: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(metrics::Label::value).collect();
            let DebugValue::Counter(count) = value else { panic!("{value:?}") };
            format!("{} {} {count}", key.key().name(), labels.join(" "))
        })
        .collect();
    counts.sort();
    assert_eq!(
        counts,
        [
            "tidegate_http_requests_total clients admitted 2",
            "tidegate_http_requests_total clients denied 1",
            "tidegate_http_requests_total clients no_key 1",
            "tidegate_http_requests_total tried admitted 1",
            "tidegate_http_requests_total tried shadowed 1",
        ]
    );
    assert_eq!(
        *events.0.lock().expect("a lock"),
        [
            r#"DEBUG message=would have denied a request policy="tried""#,
            r#"DEBUG message=denied a request policy="clients""#,
            r#"WARN message=a request has no key policy="clients""#,
        ]
    );
}
