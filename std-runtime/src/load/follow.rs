//! Following a load from a task, whose waker and whose copies of the value are the user's code.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tidegate_core::Instant;
use tidegate_core::flight::{FollowError, Follower};

use crate::panics::contained;

/// The result of a load, for a caller that has followed it.
pub(crate) enum Followed<V, E> {
    /// A value, and the time from which on it is not to be returned.
    Value(V, Option<Instant>),
    /// The load failed.
    Failed(E),
    /// There is no result, and the follower asks again.
    Again,
    /// `Clone` of the value, or of the error, panicked.
    Panicked,
}

/// A [`Follower`] that contains panics, here and where its waker is called.
pub(crate) struct Following<V, E> {
    follower: Follower<V, E>,
    /// The waker of the task, and the waker that is left in its place.
    waker: Option<(Waker, Waker)>,
}

impl<V: Clone, E: Clone> Following<V, E> {
    pub(crate) fn new(follower: Follower<V, E>) -> Self {
        Self { follower, waker: None }
    }
}

impl<V: Clone, E: Clone> Future for Following<V, E> {
    type Output = Followed<V, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { follower, waker } = &mut *self;
        let own = context.waker();
        if !waker.as_ref().is_some_and(|(task, _)| task.will_wake(own)) {
            let contains = Contains(Some(own.clone()));
            *waker = Some((own.clone(), Waker::from(Arc::new(contains))));
        }
        let Some((_, waker)) = waker else { unreachable!("made above") };
        let poll = contained(|| Pin::new(&mut *follower).poll(&mut Context::from_waker(waker)));
        match poll {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(Ok(value))) => Poll::Ready(Followed::Value(value, follower.until())),
            Some(Poll::Ready(Err(FollowError::Failed(error)))) => {
                Poll::Ready(Followed::Failed(error))
            }
            Some(Poll::Ready(Err(FollowError::Again))) => Poll::Ready(Followed::Again),
            None => Poll::Ready(Followed::Panicked),
        }
    }
}

/// Calls another waker, and contains its panics: the leader that calls this has a load to end, and other callers to wake.
struct Contains(Option<Waker>);

impl Wake for Contains {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        contained(|| self.0.as_ref().map(Waker::wake_by_ref));
    }
}

impl Drop for Contains {
    fn drop(&mut self) {
        contained(|| drop(self.0.take()));
    }
}
