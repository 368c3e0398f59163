#![doc = include_str!("../README.md")]

mod backend;
mod body;
mod builder;
mod denial;
mod error;
mod exempt;
mod future;
mod gate;
mod grpc;
mod head;
mod headers;
pub mod key;
mod layer;
mod local;
mod observe;
mod policy;
mod route;
mod service;

pub use backend::{
    Answer, Ask, Backend, Decided, LimitSpec, MAX_POLICIES, Standing, Standings, Step, Unavailable,
};
pub use body::LimitedBody;
pub use builder::Builder;
pub use denial::{Denial, Reason};
pub use error::BuildError;
pub use exempt::Exempt;
pub use future::ResponseFuture;
pub use gate::OnUnavailable;
pub use head::Head;
pub use key::NoKey;
pub use layer::RateLimitLayer;
pub use local::{Held, Local};
pub use policy::{Policy, QuotaUnit, Served};
pub use route::Route;
pub use service::RateLimit;
