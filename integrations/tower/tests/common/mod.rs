//! A service in the process, and requests to it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tidegate::{ManualClock, Quota};
use tidegate_tower::key::PeerAddr;
use tidegate_tower::{Backend, Builder, RateLimitLayer};
use tower::{Layer, ServiceExt, service_fn};

/// A quota of `cells` a minute.
pub(crate) fn per_minute(cells: u64) -> Quota {
    Quota::per_minute(cells).expect("a quota")
}

pub(crate) fn peer(address: &str) -> PeerAddr {
    PeerAddr(SocketAddr::new(address.parse().expect("an address"), 4_711))
}

/// Builds a layer whose clock stands still.
pub(crate) fn built(builder: Builder) -> (RateLimitLayer, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (builder.build_with_clock(Arc::clone(&clock)).expect("a layer"), clock)
}

/// A `GET` request of a peer.
pub(crate) fn get(path: &str, from: &str) -> Request<()> {
    Request::get(path).extension(peer(from)).body(()).expect("a request")
}

/// Asks a service that answers each request with `answer` and no header.
pub(crate) async fn ask_for<B: Backend>(
    layer: &RateLimitLayer<B>,
    request: Request<()>,
    answer: Response<Full<Bytes>>,
) -> Response<Bytes> {
    let service = service_fn(move |_: Request<()>| {
        let answer = answer.clone();
        async { Ok::<_, Infallible>(answer) }
    });
    let response = layer.layer(service).oneshot(request).await.expect("infallible");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Response::from_parts(head, body)
}

/// Asks a service that answers each request with "served".
pub(crate) async fn ask<B: Backend>(
    layer: &RateLimitLayer<B>,
    request: Request<()>,
) -> Response<Bytes> {
    ask_for(layer, request, Response::new(Full::from("served"))).await
}

pub(crate) async fn status<B: Backend>(
    layer: &RateLimitLayer<B>,
    request: Request<()>,
) -> StatusCode {
    ask(layer, request).await.status()
}

/// Counts the requests that are admitted until one is denied.
pub(crate) async fn admitted<B: Backend>(
    layer: &RateLimitLayer<B>,
    request: impl Fn() -> Request<()>,
) -> usize {
    for count in 0..1_000 {
        if status(layer, request()).await != StatusCode::OK {
            return count;
        }
    }
    1_000
}

/// Returns the values of a field, joined.
pub(crate) fn field<T>(response: &Response<T>, name: &str) -> Option<String> {
    let values = response.headers().get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.to_str().expect("text")).collect();
    (!values.is_empty()).then(|| values.join(", "))
}
