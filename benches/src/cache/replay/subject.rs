//! Caches whose hits are counted, each in its own way. One thread uses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::{Clock, MonotonicClock, SeededState, Worker};

use super::super::contenders::{Contender, Moka, Ours, QuickCache, hasher};
use super::super::model::Model;
use super::super::{BUDGET, BURST};

/// The most that a cache may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// This number of entries, of any size.
    Entries(usize),
    /// Objects that take `bytes` bytes together. There are about `objects` of them.
    Bytes { bytes: u64, objects: usize },
}

impl Room {
    /// Returns how much it is: entries or bytes.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Entries(entries) => entries as u64,
            Self::Bytes { bytes, .. } => bytes,
        }
    }

    /// Returns about how many entries it is.
    fn entries(self) -> usize {
        match self {
            Self::Entries(entries) => entries,
            Self::Bytes { objects, .. } => objects,
        }
    }
}

/// A cache from keys to sizes. Sizes are 1 where entries are counted.
pub(super) trait Subject {
    const NAME: &'static str;

    fn new(room: Room) -> Self;

    /// Returns whether the key is there, and inserts it if it is not.
    fn access(&mut self, key: u64, size: u64) -> bool;

    /// Returns how much the cache holds: entries or bytes.
    fn held(&self) -> u64;
}

/// Ours, with what a thread needs to use it.
pub(super) struct OurSubject {
    cache: Ours,
    reader: Worker,
    collector: Worker,
    clock: MonotonicClock,
    accesses: usize,
    is_sized: bool,
}

impl Subject for OurSubject {
    const NAME: &'static str = Ours::NAME;

    fn new(room: Room) -> Self {
        let builder = Ours::builder(tidegate::domain(), hasher());
        let cache = match room {
            Room::Entries(entries) => builder.max_entries(entries as u64),
            Room::Bytes { bytes, .. } => builder.max_bytes(bytes).weigher(|_, size| *size),
        };
        let cache = cache.build().expect("memory");
        let (reader, collector) = (cache.domain().worker(), cache.domain().worker());
        let is_sized = matches!(room, Room::Bytes { .. });
        Self { cache, reader, collector, clock: MonotonicClock::new(), accesses: 0, is_sized }
    }

    fn access(&mut self, key: u64, size: u64) -> bool {
        let now = self.clock.now();
        self.accesses += 1;
        if self.accesses.is_multiple_of(BURST) {
            self.collector.collect(now, BUDGET);
        }
        let guard = self.reader.quiescent(now);
        let is_there = self.cache.get(&key, now, guard).is_some();
        if !is_there {
            // An object larger than the room is refused, and then it is not there.
            let stored = self.cache.insert(key, size, now, guard);
            assert!(stored.is_ok() || self.is_sized, "room");
        }
        is_there
    }

    fn held(&self) -> u64 {
        let usage = self.cache.usage();
        if self.is_sized { usage.bytes } else { usage.entries }
    }
}

/// moka removes what is too much at times, not at once: what it holds is what was inserted and of
/// which no removal was told.
pub(super) struct MokaSubject {
    cache: Moka,
    inserted: u64,
    removed: Arc<AtomicU64>,
}

impl Subject for MokaSubject {
    const NAME: &'static str = Moka::NAME;

    fn new(room: Room) -> Self {
        let removed = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&removed);
        let cache = moka::sync::Cache::builder()
            .max_capacity(room.most())
            .weigher(|_, &size: &u64| u32::try_from(size).unwrap_or(u32::MAX))
            .eviction_listener(move |_, size, _| {
                // Relaxed: a count.
                told.fetch_add(size, Ordering::Relaxed);
            })
            .build_with_hasher(hasher());
        Self { cache, inserted: 0, removed }
    }

    fn access(&mut self, key: u64, size: u64) -> bool {
        let is_there = self.cache.get(&key).is_some();
        if !is_there {
            self.cache.insert(key, size);
            self.inserted += size;
        }
        is_there
    }

    fn held(&self) -> u64 {
        // Relaxed: a count.
        self.inserted - self.removed.load(Ordering::Relaxed)
    }
}

/// quick_cache measures a value as it is.
#[derive(Clone)]
pub(super) struct BySize;

impl quick_cache::Weighter<u64, u64> for BySize {
    fn weight(&self, _key: &u64, size: &u64) -> u64 {
        *size
    }
}

pub(super) type QuickSubject = quick_cache::sync::Cache<u64, u64, BySize, SeededState>;

impl Subject for QuickSubject {
    const NAME: &'static str = QuickCache::NAME;

    fn new(room: Room) -> Self {
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        Self::with(room.entries(), room.most(), BySize, hasher(), lifecycle)
    }

    fn access(&mut self, key: u64, size: u64) -> bool {
        let is_there = self.get(&key).is_some();
        if !is_there {
            self.insert(key, size);
        }
        is_there
    }

    fn held(&self) -> u64 {
        self.weight()
    }
}

/// The textbook's: the least recently used entries are evicted until there is room.
pub(super) struct Lru {
    cache: lru::LruCache<u64, u64, SeededState>,
    most: u64,
    held: u64,
}

impl Subject for Lru {
    const NAME: &'static str = "lru";

    fn new(room: Room) -> Self {
        Self { cache: lru::LruCache::unbounded_with_hasher(hasher()), most: room.most(), held: 0 }
    }

    fn access(&mut self, key: u64, size: u64) -> bool {
        let is_there = self.cache.get(&key).is_some();
        if !is_there && size <= self.most {
            while self.held + size > self.most
                && let Some((_, evicted)) = self.cache.pop_lru()
            {
                self.held -= evicted;
            }
            self.cache.put(key, size);
            self.held += size;
        }
        is_there
    }

    fn held(&self) -> u64 {
        self.held
    }
}

/// The sequential model of our order. It knows no sizes.
impl Subject for Model {
    const NAME: &'static str = "model";

    fn new(room: Room) -> Self {
        Self::new(room.entries(), hasher())
    }

    fn access(&mut self, key: u64, _size: u64) -> bool {
        Self::access(self, key)
    }

    fn held(&self) -> u64 {
        self.len() as u64
    }
}
