//! A gRPC service with tonic, whose denials a client reads as `RESOURCE_EXHAUSTED` with `RetryInfo`. It
//! asks itself. The service is written out here, where a build script would generate it.
//!
//! `cargo run -p tidegate-tower --features tonic --example grpc`

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tidegate::Quota;
use tidegate_tower::{Policy, RateLimitLayer};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use tower::Service;

#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(string, tag = "1")]
    name: String,
}

/// The service `example.Greeter`, of one method.
#[derive(Clone)]
struct Greeter;

impl UnaryService<Hello> for Greeter {
    type Response = Hello;
    type Future = Ready<Result<Response<Hello>, Status>>;

    fn call(&mut self, request: Request<Hello>) -> Self::Future {
        let name = format!("hello, {}", request.into_inner().name);
        ready(Ok(Response::new(Hello { name })))
    }
}

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let codec = ProstCodec::<Hello, Hello>::default();
        Box::pin(async move { Ok(tonic::server::Grpc::new(codec).unary(Greeter, request).await) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Each client: one call a second, up to three at once.
    let quota = Quota::per_second(1)?.burst(3)?;
    let limits = RateLimitLayer::builder().policy(Policy::new("calls", quota)).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener);
    let served = Server::builder().layer(limits).add_service(Greeter).serve_with_incoming(incoming);
    tokio::select! {
        served = served => Ok(served?),
        asked = ask(server) => asked,
    }
}

async fn ask(server: String) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(server)?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    for _ in 0..4 {
        client.ready().await?;
        let request = Request::new(Hello { name: "Ada".to_owned() });
        let path = PathAndQuery::from_static("/example.Greeter/SayHello");
        let codec = ProstCodec::<Hello, Hello>::default();
        match client.unary(request, path, codec).await {
            Ok(response) => println!("{}", response.into_inner().name),
            Err(status) => {
                let info = status.get_details_retry_info();
                let wait = info.and_then(|info| info.retry_delay).unwrap_or_default();
                println!("{:?}: try again in {} ms", status.code(), wait.as_millis());
            }
        }
    }
    Ok(())
}
