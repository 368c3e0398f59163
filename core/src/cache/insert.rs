//! Putting values in.

use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::counters::Event;
use super::entry::{Object, end};
use super::totals::Reserved;
use super::{Cache, CacheError, RemovalCause, Tier, Tiers};
use crate::map::{Entry, Rejected, Upserted};
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl, nanos};

/// How one entry differs from what is usual in its cache.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::cache::Insert;
///
/// let negative = Insert::new().time_to_live(Duration::from_secs(5));
/// # _ = negative;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "says how to insert, and inserts nothing"]
pub struct Insert {
    ttl: Option<Ttl>,
    tier: Tier,
    weight: Option<u64>,
}

impl Insert {
    /// As usual.
    pub const fn new() -> Self {
        Self { ttl: None, tier: Tier::LOWEST, weight: None }
    }

    /// How long it is fresh.
    pub fn time_to_live(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Which tier it is in. The [lowest](Tier::LOWEST) unless it is said.
    pub const fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// How long it is fresh, where it is usually so long.
    pub(super) fn ttl(self, usual: Ttl) -> Ttl {
        self.ttl.unwrap_or(usual)
    }

    /// How many bytes it is counted as, whatever the weigher would say.
    pub const fn weight(mut self, bytes: u64) -> Self {
        self.weight = Some(bytes);
        self
    }
}

/// What a cache would not keep, handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<K, V> {
    /// Why.
    pub error: CacheError,
    /// What.
    pub key: K,
    /// What.
    pub value: V,
}

impl<K, V> fmt::Display for Refused<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> core::error::Error for Refused<K, V> {}

/// In so many insertions one looks whether there are too many handles.
const LOOK: usize = 8;

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Inserts a value, in place of the key's if there is one, and returns it as it was put in. Evicts what
    /// must go for it: into a full cache that is another even if the key is there, for room is reserved
    /// before the old one is gone. Without memory for its place in the order it is evicted at once.
    ///
    /// Allocates an entry, at times a segment of the order, and what [a map's changes](crate::Map) do.
    ///
    /// # Errors
    ///
    /// Any [`CacheError`], with key and value handed back. What was evicted by then is gone.
    pub fn insert<'g>(
        &'g self,
        key: K,
        value: V,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g V, Refused<K, V>> {
        self.insert_with(key, value, Insert::new(), now, guard)
    }

    /// The same, and not as usual.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_with<'g>(
        &'g self,
        key: K,
        value: V,
        insert: Insert,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g V, Refused<K, V>> {
        self.map.admit(guard);
        let hash = self.map.hash(&key);
        let entry = self.insert_if(|_| true, hash, key, value, insert, now, guard)?;
        Ok(&entry.value.value)
    }

    /// The same, of a key that was hashed, with the entry as it was put in; only if `may` says so of what
    /// lives there.
    #[expect(clippy::too_many_arguments, reason = "what an insertion is about, and nothing else")]
    pub(super) fn insert_if<'g>(
        &'g self,
        may: impl Fn(Option<&Object<V>>) -> bool,
        hash: usize,
        key: K,
        value: V,
        insert: Insert,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g Entry<K, Object<V>>, Refused<K, V>> {
        let refuse = |error, key, value| {
            self.tally.count(hash, Event::Refused);
            Refused { error, key, value }
        };
        let weigh = || self.rules.weigher.as_ref().map_or(1, |weigh| weigh(&key, &value));
        let weight = insert.weight.unwrap_or_else(weigh);
        let mut room = self.totals.none();
        if let Err(error) = self.reserve(weight, &mut room, now, guard) {
            return Err(refuse(error, key, value));
        }
        room.enter(insert.tier);
        let order = &self.orders[insert.tier.index()];
        let end = self.end(hash, insert.ttl(self.rules.ttl), now);
        let stamp = order.stamp(guard);
        let object = Object::new(stamp, insert.tier, end, weight, value);
        let succeed = |old: Option<&Object<V>>, new: &mut Object<V>| {
            new.succeed(old, stamp);
            (!may(old.filter(|old| !old.is_dead()))).then_some(())
        };
        let (new, replaced) = match self.map.upsert(hash, key, object, guard, succeed) {
            Ok(Upserted::Inserted(new, replaced)) => (new, replaced),
            // There is no room for two: that is no failure.
            Ok(Upserted::Kept((), (key, Object { value, .. }))) => {
                return Err(Refused { error: CacheError::Full, key, value });
            }
            Err(Rejected { error, value: (key, object) }) => {
                return Err(refuse(CacheError::Map(error), key, object.value));
            }
        };
        room.keep();
        self.tally.count(hash, Event::Inserted);
        let killed = replaced.and_then(|old| Some((old, old.value.kill()?)));
        if let Some((old, dead)) = killed {
            self.release(&old.value, dead);
        }
        // Who dies by us leaves its handle to us: whoever evicts finds us by it, for we were there
        // before it died.
        let added = if killed.is_some_and(|(old, _)| new.value.succeeds(&old.value)) {
            // It was seen to be wanted: as if it had been read.
            new.value.read();
            None
        } else {
            Some(order.add(new.value.handle(hash), guard))
        };
        // From here on, code of the user's may panic.
        if let Some((old, _)) = killed {
            let is_past = old.value.is_past(now, self.rules.stale());
            let cause = if is_past { RemovalCause::Expired } else { RemovalCause::Replaced };
            self.report(hash, &old.key, &old.value, cause);
        }
        match added {
            Some(Ok(number)) if number.is_multiple_of(LOOK) => {
                self.tidy(insert.tier, 2 * LOOK, now, guard);
            }
            // No memory for its place in the order: it cannot stay, nor who has taken its place since.
            Some(Err(_)) => self.expel(new.value.handle(hash), insert.tier, now, guard),
            _ => {}
        }
        Ok(new)
    }

    /// When what is inserted now is no longer fresh.
    fn end(&self, hash: usize, ttl: Ttl, now: Instant) -> u64 {
        let (Ttl::For(ttl), 1..) = (ttl, self.rules.jitter) else {
            return end(ttl, now);
        };
        let most = u128::from(nanos(ttl)) * u128::from(self.rules.jitter) / 1_000_000;
        // A number that seems random, of 32 bits (the multiplier is that of splitmix64).
        let mixed = (hash as u64 ^ now.as_nanos()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let by = (most * u128::from(mixed >> 32)) >> 32;
        end(Ttl::For(ttl - core::time::Duration::from_nanos(by as u64)), now)
    }

    /// Makes it room for an entry of this weight, by evicting others if need be.
    fn reserve(
        &self,
        weight: u64,
        room: &mut Reserved<'_>,
        now: Instant,
        guard: &Guard,
    ) -> Result<(), CacheError> {
        if weight > self.totals.max().bytes {
            return Err(CacheError::TooHeavy);
        }
        while !room.settle(weight) {
            if !self.evict_one(Tiers::ALL, RemovalCause::Size, room, now, guard) {
                return Err(CacheError::Full);
            }
        }
        Ok(())
    }
}
