//! Panics of other people's code: caught, counted, and survived.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// How many panics of other people's code this process has caught: in steps of sweeps, loaders, mints,
/// sources of pressure, reports, wakers and destructors, and what a [`Panics`] contains.
pub fn caught_panics() -> u64 {
    // Relaxed: a count.
    CAUGHT.load(Ordering::Relaxed)
}

/// Runs `f`; `None` if it panicked. The message has gone to the panic hook, as ever.
///
/// What a panic leaves half done is up to whoever wrote `f`: ours is consistent at every call of it.
pub(crate) fn contained<T>(f: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(f));
    if result.is_err() {
        // Relaxed: a count.
        CAUGHT.fetch_add(1, Ordering::Relaxed);
    }
    result
        .map_err(|payload| {
            // Dropping what it panicked with might panic again, for which there is no help but to keep it.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            _ = dropped.map_err(std::mem::forget);
        })
        .ok()
}

/// A value of other people's whose destructor may panic: that is contained wherever the value is dropped.
#[cfg(target_os = "linux")]
pub(crate) struct Contained<T>(Option<T>);

#[cfg(target_os = "linux")]
impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

#[cfg(target_os = "linux")]
impl<T> std::ops::Deref for Contained<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

#[cfg(target_os = "linux")]
impl<T> std::ops::DerefMut for Contained<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }
}

#[cfg(target_os = "linux")]
impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        contained(|| drop(self.0.take()));
    }
}

/// Counts panics that it kept from going any further. Clones share the count.
///
/// A listener or hook that panics would unwind through the call that told it: `insert`, a sweep. Wrapped, it
/// cannot.
///
/// ```
/// use tidegate::{Cache, Panics, RemovalCause, domain, pin, random_state};
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
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        // Relaxed: a count.
        self.0.load(Ordering::Relaxed)
    }

    /// Runs `f`; `None`, and one more, if it panicked.
    pub fn catch<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let result = contained(f);
        if result.is_none() {
            // Relaxed: a count.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// A listener of a cache, or a hook of a registry, that is told the same and never panics.
    pub fn contain<K, V, C>(
        &self,
        told: impl Fn(&K, &V, C) + Send + Sync + 'static,
    ) -> impl Fn(&K, &V, C) + Send + Sync + 'static {
        let panics = self.clone();
        move |key, value, cause| {
            panics.catch(|| told(key, value, cause));
        }
    }
}
