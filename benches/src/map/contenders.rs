//! What every map can do, each in its own way.
//!
//! All of them place keys by the same hasher, [`SeededState`] of one seed: what is compared is the
//! structures, not the hashers they come with.

use scc::hash_index::Entry;
use tidegate::lockfree::Map;
use tidegate::{Budget, Guard, Instant, SeededState, Worker};

fn hasher() -> SeededState {
    SeededState::new(0x5eed)
}

/// A map from numbers to numbers that threads share.
pub(super) trait Contender: Sync {
    /// What a thread has for as long as it uses the map.
    type Hand;
    /// What a thread has for one burst.
    type Guard<'g>
    where
        Self: 'g;

    fn empty() -> Self;
    fn hand(&self) -> Self::Hand;
    fn guard<'g>(&'g self, hand: &'g mut Self::Hand) -> Self::Guard<'g>;
    /// 0 if there is none.
    fn get(&self, key: u64, guard: &Self::Guard<'_>) -> u64;
    /// Inserts a key that is not there.
    fn insert(&self, key: u64, value: u64, guard: &Self::Guard<'_>);
    /// Replaces the value of a key that is there: mostly as it is inserted.
    #[inline]
    fn update(&self, key: u64, value: u64, guard: &Self::Guard<'_>) {
        self.insert(key, value, guard);
    }

    fn remove(&self, key: u64, guard: &Self::Guard<'_>);

    /// A get that brings a guard of its own.
    fn get_pinned(&self, hand: &mut Self::Hand, key: u64) -> u64 {
        let guard = self.guard(hand);
        self.get(key, &guard)
    }

    /// One step of freeing what was removed, where that is not done by whoever removes.
    fn collect(&self, _hand: &mut Self::Hand, _budget: Budget) {}
}

/// Ours.
pub(super) type Ours = Map<u64, u64>;

/// One worker that reads, and one that collects.
pub(super) struct Hand {
    pub(super) reader: Worker,
    collector: Worker,
    /// The supplied time, in nanoseconds.
    now: u64,
}

impl Contender for Ours {
    type Hand = Hand;
    type Guard<'g> = &'g Guard;

    fn empty() -> Self {
        Self::with(tidegate::domain(), hasher())
    }

    fn hand(&self) -> Hand {
        Hand { reader: self.domain().worker(), collector: self.domain().worker(), now: 0 }
    }

    #[inline]
    fn guard<'g>(&'g self, hand: &'g mut Hand) -> &'g Guard {
        hand.now += 1;
        hand.reader.quiescent(Instant::from_nanos(hand.now))
    }

    #[inline]
    fn get(&self, key: u64, guard: &&Guard) -> u64 {
        Map::get(self, &key, guard).copied().unwrap_or(0)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, guard: &&Guard) {
        Map::insert(self, key, value, guard).expect("memory");
    }

    #[inline]
    fn remove(&self, key: u64, guard: &&Guard) {
        Map::remove(self, &key, guard).expect("memory");
    }

    #[inline]
    fn get_pinned(&self, _: &mut Hand, key: u64) -> u64 {
        Map::get(self, &key, &tidegate::pin()).copied().unwrap_or(0)
    }

    #[inline]
    fn collect(&self, hand: &mut Hand, budget: Budget) {
        hand.collector.collect(Instant::from_nanos(hand.now), budget);
    }
}

pub(super) type Papaya = papaya::HashMap<u64, u64, SeededState>;

impl Contender for Papaya {
    type Hand = ();
    type Guard<'g> = papaya::LocalGuard<'g>;

    fn empty() -> Self {
        Self::with_hasher(hasher())
    }

    fn hand(&self) {}

    #[inline]
    fn guard<'g>(&'g self, _hand: &'g mut ()) -> papaya::LocalGuard<'g> {
        papaya::HashMap::guard(self)
    }

    #[inline]
    fn get(&self, key: u64, guard: &papaya::LocalGuard<'_>) -> u64 {
        papaya::HashMap::get(self, &key, guard).copied().unwrap_or(0)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, guard: &papaya::LocalGuard<'_>) {
        papaya::HashMap::insert(self, key, value, guard);
    }

    #[inline]
    fn remove(&self, key: u64, guard: &papaya::LocalGuard<'_>) {
        papaya::HashMap::remove(self, &key, guard);
    }
}

pub(super) type Flurry = flurry::HashMap<u64, u64, SeededState>;

impl Contender for Flurry {
    type Hand = ();
    type Guard<'g> = flurry::Guard<'g>;

    fn empty() -> Self {
        Self::with_hasher(hasher())
    }

    fn hand(&self) {}

    #[inline]
    fn guard<'g>(&'g self, _hand: &'g mut ()) -> flurry::Guard<'g> {
        flurry::HashMap::guard(self)
    }

    #[inline]
    fn get(&self, key: u64, guard: &flurry::Guard<'_>) -> u64 {
        flurry::HashMap::get(self, &key, guard).copied().unwrap_or(0)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, guard: &flurry::Guard<'_>) {
        flurry::HashMap::insert(self, key, value, guard);
    }

    #[inline]
    fn remove(&self, key: u64, guard: &flurry::Guard<'_>) {
        flurry::HashMap::remove(self, &key, guard);
    }
}

/// Its readers lock.
pub(super) type SccMap = scc::HashMap<u64, u64, SeededState>;

impl Contender for SccMap {
    type Hand = ();
    type Guard<'g> = ();

    fn empty() -> Self {
        Self::with_hasher(hasher())
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> u64 {
        self.read_sync(&key, |_, value| *value).unwrap_or(0)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        _ = self.insert_sync(key, value);
    }

    #[inline]
    fn update(&self, key: u64, value: u64, _guard: &()) {
        self.upsert_sync(key, value);
    }

    #[inline]
    fn remove(&self, key: u64, _guard: &()) {
        self.remove_sync(&key);
    }
}

/// Its readers do not lock.
pub(super) type SccIndex = scc::HashIndex<u64, u64, SeededState>;

impl Contender for SccIndex {
    type Hand = ();
    type Guard<'g> = scc::Guard;

    fn empty() -> Self {
        Self::with_hasher(hasher())
    }

    fn hand(&self) {}

    #[inline]
    fn guard<'g>(&'g self, _hand: &'g mut ()) -> scc::Guard {
        scc::Guard::new()
    }

    #[inline]
    fn get(&self, key: u64, guard: &scc::Guard) -> u64 {
        self.peek(&key, guard).copied().unwrap_or(0)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &scc::Guard) {
        _ = self.insert_sync(key, value);
    }

    #[inline]
    fn update(&self, key: u64, value: u64, _guard: &scc::Guard) {
        if let Entry::Occupied(mut entry) = self.entry_sync(key) {
            entry.update(value);
        }
    }

    #[inline]
    fn remove(&self, key: u64, _guard: &scc::Guard) {
        self.remove_sync(&key);
    }
}

/// Its readers lock.
pub(super) type DashMap = dashmap::DashMap<u64, u64, SeededState>;

impl Contender for DashMap {
    type Hand = ();
    type Guard<'g> = ();

    fn empty() -> Self {
        Self::with_hasher(hasher())
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> u64 {
        dashmap::DashMap::get(self, &key).map_or(0, |value| *value)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        dashmap::DashMap::insert(self, key, value);
    }

    #[inline]
    fn remove(&self, key: u64, _guard: &()) {
        dashmap::DashMap::remove(self, &key);
    }
}
