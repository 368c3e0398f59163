//! A loader's panic, which ends the load first and then resumes in the caller whose loader it was.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// What a loader panicked with.
type Payload = Box<dyn Any + Send>;

/// The place where a loader's panic is kept while its load ends.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Payload>>);

impl Kept {
    /// Runs a loader. Keeps its panic, if it panics, and then panics with another payload: the load has failed.
    pub(crate) fn run<T>(&self, loader: impl FnOnce() -> T) -> T {
        match catch_unwind(AssertUnwindSafe(loader)) {
            Ok(loaded) => loaded,
            Err(payload) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
                resume_unwind(Box::new("the loader panicked"))
            }
        }
    }

    /// Resumes the panic that was kept, if there is one.
    pub(crate) fn resume(self) {
        if let Some(payload) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }
}

/// A loader's future, whose panic is kept.
pub(crate) struct Keeping<'a, F> {
    pub(crate) future: Pin<&'a mut F>,
    pub(crate) kept: &'a Kept,
}

impl<F: Future> Future for Keeping<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, kept } = &mut *self;
        kept.run(|| future.as_mut().poll(context))
    }
}
