//! A web service with axum: limits for clients, for logins that fail and for uploads. It asks itself.
//!
//! `cargo run -p tidegate-tower --features axum --example web`

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use http::StatusCode;
use tidegate::Quota;
use tidegate_tower::{Exempt, Policy, RateLimitLayer, Route, key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn limits() -> Result<RateLimitLayer, Box<dyn Error>> {
    // Each client: 600 requests a minute, up to 20 at once.
    let clients = Policy::new("clients", Quota::per_minute(600)?.burst(20)?);
    // Each client: three passwords that are wrong, and one more every minute. Those that are right
    // are given back when the response is known.
    let logins = Policy::new("logins", Quota::per_minute(1)?.burst(3)?)
        .only(Route::post("/login"))
        .settle(|served| u64::from(served.status() == StatusCode::UNAUTHORIZED));
    // All clients together: 64 KiB of uploads a minute. Without a length an upload counts as 32 KiB.
    let uploads = Policy::new("uploads", Quota::per_minute(64)?)
        .key(key::global())
        .keys(1)
        .only(Route::post("/upload"))
        .cost(|head| head.content_length().map_or(32, |length| length.div_ceil(1_024)));
    Ok(RateLimitLayer::builder()
        .policy(clients)
        .policy(logins)
        .policy(uploads)
        .exempt(Exempt::route(Route::get("/health")))
        .build()?)
}

async fn login(password: String) -> StatusCode {
    if password == "secret" { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

async fn upload(file: Bytes) -> String {
    format!("{} bytes", file.len())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/health", get(async || "well"))
        .route("/login", post(login))
        .route("/upload", post(upload))
        .layer(limits()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    // The addresses of the peers are the keys.
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service);
    tokio::select! {
        served = async { served.await } => Ok(served?),
        asked = ask(server) => asked,
    }
}

/// Does what a browser would do.
async fn ask(server: SocketAddr) -> Result<(), Box<dyn Error>> {
    send(server, "GET", "/health", "").await?;
    send(server, "POST", "/login", "secret").await?;
    for _ in 0..4 {
        send(server, "POST", "/login", "guess").await?;
    }
    let file = "x".repeat(30 * 1_024);
    for _ in 0..3 {
        send(server, "POST", "/upload", &file).await?;
    }
    Ok(())
}

async fn send(server: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let line = |name: &str| answer.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let (status, stands) = (line("HTTP/1.0"), line("ratelimit:"));
    println!("{method} {path}: {} {stands} {}", &status[9..], line("retry-after"));
    Ok(())
}
