//! With axum: a layer that every connection and every worker has a clone of is one limit.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::{Request, StatusCode};
use tidegate_tower::key::{self, Key};
use tidegate_tower::{Policy, RateLimitLayer};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower::ServiceExt;

use common::{built, peer, per_minute};

const REQUESTS: usize = 1_500;
const LIMIT: usize = 700;

/// 1,500 requests at once, of which those that are admitted wait for each other: exactly the limit
/// passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_limit_passes() {
    let all_inside = Arc::new(Barrier::new(LIMIT));
    let handler = move || async move {
        // If fewer were admitted, this would wait for ever; the others were denied then.
        all_inside.wait().await;
        "served"
    };
    let (layer, _) =
        built(RateLimitLayer::builder().policy(Policy::new("a", per_minute(LIMIT as u64))));
    let app = Router::new().route("/", get(handler)).layer(layer);
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        // A clone for each request, as axum makes them.
        let app = app.clone();
        tasks.spawn(async move {
            let request = Request::get("/").extension(peer("192.0.2.1")).body(Body::empty());
            app.oneshot(request.expect("a request")).await.expect("infallible").status()
        });
    }
    let mut statuses = Vec::new();
    while let Some(status) = tasks.join_next().await {
        statuses.push(status.expect("no panic"));
    }
    let count = |status| statuses.iter().filter(|&&other| other == status).count();
    assert_eq!(count(StatusCode::OK), LIMIT);
    assert_eq!(count(StatusCode::TOO_MANY_REQUESTS), REQUESTS - LIMIT);
}

/// The same number over many connections, to a server on loopback.
#[test]
fn connections_share_the_limit() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let handler = move || async move {
        // Relaxed, with no partner: the threads are joined before it is read.
        counted.fetch_add(1, Ordering::Relaxed);
        "served"
    };
    let by = key::extension(|peer: &ConnectInfo<SocketAddr>| Key::network(peer.ip().into()));
    let policy = Policy::new("a", per_minute(LIMIT as u64)).key(by);
    let (layer, _) = built(RateLimitLayer::builder().policy(policy));
    let statuses = over_loopback(Router::new().route("/", get(handler)).layer(layer));
    let count = |status| statuses.iter().filter(|&&other| other == status).count();
    assert_eq!((count(200), count(429)), (LIMIT, REQUESTS - LIMIT));
    assert_eq!(served.load(Ordering::Relaxed), LIMIT);
}

/// With the feature, the peer's address is found where axum puts it.
#[cfg(feature = "axum")]
#[test]
fn the_address_of_the_peer_is_known() {
    let policy = Policy::new("a", per_minute(LIMIT as u64));
    let (layer, _) = built(RateLimitLayer::builder().policy(policy));
    let statuses = over_loopback(Router::new().route("/", get(async || "served")).layer(layer));
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), LIMIT);
}

/// Serves an app on loopback, asks it 1,500 times over 50 connections and returns the statuses.
fn over_loopback(app: Router) -> Vec<u16> {
    const CONNECTIONS: usize = 50;

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move { axum::serve(listener, service).await });
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| thread::spawn(move || ask(address, REQUESTS / CONNECTIONS)))
        .collect();
    let statuses =
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    runtime.shutdown_background();
    statuses
}

/// Sends all requests over one connection before it reads the first answer. Returns the statuses.
fn ask(server: SocketAddr, count: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(server).expect("a connection");
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let requests = request.repeat(count - 1) + last;
    stream.write_all(requests.as_bytes()).expect("written");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("text");
    let heads = answers.split("HTTP/1.1 ").skip(1);
    let statuses: Vec<_> = heads.map(|head| head[..3].parse().expect("a status")).collect();
    assert_eq!(statuses.len(), count);
    statuses
}
