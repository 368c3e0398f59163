//! The future of a response.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::backend::Backend;
use crate::body::LimitedBody;
use crate::gate::{After, Applied, Gate, Verdict};
use crate::head::Head;

pin_project! {
    /// The future of the response of a [`RateLimit`](crate::RateLimit).
    pub struct ResponseFuture<S, R, B>
    where
        S: Service<Request<R>>,
        B: Backend,
    {
        #[pin]
        state: State<S, R, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, R, B>
    where
        S: Service<Request<R>>,
        B: Backend,
    {
        /// The backend is deciding.
        Deciding { #[pin] decide: B::Decide, call: Option<Call<S, R, B>> },
        /// The service is at work.
        Serving { #[pin] future: S::Future, after: Option<After> },
        /// The request was denied.
        Denied { response: Option<Response<Bytes>> },
    }
}

/// A request that waits for its decision, and the service that is ready for it.
pub(crate) struct Call<S, R, B> {
    pub(crate) service: S,
    pub(crate) request: Request<R>,
    pub(crate) applied: Applied,
    pub(crate) gate: Arc<Gate<B>>,
}

impl<S, R, B> ResponseFuture<S, R, B>
where
    S: Service<Request<R>>,
    B: Backend,
{
    pub(crate) fn deciding(decide: B::Decide, call: Call<S, R, B>) -> Self {
        Self { state: State::Deciding { decide, call: Some(call) } }
    }

    pub(crate) fn serving(future: S::Future, after: After) -> Self {
        Self { state: State::Serving { future, after: Some(after) } }
    }

    pub(crate) fn denied(response: Response<Bytes>) -> Self {
        Self { state: State::Denied { response: Some(response) } }
    }
}

impl<S, R, B, T> Future for ResponseFuture<S, R, B>
where
    S: Service<Request<R>, Response = Response<T>>,
    B: Backend,
    T: Body,
{
    type Output = Result<Response<LimitedBody<T>>, S::Error>;

    /// # Panics
    ///
    /// If it is polled again after it was ready: a programming error.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Deciding { decide, call } => {
                    let decision = ready!(decide.poll(context));
                    let Call { mut service, request, applied, gate } = taken(call);
                    match gate.conclude(applied, decision, &Head::of(&request)) {
                        Verdict::Pass(after) => {
                            State::Serving { future: service.call(request), after: Some(after) }
                        }
                        Verdict::Deny(response) => State::Denied { response: Some(response) },
                    }
                }
                StateProjection::Serving { future, after } => {
                    // If the service fails, the estimates stay charged.
                    let mut response = ready!(future.poll(context))?;
                    let After { fields, settle } = taken(after);
                    fields.add_to(response.headers_mut());
                    let status = response.status();
                    let limited = |body| LimitedBody::served(body, status, settle);
                    return Poll::Ready(Ok(response.map(limited)));
                }
                StateProjection::Denied { response } => {
                    return Poll::Ready(Ok(taken(response).map(LimitedBody::denied)));
                }
            };
            state.set(next);
        }
    }
}

fn taken<T>(part: &mut Option<T>) -> T {
    part.take().expect("a future is not polled after it was ready")
}

impl<S, R, B> fmt::Debug for ResponseFuture<S, R, B>
where
    S: Service<Request<R>>,
    B: Backend,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Deciding { .. } => "ResponseFuture(deciding)",
            State::Serving { .. } => "ResponseFuture(serving)",
            State::Denied { .. } => "ResponseFuture(denied)",
        })
    }
}
