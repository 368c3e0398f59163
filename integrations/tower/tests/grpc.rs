//! Denials of gRPC: what a client of gRPC reads of them.

mod common;

use std::time::Duration;

use http::{Request, Response, StatusCode};
use tidegate_tower::{Policy, RateLimitLayer};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use common::{ask, built, field, peer, per_minute};

fn call(kind: &str) -> Request<()> {
    let request = Request::post("/helloworld.Greeter/SayHello").header("content-type", kind);
    request.extension(peer("192.0.2.1")).body(()).expect("a request")
}

fn read<T>(response: &Response<T>) -> Status {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(response, "content-type").as_deref(), Some("application/grpc"));
    Status::from_header_map(response.headers()).expect("a status")
}

#[tokio::test]
async fn a_client_reads_when_to_try_again() {
    for (cells, wait) in [
        (7, Duration::new(8, 571_428_572)),
        (60, Duration::from_secs(1)),
        (60_000, Duration::from_millis(1)),
        (13, Duration::new(4, 615_384_616)),
    ] {
        let quota = per_minute(cells).burst(1).expect("a quota");
        let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", quota)));
        assert_eq!(ask(&layer, call("application/grpc")).await.body(), "served");
        let denied = ask(&layer, call("application/grpc")).await;
        assert!(denied.body().is_empty());
        let status = read(&denied);
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "too many requests")
        );
        let info = status.get_details_retry_info().expect("RetryInfo");
        // A bucket may round up by a nanosecond.
        let told = info.retry_delay.expect("a delay");
        assert!(told >= wait && told - wait <= Duration::from_nanos(2), "{told:?}, not {wait:?}");
        assert!(field(&denied, "ratelimit").is_some() && field(&denied, "retry-after").is_some());
    }
}

#[tokio::test]
async fn a_long_wait_and_none_are_told_too() {
    let quota = tidegate::Quota::per_day(1).expect("a quota");
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", quota)));
    ask(&layer, call("application/grpc+proto")).await;
    let status = read(&ask(&layer, call("application/grpc+proto")).await);
    let info = status.get_details_retry_info().expect("RetryInfo");
    assert_eq!(info.retry_delay, Some(Duration::from_secs(86_400)));

    let closed = Policy::new("a", tidegate::Quota::closed());
    let (layer, _) = built(RateLimitLayer::builder().policy(closed));
    let status = read(&ask(&layer, call("application/grpc")).await);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().is_none());
}

#[tokio::test]
async fn a_call_without_a_key_is_not_permitted() {
    let (layer, _) = built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(1))));
    let keyless = Request::post("/").header("content-type", "application/grpc").body(());
    let status = read(&ask(&layer, keyless.expect("a request")).await);
    assert_eq!(status.code(), Code::PermissionDenied);
}
