//! The clock that a thread or a loop keeps fresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_core::{Clock, Instant};

use crate::panics::Foreign;

/// Another clock's time as of its last refresh: a read is one load.
///
/// [`start`](Self::start) keeps it fresh from a thread of its own; a loop that reads a clock anyway
/// calls [`refresh`](Self::refresh). Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{CachedClock, Clock, Instant, ManualClock};
///
/// let source = std::sync::Arc::new(ManualClock::new());
/// let clock = CachedClock::new({
///     let source = source.clone();
///     move || source.now()
/// });
/// source.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Instant::ORIGIN);
/// clock.refresh();
/// assert_eq!(clock.now(), Instant::from_secs(1));
/// ```
#[derive(Clone)]
pub struct CachedClock {
    shared: Arc<Cached>,
}

struct Cached {
    now: AtomicU64,
    source: Foreign<Box<dyn Fn() -> Instant + Send + Sync>>,
}

impl CachedClock {
    /// Creates a clock that shows the time of `source`, read now and at each [`refresh`](Self::refresh).
    pub fn new(source: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let source = Foreign::new(Box::new(source) as Box<dyn Fn() -> Instant + Send + Sync>);
        let now = AtomicU64::new(source().as_nanos());
        Self { shared: Arc::new(Cached { now, source }) }
    }

    /// Reads the source. Never sets the time back.
    pub fn refresh(&self) {
        let now = (self.shared.source)().as_nanos();
        // Relaxed: a time stands alone; the word's own order keeps it monotone.
        self.shared.now.fetch_max(now, Ordering::Relaxed);
    }
}

impl Clock for CachedClock {
    #[inline]
    fn now(&self) -> Instant {
        // Relaxed: as in `refresh`.
        Instant::from_nanos(self.shared.now.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for CachedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedClock").field("now", &self.now()).finish_non_exhaustive()
    }
}
