//! A future that is a part of some work.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::caller::Work;
use crate::panics::contained;

/// Polls a future as a part of some work, and drops it as a part of that work; `None` if it panics.
pub(crate) async fn polled<F: Future>(work: &Arc<Work>, future: F) -> Option<F::Output> {
    let mut future = pin!(Some(future));
    let mut part = Part { work, future: future.as_mut() };
    poll_fn(|context| part.poll(context)).await
}

/// A future that is a part of some work.
struct Part<'a, F> {
    work: &'a Arc<Work>,
    future: Pin<&'a mut Option<F>>,
}

impl<F: Future> Part<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Self { work, future } = self;
        let waker = context.waker().clone();
        let mut poll = || future.as_mut().as_pin_mut().map(|future| future.poll(context));
        match work.poll(&waker, || contained(&mut poll)) {
            Some(Some(Poll::Ready(output))) => Poll::Ready(Some(output)),
            Some(Some(Poll::Pending)) => Poll::Pending,
            Some(None) | None => Poll::Ready(None),
        }
    }
}

impl<F> Drop for Part<'_, F> {
    fn drop(&mut self) {
        let Self { work, future } = self;
        work.run(|| contained(|| future.set(None)));
    }
}
