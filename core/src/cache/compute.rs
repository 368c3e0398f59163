//! Changing a key by what it stands for.
//!
//! The new value is put in the place of the very entry from which it was computed, by the exchange
//! of the bucket's word. An insertion, a removal and another computation change the same word, so
//! one of them succeeds and the others begin anew. An eviction is no write: it kills the entry in
//! its place, before or after.

use core::hash::{BuildHasher, Hash};

use super::entry::Object;
use super::insert::{Condition, Insert, NotInserted, StoreError};
use super::{Cache, RemovalCause};
use crate::reclaim::Guard;
use crate::time::Instant;

/// What [`Cache::compute`] does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<V> {
    /// Inserts this value, in place of the key's if there is one.
    Put(V),
    /// Removes the value, if there is one.
    Remove,
    /// Changes nothing.
    Keep,
}

/// What [`Cache::compute`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed<'g, V> {
    /// A value was inserted: this one.
    Inserted(&'g V),
    /// A value was replaced.
    Replaced {
        /// The value from which the new one was computed.
        old: &'g V,
        /// The new value, as it was put in.
        new: &'g V,
    },
    /// This value was removed.
    Removed(&'g V),
    /// Nothing was changed. This is the key's value, if it has one.
    Kept(Option<&'g V>),
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Has `compute` decide by the fresh value of a key what becomes of it, atomically against
    /// other writers of the key: insertions, removals, loads, and other computations.
    ///
    /// `compute` is called again if another thread changed the key meanwhile, which it did without
    /// waiting. So `compute` should be short. It may use the cache, but not compute the same key
    /// endlessly. What it last returned is what is done. If it panics, nothing is changed.
    ///
    /// A value that is put is stored as [`insert`](Self::insert) stores it, and has the cache's
    /// time to live. A load of the key that is in progress is detached, as by
    /// [`invalidate`](Self::invalidate), unless the answer is [`Op::Keep`]. An eviction is no
    /// write. A value that was evicted while a new one was computed from it is reported as
    /// evicted, and the new one is inserted.
    ///
    /// # Errors
    ///
    /// Fails as [`insert`](Self::insert) does. Then the value from which this one was computed is
    /// removed, because it is out of date.
    ///
    /// ```
    /// use tidegate_core::cache::{Computed, Op};
    /// use tidegate_core::{Cache, Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let counts: Cache<&str, u32> =
    ///     Cache::builder(&domain, SeededState::new(0x5eed)).max_entries(100).build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    ///
    /// let count = |count: Option<&u32>| Op::Put(count.map_or(1, |count| count + 1));
    /// assert_eq!(counts.compute("home", count, now, guard)?, Computed::Inserted(&1));
    /// assert_eq!(counts.compute("home", count, now, guard)?, Computed::Replaced { old: &1, new: &2 });
    /// assert_eq!(counts.compute("home", |_| Op::Remove, now, guard)?, Computed::Removed(&2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compute<'g>(
        &'g self,
        mut key: K,
        mut compute: impl FnMut(Option<&V>) -> Op<V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<Computed<'g, V>, StoreError<K, V>> {
        self.map.admit(guard);
        let hash = self.map.hash(&key);
        loop {
            let stamp = self.stamp();
            let entry = self.fresh(hash, &key, now, guard);
            let old = entry.map(|entry| &entry.value.value);
            let value = match compute(old) {
                Op::Keep => return Ok(Computed::Kept(old)),
                Op::Remove => {
                    // First: as in `invalidate_if`.
                    self.flights.detach(&key, guard);
                    let Some(entry) = entry else { return Ok(Computed::Kept(None)) };
                    let cause = RemovalCause::Explicit;
                    if self.remove(hash, entry, cause, &mut None, now, guard).is_some() {
                        return Ok(Computed::Removed(&entry.value.value));
                    }
                    continue;
                }
                Op::Put(value) => value,
            };
            // First: as in `insert_with`.
            self.flights.detach(&key, guard);
            if entry.is_none() {
                self.clear(hash, &key, now, guard);
            }
            let instead = Condition::Instead(entry.map(|entry| &entry.value), now, stamp);
            let insert = Insert::new();
            match self.insert_if(instead, hash, key, value, insert, &mut None, now, guard) {
                Ok(new) => {
                    let new = &new.value.value;
                    return Ok(match old {
                        Some(old) => Computed::Replaced { old, new },
                        None => Computed::Inserted(new),
                    });
                }
                Err(NotInserted::Overtaken(same, _)) => key = same,
                Err(NotInserted::Refused(error)) => return Err(error),
            }
        }
    }

    /// Removes what is in the place of a key that has no value for readers, so that no thread waits
    /// for that to change: a value that a predicate matches, or a loaded one whose leader has not
    /// confirmed it yet. Its flight was detached. If the leader has seen that, it removes the value
    /// itself.
    fn clear(&self, hash: usize, key: &K, now: Instant, guard: &Guard) {
        let Some(entry) = self.map.find_live(hash, key, Object::is_dead, guard) else { return };
        let cause = RemovalCause::Explicit;
        if let Some(dead) = entry.value.kill_hidden() {
            self.release(&entry.value, dead);
            self.unlink(hash, entry, guard);
            self.tell(hash, entry, cause, &mut None);
        } else if self.is_doomed(entry, guard) {
            self.remove(hash, entry, cause, &mut None, now, guard);
        }
    }
}
