//! Costs that are estimates, settled by what the response was.

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tidegate::{ManualClock, Quota};
use tidegate_tower::{Policy, RateLimitLayer, Route};
use tower::{Layer, ServiceExt, service_fn};

use common::{ask, ask_for, built, field, get, per_minute};

/// A layer of 100 bytes a minute and a debt of 500, where each response is assumed to have 10.
fn by_bytes() -> (RateLimitLayer, Arc<ManualClock>) {
    let quota = per_minute(100).debt(500).expect("a quota");
    let policy = Policy::new("a", quota).cost(|_| 10).settle(|served| served.body_bytes());
    built(RateLimitLayer::builder().policy(policy))
}

/// What remains, by a request that costs 10 and is settled to cost nothing.
async fn remains(layer: &RateLimitLayer) -> u64 {
    let response = ask_for(layer, get("/", "192.0.2.1"), Response::default()).await;
    let stands = field(&response, "ratelimit").expect("a field");
    let rest = stands.split(";r=").nth(1).and_then(|rest| rest.split(';').next());
    rest.and_then(|rest| rest.parse::<u64>().ok()).expect("a number") + 10
}

fn of_bytes(bytes: usize) -> Response<Full<Bytes>> {
    Response::new(Full::from(vec![b'x'; bytes]))
}

#[tokio::test]
async fn what_was_not_used_comes_back() {
    let (layer, _) = by_bytes();
    assert_eq!(remains(&layer).await, 100);
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(3)).await;
    assert_eq!(remains(&layer).await, 97);
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(10)).await;
    assert_eq!(remains(&layer).await, 87);
}

#[tokio::test]
async fn what_was_used_on_top_is_charged_into_debt() {
    let (layer, clock) = by_bytes();
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(40)).await;
    assert_eq!(remains(&layer).await, 60);
    // 140 more than there is.
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(200)).await;
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    assert_eq!(denied.status(), StatusCode::TOO_MANY_REQUESTS);
    // A cell flows in every 0.6 seconds: 150 of them must.
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("90"));
    clock.advance(Duration::from_secs(90));
    assert_eq!(remains(&layer).await, 10);
}

#[tokio::test]
async fn no_more_than_the_debt_is_charged() {
    let (layer, clock) = by_bytes();
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(1_000_000)).await;
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    // 500 of debt, and 10 for the next request.
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("306"));
    clock.advance(Duration::from_secs(360));
    assert_eq!(remains(&layer).await, 100);
}

#[tokio::test]
async fn debts_of_requests_at_once_add_up() {
    let (layer, _) = by_bytes();
    let service = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(of_bytes(60)) });
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let served = layer.layer(service).oneshot(get("/", "192.0.2.1")).await;
        bodies.push(served.expect("infallible").into_body());
    }
    for body in bodies {
        body.collect().await.expect("a body");
    }
    // 240 are used, of 100.
    let denied = ask(&layer, get("/", "192.0.2.1")).await;
    assert_eq!(field(&denied, "retry-after").as_deref(), Some("90"));
}

/// A body of two frames, of which the second may fail.
struct Two {
    polled: u8,
    fails: bool,
}

impl Body for Two {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.polled += 1;
        Poll::Ready(match self.polled {
            1 => Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 20])))),
            2 if self.fails => Some(Err("the body has failed")),
            2 => Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 30])))),
            _ => None,
        })
    }
}

async fn two(layer: &RateLimitLayer, fails: bool) -> impl Body<Data = Bytes> + Unpin {
    let service = service_fn(move |_: Request<()>| async move {
        Ok::<_, Infallible>(Response::new(Two { polled: 0, fails }))
    });
    let response = layer.layer(service).oneshot(get("/", "192.0.2.1")).await;
    response.expect("infallible").into_body()
}

#[tokio::test]
async fn a_client_that_goes_away_pays_for_what_it_got() {
    let (layer, _) = by_bytes();
    let mut body = two(&layer, false).await;
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    drop(body);
    assert_eq!(remains(&layer).await, 80);

    let mut body = two(&layer, true).await;
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
    // Settled before the body is dropped.
    assert_eq!(remains(&layer).await, 60);
    drop(body);
    assert_eq!(remains(&layer).await, 60);

    let body = two(&layer, false).await;
    body.collect().await.ok().expect("a body");
    assert_eq!(remains(&layer).await, 10);
}

