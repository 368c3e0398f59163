//! A backend that takes its time, as one on another machine does.

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate_tower::key::{self, Key};
use tidegate_tower::{
    Answer, Ask, Backend, BuildError, Decided, LimitSpec, OnUnavailable, Policy, RateLimitLayer,
    Standing, Standings, Step, Unavailable,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use common::{ask, field, get, per_minute};

/// Admits the first request, denies the second, fails at the third, and so on. Remembers what it was
/// asked and told.
struct Remote {
    asked: AtomicUsize,
    keys: Mutex<Vec<Vec<u8>>>,
    settled: Mutex<Vec<(usize, Vec<u64>)>>,
}

impl Remote {
    fn new(specs: &[LimitSpec]) -> Result<Self, Infallible> {
        assert_eq!(specs.iter().map(|spec| &*spec.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((specs[1].quotas.len(), specs[1].keys), (2, 7));
        Ok(Self { asked: AtomicUsize::new(0), keys: Mutex::default(), settled: Mutex::default() })
    }
}

impl Backend for Remote {
    type Charge = usize;
    type Decide = Pin<Box<dyn Future<Output = Decided<usize>> + Send>>;

    fn decide(&self, asks: &[Ask<'_>]) -> Step<Self> {
        let mut keys = self.keys.lock().expect("a lock");
        for ask in asks {
            let mut key = Vec::new();
            ask.key.encode(&mut key);
            keys.push(key);
        }
        assert_eq!((asks[1].limit, asks[1].class, asks[1].cost), (1, 1, 5));
        assert_eq!([asks[0].is_estimate, asks[1].is_estimate], [false, true]);
        // Relaxed, with no partner: it counts.
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut standings = Standings::new();
        standings.push(Standing { is_admitted: true, remaining: 9, ..Standing::default() });
        standings.push(Standing {
            is_admitted: matches!(at % 3, 0),
            remaining: 4,
            retry_after: Some(Duration::from_millis(2_500)),
            ..Standing::default()
        });
        let decide: Self::Decide = Box::pin(async move {
            tokio::task::yield_now().await;
            match at % 3 {
                0 => Ok(Answer { standings, denied_by: None, charge: Some(at) }),
                1 => Ok(Answer { standings, denied_by: Some(1), charge: None }),
                _ => Err(Unavailable),
            }
        });
        Step::Later(decide)
    }

    fn settle(&self, charge: usize, used: &[u64]) {
        self.settled.lock().expect("a lock").push((charge, used.to_vec()));
    }
}

fn layer(on_unavailable: OnUnavailable) -> RateLimitLayer<Remote> {
    let second = Policy::new("b", per_minute(10))
        .key(key::from_fn(|head| Some(Key::text(head.path()))))
        .keys(7)
        .class(per_minute(20))
        .class_by(|_| 1)
        .cost(|_| 5)
        .settle(|served| served.body_bytes());
    RateLimitLayer::builder()
        .policy(Policy::new("a", per_minute(10)))
        .policy(second)
        .on_unavailable(on_unavailable)
        .build_with(Remote::new)
        .expect("a layer")
}

#[tokio::test]
async fn a_decision_may_take_time() {
    let layer = layer(OnUnavailable::Deny);
    let first = ask(&layer, get("/x", "192.0.2.1")).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(field(&first, "ratelimit").as_deref(), Some(r#""a";r=9;t=0, "b";r=4;t=0"#));
    let policies = field(&first, "ratelimit-policy");
    assert_eq!(policies.as_deref(), Some(r#""a";q=10;w=60, "b";q=20;w=60"#));
    assert_eq!(*layer.backend().settled.lock().expect("a lock"), [(0, vec![6])]);

    let second = ask(&layer, get("/x", "192.0.2.1")).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(field(&second, "retry-after").as_deref(), Some("3"));
    assert_eq!(field(&second, "ratelimit").as_deref(), Some(r#""a";r=9;t=0, "b";r=4;t=3"#));

    let third = ask(&layer, get("/x", "192.0.2.1")).await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&third, "ratelimit"), None);
    let keys = layer.backend().keys.lock().expect("a lock");
    assert_eq!(keys[..2], [vec![b'a', 32, 192, 0, 2, 1], b"b/x".to_vec()]);
}

#[tokio::test]
async fn what_cannot_be_decided_may_pass() {
    let layer = layer(OnUnavailable::Allow);
    for expected in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS, StatusCode::OK] {
        assert_eq!(ask(&layer, get("/x", "192.0.2.1")).await.status(), expected);
    }
    assert_eq!(layer.backend().settled.lock().expect("a lock").len(), 1);
}

/// A service that panics if it is called without having been ready, as services may.
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { is_ready: false }
    }
}

impl Service<Request<()>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called before it was ready");
        std::future::ready(Ok(Response::default()))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let later = layer(OnUnavailable::Allow);
    let now = common::built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(9)))).0;
    let (mut later, mut now) =
        (later.layer(Strict { is_ready: false }), now.layer(Strict { is_ready: false }));
    for _ in 0..3 {
        let response = later.ready().await.expect("ready").call(get("/", "192.0.2.1")).await;
        response.expect("infallible").into_body().collect().await.expect("a body");
        let response = now.ready().await.expect("ready").call(get("/", "192.0.2.1")).await;
        response.expect("infallible").into_body().collect().await.expect("a body");
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_meanwhile_is_not_served() {
    let layer = layer(OnUnavailable::Deny);
    let served = service_fn(|_: Request<()>| async {
        panic!("served") as Result<Response<Full<Bytes>>, Infallible>
    });
    let mut service = layer.layer(served);
    drop(service.ready().await.expect("ready").call(get("/", "192.0.2.1")));
    assert!(layer.backend().settled.lock().expect("a lock").is_empty());
}

#[test]
fn a_backend_that_cannot_be_built_is_an_error() {
    let builder = RateLimitLayer::builder().policy(Policy::new("a", per_minute(1)));
    let failed = builder.build_with(|_| Err::<Remote, _>("no connection"));
    let Err(BuildError::Backend(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.to_string(), "no connection");
}
