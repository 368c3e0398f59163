//! The layer for tower services: what it adds to a request, beside `tower_governor` in front of the same service.
//!
//! The service is called in the process. It answers at once, with a short text in axum's body and its type. A turn makes the
//! request, calls the service and drops the response; what the bare service takes is a row of its own.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use tidegate::Quota;
use tidegate_tower::key::{self, PeerAddr};
use tidegate_tower::{Policy, RateLimitLayer};
use tower::{Layer, Service, service_fn};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{Spread, chunks, keys, sequence};

const SIZES: [usize; 2] = [1_000, 100_000];
/// Requests of a turn.
const REQUESTS: usize = 1 << 18;

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut row: impl FnMut(Row)) {
    for size in SIZES {
        let keys = keys(size);
        let sequence = sequence(&keys, Spread::Uniform);
        for threads in [1, 2] {
            let run = Run { turns, size, threads, sequence: &sequence };
            run.admitted(&mut row);
            run.denied(&mut row);
        }
    }
}

struct Run<'a> {
    turns: usize,
    size: usize,
    threads: usize,
    sequence: &'a [u64],
}

impl Run<'_> {
    /// Requests that are admitted.
    fn admitted(&self, row: &mut impl FnMut(Row)) {
        let quota = Quota::per_second(1_000_000_000).expect("representable");
        let policy = |name| Policy::new(name, quota).keys(self.size);
        let one = || RateLimitLayer::builder().policy(policy("clients"));
        let three = one().policy(policy("paths").key(key::path())).policy(policy("again"));
        let three = three.build().expect("representable");
        let (one, silent) = (one().build(), one().headers(false).build());
        let (one, silent) = (one.expect("representable"), silent.expect("representable"));

        let bare = |key: u64| call(&mut service_fn(serve), key);
        let mut config = GovernorConfigBuilder::default().key_extractor(Peer);
        let config = config.period(Duration::from_nanos(1)).burst_size(1_000_000);
        let silent_one = GovernorLayer::new(config.finish().expect("a quota"));
        let beside = |key: u64| call(&mut silent_one.layer(service_fn(serve)), key);
        let told = GovernorLayer::new(config.use_headers().finish().expect("a quota"));
        let beside_told = |key: u64| call(&mut told.layer(service_fn(serve)), key);

        let ours = |key: u64| call(&mut one.layer(service_fn(serve)), key);
        let rivals = ["the bare service", "tower_governor, with headers"];
        self.race("admitted, with headers", &rivals, &[&ours, &bare, &beside_told], row);
        let ours = |key: u64| call(&mut silent.layer(service_fn(serve)), key);
        let rivals = ["the bare service", "tower_governor"];
        self.race("admitted, without headers", &rivals, &[&ours, &bare, &beside], row);
        let ours = |key: u64| call(&mut three.layer(service_fn(serve)), key);
        self.race(
            "admitted by three limits, with headers",
            &["the bare service"],
            &[&ours, &bare],
            row,
        );
    }

    /// Requests that are denied, nearly all.
    fn denied(&self, row: &mut impl FnMut(Row)) {
        let quota = Quota::per_day(1).expect("representable");
        let layer = RateLimitLayer::builder().policy(Policy::new("clients", quota).keys(self.size));
        let layer = layer.build().expect("representable");
        let ours = |key: u64| call(&mut layer.layer(service_fn(serve)), key);
        let mut config = GovernorConfigBuilder::default().key_extractor(Peer);
        let config = config.period(Duration::from_secs(86_400)).burst_size(1);
        let governor = GovernorLayer::new(config.finish().expect("a quota"));
        let beside = |key: u64| call(&mut governor.layer(service_fn(serve)), key);
        self.race("denied", &["tower_governor"], &[&ours, &beside], row);
    }

    fn race(
        &self,
        case: &str,
        rivals: &[&'static str],
        calls: &[&(dyn Fn(u64) + Sync)],
        row: &mut impl FnMut(Row),
    ) {
        let each = |call: &(dyn Fn(u64) + Sync), thread, from, requests| {
            chunks(self.sequence, thread, from, requests)
                .for_each(|(_, keys)| keys.iter().for_each(|&key| call(key)));
        };
        let contestants: Vec<_> = calls
            .iter()
            .map(|&call| move |thread, from, requests| each(call, thread, from, requests))
            .collect();
        let contestants: Vec<Contestant<'_>> =
            contestants.iter().map(|contestant| contestant as Contestant<'_>).collect();
        let times = race(&contestants, self.threads, self.turns, REQUESTS);
        rows("tower", case, self.size, self.threads, rivals, &times).for_each(row);
    }
}

async fn serve(_: Request<()>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::from("served"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Calls a service that waits for nothing, as one with this address at the other end.
fn call<S: Service<Request<()>>>(service: &mut S, key: u64) {
    let mut request = Request::new(());
    let peer = SocketAddr::new(Ipv4Addr::from_bits(key as u32).into(), 4_711);
    request.extensions_mut().insert(PeerAddr(peer));
    let future = pin!(service.call(request));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => _ = black_box(response.is_ok()),
        Poll::Pending => panic!("the service waits for nothing"),
    }
}

/// The address of the peer, for `tower_governor`.
#[derive(Clone)]
struct Peer;

impl KeyExtractor for Peer {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let peer = request.extensions().get::<PeerAddr>();
        peer.map(|peer| peer.0.ip()).ok_or(GovernorError::UnableToExtractKey)
    }
}
