//! Who asks: identities by which a caller that would wait for itself is recognised.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_core::flight::Caller;

static NEXT: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// Of the load that this thread is at work on.
    static LOAD: Cell<Option<Caller>> = const { Cell::new(None) };
    static THREAD: Cell<Option<Caller>> = const { Cell::new(None) };
}

/// An identity that nobody had before, until four thousand million others were made.
fn fresh() -> Caller {
    // Relaxed: a number.
    Caller(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The identity of whoever runs: of the load that this thread is at work on, or else of the thread.
///
/// A thread keeps its identity for its life. While it runs a loader, or polls a loader's future, it has that
/// load's, whatever thread that is: so a load that comes back to its own key is told so
/// ([`JoinError::Reentrant`](tidegate_core::flight::JoinError)) instead of waiting for itself.
///
/// ```
/// assert_eq!(tidegate::caller(), tidegate::caller());
/// let other = std::thread::spawn(tidegate::caller).join();
/// assert_ne!(tidegate::caller(), other.unwrap());
/// ```
pub fn caller() -> Caller {
    LOAD.get().or(THREAD.get()).unwrap_or_else(|| {
        let caller = fresh();
        THREAD.set(Some(caller));
        caller
    })
}

/// The identity of a task that asks: of the load that it is part of, or else one of its own.
pub(crate) fn task() -> Caller {
    LOAD.get().unwrap_or_else(fresh)
}

/// Runs `f` as `caller`, and then goes on as before, also if it panics.
pub(crate) fn acting_as<T>(caller: Caller, f: impl FnOnce() -> T) -> T {
    struct Back(Option<Caller>);
    impl Drop for Back {
        fn drop(&mut self) {
            LOAD.set(self.0);
        }
    }
    let _back = Back(LOAD.replace(Some(caller)));
    f()
}
