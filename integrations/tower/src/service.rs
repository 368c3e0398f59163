//! The middleware.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::backend::{Backend, Step};
use crate::body::LimitedBody;
use crate::future::{Call, ResponseFuture};
use crate::gate::{After, Asked, First, Gate, Verdict};
use crate::head::Head;
use crate::local::Local;

/// A service behind rate limits: what a [`RateLimitLayer`](crate::RateLimitLayer) makes of a service.
///
/// A clone has the same buckets. Frameworks clone a service for each connection or request.
pub struct RateLimit<S, B = Local> {
    service: S,
    gate: Arc<Gate<B>>,
}

impl<S, B> RateLimit<S, B> {
    pub(crate) fn new(service: S, gate: Arc<Gate<B>>) -> Self {
        Self { service, gate }
    }

    /// Returns the service behind the limits.
    pub fn get_ref(&self) -> &S {
        &self.service
    }

    /// Returns the service behind the limits.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// Takes the service from behind the limits.
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<S, B, R, T> Service<Request<R>> for RateLimit<S, B>
where
    // To ask a backend that needs time, the service that is ready goes along with the request.
    S: Service<Request<R>, Response = Response<T>> + Clone,
    B: Backend,
    T: Body,
{
    type Response = Response<LimitedBody<T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let Self { service, gate } = self;
        let head = Head::of(&request);
        let mut asked = Asked::new();
        match gate.first(&head, &mut asked) {
            First::Through => {
                return ResponseFuture::serving(service.call(request), After::default());
            }
            First::Keyless(limit) => return ResponseFuture::denied(gate.keyless(limit, &head)),
            First::Ask => {}
        }
        let applied = asked.applied();
        match gate.backend.decide(asked.as_slice()) {
            Step::Now(decision) => match gate.conclude(applied, decision, &head) {
                Verdict::Pass(after) => ResponseFuture::serving(service.call(request), after),
                Verdict::Deny(response) => ResponseFuture::denied(response),
            },
            Step::Later(decide) => {
                let other = service.clone();
                let service = std::mem::replace(service, other);
                let gate = Arc::clone(gate);
                ResponseFuture::deciding(decide, Call { service, request, applied, gate })
            }
        }
    }
}

impl<S: Clone, B> Clone for RateLimit<S, B> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for RateLimit<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("service", &self.service).finish_non_exhaustive()
    }
}