#[tokio::test]
async fn the_estimate_stays_charged_without_a_response() {
    let (layer, _) = by_bytes();
    let fails = service_fn(|_: Request<()>| async { Err::<Response<Two>, _>("failed") });
    assert!(layer.layer(fails).oneshot(get("/", "192.0.2.1")).await.is_err());
    assert_eq!(remains(&layer).await, 90);

    let never = service_fn(|_: Request<()>| std::future::pending::<Result<Response<Two>, ()>>());
    let future = layer.layer(never).oneshot(get("/", "192.0.2.1"));
    assert!(tokio::time::timeout(Duration::from_millis(1), future).await.is_err());
    assert_eq!(remains(&layer).await, 80);
}

#[tokio::test]
async fn a_panic_of_the_settlement_leaves_the_estimate_charged() {
    let policy = Policy::new("a", per_minute(100)).cost(|_| 10).settle(|served| {
        assert!(served.body_bytes() != 6, "of the test");
        0
    });
    let (layer, _) = built(RateLimitLayer::builder().policy(policy));
    assert_eq!(ask(&layer, get("/", "192.0.2.1")).await.status(), StatusCode::OK);
    assert_eq!(remains(&layer).await, 90);
}

#[tokio::test]
async fn only_failed_logins_count() {
    let logins = Policy::new("logins", Quota::per_hour(3).expect("a quota"))
        .only(Route::post("/login"))
        .settle(|served| u64::from(served.status() == StatusCode::UNAUTHORIZED));
    let (layer, _) = built(RateLimitLayer::builder().policy(logins));
    let login = |status: StatusCode| {
        let mut request = get("/login", "192.0.2.1");
        *request.method_mut() = http::Method::POST;
        let mut response = Response::new(Full::from("an answer"));
        *response.status_mut() = status;
        ask_for(&layer, request, response)
    };
    for _ in 0..20 {
        assert_eq!(login(StatusCode::OK).await.status(), StatusCode::OK);
    }
    for _ in 0..3 {
        assert_eq!(login(StatusCode::UNAUTHORIZED).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(login(StatusCode::OK).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn each_policy_settles_its_own_estimate() {
    let bytes = Policy::new("bytes", per_minute(100)).cost(|_| 50).settle(|s| s.body_bytes());
    let requests = Policy::new("requests", per_minute(100));
    let failures = Policy::new("failures", per_minute(100)).settle(|served| {
        assert!(served.is_complete());
        u64::from(served.status().is_server_error())
    });
    let builder = RateLimitLayer::builder().policy(bytes).policy(requests).policy(failures);
    let (layer, _) = built(builder);
    ask(&layer, get("/", "192.0.2.1")).await;
    let response = ask(&layer, get("/", "192.0.2.1")).await;
    let stands = field(&response, "ratelimit").expect("a field");
    // 6 bytes of the first response and 50 assumed of this one; 2 requests; this one's failure.
    let expected = [r#""bytes";r=44;"#, r#""requests";r=98;"#, r#""failures";r=99;"#];
    assert!(expected.iter().all(|item| stands.contains(item)), "{stands}");
}

#[tokio::test]
async fn a_request_that_shadow_mode_has_let_through_is_charged_nothing() {
    let quota = per_minute(10).debt(100).expect("a quota");
    let policy = Policy::new("a", quota).cost(|_| 10).settle(|served| served.body_bytes());
    let (layer, clock) = built(RateLimitLayer::builder().policy(policy.shadow(true)));
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(10)).await;
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(100)).await;
    assert_eq!(layer.backend().shadow_denials(0), 1);
    // Without the debt of the second response a minute fills the bucket.
    clock.advance(Duration::from_secs(60));
    ask_for(&layer, get("/", "192.0.2.1"), of_bytes(10)).await;
    assert_eq!(layer.backend().shadow_denials(0), 1);
}
