//! What the engine and its runs lock and wait with: the standard library's, or loom's under `--cfg loom`.
//!
//! The one difference is that no time passes in a model: a thread that waits for a time waits until it is woken.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicBool;
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use loom::thread_local;
// Those of the core's models, which have their modes.
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::thread_local;
#[cfg(loom)]
pub(crate) use tidegate_core::model::{AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) mod thread {
    pub(crate) use std::thread::{Builder, Thread, current, park, park_timeout, sleep};
}

/// loom's parking forgets a wake if the thread is at a lock meanwhile. This one does not.
#[cfg(loom)]
pub(crate) mod thread {
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    pub(crate) use loom::thread::Builder;

    use super::{Condvar, Mutex, thread_local};

    #[derive(Clone)]
    pub(crate) struct Thread(Arc<Token>);

    struct Token {
        is_given: Mutex<bool>,
        changed: Condvar,
    }

    thread_local! {
        static CURRENT: Thread =
            Thread(Arc::new(Token { is_given: Mutex::new(false), changed: Condvar::new() }));
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            *self.0.is_given.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.0.changed.notify_one();
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    pub(crate) fn park() {
        let Thread(token) = current();
        let mut is_given = token.is_given.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_given {
            is_given = token.changed.wait(is_given).unwrap_or_else(PoisonError::into_inner);
        }
        *is_given = false;
    }

    pub(crate) fn park_timeout(_longest: Duration) {
        park();
    }

    pub(crate) fn sleep(_pause: Duration) {
        loom::thread::yield_now();
    }
}
