//! Panics of other people's code: contained, counted, and survived.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static CAUGHT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// As [`CAUGHT`], of this thread.
    static CAUGHT_HERE: Cell<u64> = const { Cell::new(0) };
}

/// Returns how many panics of other people's code this process has contained.
///
/// They are panics in steps of sweeps, loaders, mints, sources of pressure, reports, wakers, listeners, copies and
/// destructors, and those that a [`Panics`] contains.
pub fn caught_panics() -> u64 {
    // Relaxed, with no partner: a count that hands nothing over.
    CAUGHT.load(Ordering::Relaxed)
}

/// Returns how many [panics](caught_panics) this thread has contained, those in a domain's structures included.
pub(crate) fn caught_here() -> u64 {
    CAUGHT_HERE.get()
}

/// Runs `f`, and returns `None` if it panicked. The panic hook has seen the message by then.
///
/// What `f` captured is dropped inside, too. A panic may leave half done what `f` changes; the callers keep their
/// own state out of it.
pub(crate) fn contained<T>(f: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(f));
    if result.is_err() {
        // Relaxed, with no partner: a count that hands nothing over.
        CAUGHT.fetch_add(1, Ordering::Relaxed);
        CAUGHT_HERE.set(CAUGHT_HERE.get().wrapping_add(1));
    }
    result
        .map_err(|payload| {
            // The payload's destructor may panic again. Then nothing helps but to keep the second payload.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            _ = dropped.map_err(std::mem::forget);
        })
        .ok()
}

/// Drops a value of another crate's type, whose destructor may panic.
pub(crate) fn dispose<T>(value: T) {
    contained(|| drop(value));
}

/// Holds a value of another crate's type, and contains the panic of its destructor.
///
/// Of two values that are dropped together, the second that panics would end the process. So each value has a
/// `Foreign` of its own: two captures of a closure, or two fields, never share one.
pub(crate) struct Foreign<T>(ManuallyDrop<T>);

impl<T> Foreign<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Foreign<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Foreign<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Clone> Clone for Foreign<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Drop for Foreign<T> {
    fn drop(&mut self) {
        // SAFETY: dropped here and nowhere else, and not used again.
        contained(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

/// Contains panics, and counts them. Clones share the count.
///
/// In the [domain of the process](crate::domain) and in every [server's domain](crate::server_domain), a listener's
/// panic is contained where the listener is called, and counted for the process. In other domains it unwinds through
/// `insert` or a sweep, and the panic of a registry's hook does so in every domain. A listener or hook that
/// [`contain`](Self::contain) has wrapped cannot unwind, and has a count of its own.
///
/// ```
/// use tidegate::lockfree::Cache;
/// use tidegate::{Panics, RemovalCause, domain, pin, random_state};
///
/// let panics = Panics::new();
/// let cache: Cache<u32, u32> = Cache::builder(domain(), random_state())
///     .listener(panics.contain(|_: &u32, _: &u32, _: RemovalCause| panic!("on purpose")))
///     .build()?;
/// let now = tidegate::Instant::ORIGIN;
/// cache.insert(1, 10, now, &pin())?;
/// assert_eq!(cache.invalidate(&1, now, &pin()), Some(&10));
/// assert_eq!(panics.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Panics(Arc<AtomicU64>);

impl Panics {
    /// Creates a count of zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many panics were contained.
    pub fn count(&self) -> u64 {
        // Relaxed, with no partner: a count that hands nothing over.
        self.0.load(Ordering::Relaxed)
    }

    /// Runs `f`, and returns `None` if it panicked. The panic is counted.
    pub fn catch<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let result = contained(f);
        if result.is_none() {
            // Relaxed, with no partner: a count that hands nothing over.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Wraps a listener of a cache, or a hook of a registry, so that it never panics.
    pub fn contain<K, V, C>(
        &self,
        told: impl Fn(&K, &V, C) + Send + Sync + 'static,
    ) -> impl Fn(&K, &V, C) + Send + Sync + 'static {
        let (panics, told) = (self.clone(), Foreign::new(told));
        move |key, value, cause| {
            panics.catch(|| told(key, value, cause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb<'a>(&'a AtomicU64);

    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            // Relaxed: read by the same thread.
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("on purpose");
        }
    }

    #[test]
    fn values_that_panic_when_dropped_together_are_each_dropped_once() {
        let (dropped, before) = (AtomicU64::new(0), caught_panics());
        let bombs = [(); 3].map(|()| Foreign::new(Bomb(&dropped)));
        drop(bombs);
        // Relaxed: written by this thread.
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        assert!(caught_panics() >= before + 3);
    }

    #[test]
    fn a_destructor_that_panics_while_another_panic_unwinds_is_contained() {
        let dropped = AtomicU64::new(0);
        let ended = contained(|| {
            let _bombs = [(); 2].map(|()| Foreign::new(Bomb(&dropped)));
            panic!("on purpose");
        });
        // Relaxed: written by this thread.
        assert_eq!((ended, dropped.load(Ordering::Relaxed)), (None::<()>, 2));
    }
}
