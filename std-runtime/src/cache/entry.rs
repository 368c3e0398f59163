//! Selecting the entry of a key, to insert or change its value.

use std::hash::Hash;
use std::sync::Arc;

use tidegate_core::Clock;
use tidegate_core::cache::{Computed, Op, StoreError};

use super::Cache;
use crate::pin::pin;

/// Selects the entry of a key: see [`Cache::entry`].
#[must_use = "a selector changes nothing until one of its methods is called"]
#[derive(Debug)]
pub struct EntrySelector<'a, K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    cache: &'a Cache<K, V>,
    key: K,
}

/// Holds a clone of an entry's value, as an [`EntrySelector`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<K, V> {
    key: K,
    value: V,
    is_fresh: bool,
}

impl<K, V> Entry<K, V> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Returns the value.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// Returns the value, and drops the key.
    pub fn into_value(self) -> V {
        self.value
    }

    /// Returns whether this call made the value.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

/// Says what [`EntrySelector::and_compute_with`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompResult<K, V> {
    /// A value was inserted: this one.
    Inserted(V),
    /// A value was replaced by this one.
    ReplacedWith(V),
    /// This value was removed.
    Removed(V),
    /// There was no value, and none was inserted.
    StillNone,
    /// This value was there, and stays.
    Unchanged(V),
    /// A value was not stored, for the reason that is given. The old value is removed.
    NotStored(StoreError<K, V>),
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Selects the entry of `key`, to insert a missing value or to change a value atomically.
    ///
    /// ```
    /// use tidegate::{Cache, CompResult, Op};
    ///
    /// let cache = Cache::new(100);
    /// let entry = cache.entry("key").or_insert(3);
    /// assert!(entry.is_fresh());
    /// assert_eq!(cache.entry("key").or_insert_with(|| 4).into_value(), 3);
    ///
    /// let count = |count: Option<&u32>| Op::Put(count.map_or(1, |count| count + 1));
    /// let computed = cache.entry("key").and_compute_with(count);
    /// assert_eq!(computed, CompResult::ReplacedWith(4));
    /// ```
    pub fn entry(&self, key: K) -> EntrySelector<'_, K, V> {
        EntrySelector { cache: self, key }
    }
}

impl<K, V> EntrySelector<'_, K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the entry, and inserts `value` if there is none.
    pub fn or_insert(self, value: V) -> Entry<K, V> {
        let computed = self.cache.compute(self.key.clone(), |old| match old {
            Some(_) => Op::Keep,
            None => Op::Put(value.clone()),
        });
        let (value, is_fresh) = match computed {
            CompResult::Unchanged(old) => (old, false),
            CompResult::NotStored(StoreError { key, value, .. }) => {
                self.cache.refused(key, value.clone());
                (value, true)
            }
            _ => (value, true),
        };
        Entry { key: self.key, value, is_fresh }
    }

    /// Returns the entry, and inserts the default value if there is none.
    pub fn or_default(self) -> Entry<K, V>
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Returns the entry, and has `init` make its value if there is none. One of several concurrent callers makes the
    /// value, as in [`get_with`](Cache::get_with).
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Cache::get_with) does.
    pub fn or_insert_with(self, init: impl FnOnce() -> V) -> Entry<K, V> {
        let mut is_fresh = false;
        let init = || {
            is_fresh = true;
            init()
        };
        let value = self.cache.get_with_by_ref(&self.key, init);
        Entry { key: self.key, value, is_fresh }
    }

    /// Returns the entry, and has `init` load its value if there is none, as [`try_get_with`](Cache::try_get_with) does.
    ///
    /// # Errors
    ///
    /// Fails as [`try_get_with`](Cache::try_get_with) does.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Cache::get_with) does.
    pub fn or_try_insert_with<E>(
        self,
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<Entry<K, V>, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        let mut is_fresh = false;
        let init = || {
            is_fresh = true;
            init()
        };
        let value = self.cache.try_get_with_by_ref(&self.key, init)?;
        Ok(Entry { key: self.key, value, is_fresh })
    }

    /// Returns the entry, and has `init` look for its value if there is none. A `None` of `init` is not stored.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Cache::get_with) does.
    pub fn or_optionally_insert_with(
        self,
        init: impl FnOnce() -> Option<V>,
    ) -> Option<Entry<K, V>> {
        let mut is_fresh = false;
        let init = || {
            is_fresh = true;
            init()
        };
        let value = self.cache.optionally_get_with_by_ref(&self.key, init)?;
        Some(Entry { key: self.key, value, is_fresh })
    }

    /// Has `make` compute the new value from the old one, if there is one, and inserts it, atomically as
    /// [`and_compute_with`](Self::and_compute_with) does. A value that is not stored is returned all the same.
    pub fn and_upsert_with(self, mut make: impl FnMut(Option<&V>) -> V) -> Entry<K, V> {
        let computed = self.cache.compute(self.key.clone(), |old| Op::Put(make(old)));
        let value = match computed {
            CompResult::Inserted(value)
            | CompResult::ReplacedWith(value)
            | CompResult::Removed(value)
            | CompResult::Unchanged(value) => value,
            CompResult::NotStored(StoreError { key, value, .. }) => {
                self.cache.refused(key, value.clone());
                value
            }
            CompResult::StillNone => unreachable!("a value is put"),
        };
        Entry { key: self.key, value, is_fresh: true }
    }

    /// Has `compute` decide by the value, if there is one, what becomes of the key. No other call changes the key between
    /// the moment at which `compute` gets the value and the moment at which the answer takes effect. If another call did,
    /// `compute` is called again with the new value. So it should be short, and have no effect but its answer.
    ///
    /// A load of the key that is in progress is not stored, unless the answer is [`Op::Keep`]. No call waits for another.
    /// An eviction is no change of the key.
    ///
    /// # Panics
    ///
    /// If `compute` panics. Then nothing is changed.
    pub fn and_compute_with(self, compute: impl FnMut(Option<&V>) -> Op<V>) -> CompResult<K, V> {
        self.cache.compute(self.key, compute)
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn compute(&self, key: K, compute: impl FnMut(Option<&V>) -> Op<V>) -> CompResult<K, V> {
        let (now, guard) = (self.shared.clock.now(), pin());
        match self.shared.engine.compute(key, compute, now, &guard) {
            Ok(Computed::Inserted(new)) => CompResult::Inserted(new.clone()),
            Ok(Computed::Replaced { new, .. }) => CompResult::ReplacedWith(new.clone()),
            Ok(Computed::Removed(old)) => CompResult::Removed(old.clone()),
            Ok(Computed::Kept(None)) => CompResult::StillNone,
            Ok(Computed::Kept(Some(old))) => CompResult::Unchanged(old.clone()),
            Err(error) => CompResult::NotStored(error),
        }
    }
}
