//! What a request allocates on its way through the limits, beyond what the service alone allocates.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use tidegate_tower::key::{self, Trust};
use tidegate_tower::{Policy, RateLimitLayer};
use tower::{Layer, Service, service_fn};

use common::{built, peer, per_minute};

/// Counts the allocations of the thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; a thread-local count allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A service that answers as most do: with a type.
async fn serve(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from("served"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Returns the allocations of one call of `service`, after some that warm it up.
fn allocations<S, B>(service: &mut S, request: impl Fn() -> Request<()>) -> usize
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let mut last = 0;
    for _ in 0..10 {
        let request = request();
        let before = ALLOCATIONS.get();
        let mut future = pin!(service.call(request));
        let Poll::Ready(response) = future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("the service waits for nothing");
        };
        last = ALLOCATIONS.get() - before;
        drop(response);
    }
    last
}

fn request() -> Request<()> {
    let request = Request::get("/").header("x-forwarded-for", "198.51.100.1, 203.0.113.7");
    request.extension(peer("192.0.2.1")).body(()).expect("a request")
}

#[test]
fn an_admitted_request_allocates_once() {
    let bare = allocations(&mut service_fn(serve), request);
    let above =
        |layer: &RateLimitLayer| allocations(&mut layer.layer(service_fn(serve)), request) - bare;

    let one = RateLimitLayer::builder().policy(Policy::new("a", per_minute(1_000)));
    assert_eq!(above(&built(one).0), 1);

    let forwarded = key::forwarded(Trust::Hops(1));
    let three = RateLimitLayer::builder()
        .policy(Policy::new("a", per_minute(1_000)))
        .policy(Policy::new("b", per_minute(1_000)).key(forwarded).class(per_minute(7)))
        .policy(Policy::new("c", per_minute(1_000)).key(key::path()).cost(|_| 3));
    assert_eq!(above(&built(three).0), 1);

    // The value of `RateLimit` is the one.
    let silent = RateLimitLayer::builder().policy(Policy::new("a", per_minute(1_000)));
    assert_eq!(above(&built(silent.headers(false)).0), 0);

    let shadow = RateLimitLayer::builder().policy(Policy::new("a", per_minute(1)));
    assert_eq!(above(&built(shadow.shadow(true)).0), 0);

    // What was charged, and what settles it.
    let settled = Policy::new("a", per_minute(1_000)).settle(|served| served.body_bytes());
    assert_eq!(above(&built(RateLimitLayer::builder().policy(settled)).0), 3);
}

#[test]
fn a_request_that_no_policy_is_about_allocates_nothing() {
    let bare = allocations(&mut service_fn(serve), request);
    let policy = Policy::new("a", per_minute(1)).when(|_| false);
    let (layer, _) = built(RateLimitLayer::builder().policy(policy));
    assert_eq!(allocations(&mut layer.layer(service_fn(serve)), request), bare);
}
