//! A service with axum: a limiter in a middleware, and a cache in the `State`. It asks itself.
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header::RETRY_AFTER};
use axum::{Router, middleware, middleware::Next, response::Response, routing::get};
use std::net::{IpAddr, SocketAddr};
use tidegate::{Cache, Quota, RateLimiter};
mod client;
type Limiter = State<RateLimiter<IpAddr>>;
type Answer = Result<Response, (StatusCode, [(HeaderName, String); 1])>;

async fn limit(by: Limiter, peer: ConnectInfo<SocketAddr>, ask: Request, next: Next) -> Answer {
    let decision = by.check(&peer.ip());
    let wait = decision.retry_after().unwrap_or_default().as_nanos().div_ceil(1_000_000_000);
    let denied = (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, wait.to_string())]);
    if decision.is_admitted() { Ok(next.run(ask).await) } else { Err(denied) }
}
async fn page(State(pages): State<Cache<String, String>>, Path(name): Path<String>) -> String {
    pages.get_with_async(name.clone(), async move { format!("the page {name}") }).await
}
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = RateLimiter::new(Quota::per_minute(6)?.burst(3)?, 100_000)?;
    let app = Router::new().route("/{name}", get(page)).with_state(Cache::new(10_000));
    let app = app.layer(middleware::from_fn_with_state(limiter, limit));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let asks = client::ask(listener.local_addr()?);
    let serve = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    Ok(serve.with_graceful_shutdown(asks).await?)
}
