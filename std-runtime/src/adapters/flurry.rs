//! `flurry::HashMap`.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use flurry::HashMap;
use tidegate_core::{Budget, Instant, Sweep, Swept, Ttl};

use crate::panics::{Foreign, contained};

type Timestamp<V> = Box<dyn Fn(&V) -> Instant + Send>;
type Hook<K, V> = Box<dyn FnMut(&K, &V) + Send>;

/// Removes from a [`flurry::HashMap`] the values that have lived for their time to live, by a timestamp that each
/// value carries.
///
/// A step removes the value that was seen to be stale, never a value that has replaced it meanwhile. Such a value is
/// replaced by its clone, since that map has no other way to keep it: a concurrent change in place, by an atomic in the
/// value, may be lost. The hook is called with each removed value, exactly once, while no lock is held.
///
/// Panics of the hook, the timestamp and the map's keys and values are [contained](crate::caught_panics). A value
/// whose timestamp panics stays, and keeps no other from being removed.
///
/// An iterator of that map lives as long as its guard, which must not be kept between steps. So each step looks at the
/// whole map. The budget bounds the removals of a step, and the next step begins at the front.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::adapters::FlurrySweep;
/// use tidegate::{Budget, Instant, Sweep};
///
/// let sessions: Arc<flurry::HashMap<u32, Instant>> = Arc::default();
/// sessions.pin().insert(1, Instant::from_secs(10));
/// sessions.pin().insert(2, Instant::from_secs(50));
///
/// let hour = Duration::from_secs(3_600);
/// let mut sweep = FlurrySweep::new(Arc::clone(&sessions), hour, |seen| *seen)
///     .on_removal(|session, _| println!("{session} has gone"));
/// let step = sweep.sweep(Instant::from_secs(3_610), Budget::entries(100));
/// assert_eq!((step.removed, step.wrapped, sessions.len()), (1, true, 1));
/// ```
pub struct FlurrySweep<K, V, S = std::hash::RandomState> {
    map: Foreign<Arc<HashMap<K, V, S>>>,
    ttl: Ttl,
    timestamp: Foreign<Timestamp<V>>,
    hook: Option<Foreign<Hook<K, V>>>,
}

impl<K, V, S> FlurrySweep<K, V, S> {
    /// Creates a pass over a map whose values live for `ttl` from their timestamp on. A value that has lived for
    /// exactly that time is removed.
    pub fn new(
        map: Arc<HashMap<K, V, S>>,
        ttl: impl Into<Ttl>,
        timestamp: impl Fn(&V) -> Instant + Send + 'static,
    ) -> Self {
        let timestamp = Foreign::new(Box::new(timestamp) as Timestamp<V>);
        Self { map: Foreign::new(map), ttl: ttl.into(), timestamp, hook: None }
    }

    /// Sets the hook that is called with each removed value.
    #[must_use]
    pub fn on_removal(mut self, hook: impl FnMut(&K, &V) + Send + 'static) -> Self {
        self.hook = Some(Foreign::new(Box::new(hook)));
        self
    }

    fn is_stale(&self, value: &V, now: Instant) -> bool {
        match self.ttl {
            Ttl::For(ttl) => {
                let stamp = contained(|| (self.timestamp)(value));
                // A stamp that is ahead is fresh; nothing lives for no time.
                stamp.is_some_and(|stamp| now >= stamp && now.since(stamp) >= ttl)
            }
            Ttl::Forever => false,
        }
    }
}

impl<K, V, S> Sweep for FlurrySweep<K, V, S>
where
    K: Hash + Ord + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        let map = Arc::clone(&self.map);
        let guard = map.guard();
        let mut step = Swept { wrapped: true, ..Swept::default() };
        for (key, value) in map.iter(&guard) {
            step.visited += 1;
            if !self.is_stale(value, now) {
                continue;
            }
            if step.removed >= budget.get() {
                step.wrapped = false;
                break;
            }
            let mut is_gone = false;
            // The map calls methods of its keys and values. After the closure has returned `None`, it calls destructors only.
            contained(|| {
                map.compute_if_present(
                    key,
                    |_, there| {
                        is_gone = std::ptr::eq(there, value) && self.is_stale(there, now);
                        (!is_gone).then(|| there.clone())
                    },
                    &guard,
                );
            });
            if is_gone {
                step.removed += 1;
                if let Some(hook) = &mut self.hook {
                    contained(|| hook(key, value));
                }
            }
        }
        // Frees what can be freed by now.
        contained(|| drop(guard));
        step
    }
}

impl<K, V, S> fmt::Debug for FlurrySweep<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlurrySweep").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}
