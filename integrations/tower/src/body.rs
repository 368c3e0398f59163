//! The body of a response: that of the service, counted if there is something to settle, or that of a
//! denial.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::gate::Settle;
use crate::policy::Served;

pin_project! {
    /// The body of a response that has passed a [`RateLimit`](crate::RateLimit).
    ///
    /// It is the service's body, or that of a denial. If the request's cost is an estimate, it is settled
    /// when the body comes to its end, fails or is dropped.
    pub struct LimitedBody<B> {
        #[pin]
        kind: Kind<B>,
        settling: Option<Settling>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Served { #[pin] body: B },
        Denied { text: Option<Bytes> },
    }
}

/// Settles the estimates of a request, at the latest when it is dropped.
struct Settling {
    settle: Option<Settle>,
    served: Served,
}

impl<B: Body> LimitedBody<B> {
    /// Wraps the body of a response that the service has made.
    pub(crate) fn served(body: B, status: StatusCode, settle: Option<Settle>) -> Self {
        let mut settling = settle.map(|settle| Settling {
            settle: Some(settle),
            served: Served { status, body_bytes: 0, is_complete: false },
        });
        if body.is_end_stream() {
            // A server does not ask such a body for a frame.
            end(&mut settling);
        }
        Self { kind: Kind::Served { body }, settling }
    }
}

impl<B> LimitedBody<B> {
    /// Makes the body of a denial.
    pub(crate) fn denied(text: Bytes) -> Self {
        let text = if text.is_empty() { None } else { Some(text) };
        Self { kind: Kind::Denied { text }, settling: None }
    }
}

/// Settles what has come to its end.
fn end(settling: &mut Option<Settling>) {
    if let Some(mut settling) = settling.take() {
        settling.served.is_complete = true;
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(settle) = self.settle.take() {
            // The program's own code runs here, perhaps while another panic unwinds. If it panics, the
            // estimate stays charged, and the panic has been reported by its hook.
            let _ = catch_unwind(AssertUnwindSafe(|| settle(&self.served)));
        }
    }
}

impl<B> Body for LimitedBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let mut body = match this.kind.project() {
            KindProjection::Served { body } => body,
            KindProjection::Denied { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text.into()))));
            }
        };
        let frame = ready!(body.as_mut().poll_frame(context));
        if this.settling.is_some() {
            match &frame {
                Some(Ok(frame)) => {
                    if let (Some(data), Some(settling)) = (frame.data_ref(), &mut *this.settling) {
                        let bytes = &mut settling.served.body_bytes;
                        *bytes = bytes.saturating_add(data.remaining() as u64);
                    }
                    if body.is_end_stream() {
                        end(this.settling);
                    }
                }
                Some(Err(_)) => *this.settling = None,
                None => end(this.settling),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Served { body } => body.is_end_stream(),
            Kind::Denied { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Served { body } => body.size_hint(),
            Kind::Denied { text } => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

impl<B> fmt::Debug for LimitedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedBody")
            .field("is_denied", &matches!(self.kind, Kind::Denied { .. }))
            .field("is_settled_later", &self.settling.is_some())
            .finish_non_exhaustive()
    }
}
