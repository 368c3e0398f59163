//! Putting values in.

use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::counters::Event;
use super::credit::Credit;
use super::entry::Object;
use super::evict::Place;
use super::later::Later;
use super::totals::{Reserved, Usage};
use super::{Cache, CacheError, RemovalCause, Tier, Tiers};
use crate::flight::Leader;
use crate::map::{Entry, InsertError, Upserted};
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl};

/// How one entry differs from the settings of its cache.
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
    /// Creates the options for an insertion with the cache's settings.
    pub const fn new() -> Self {
        Self { ttl: None, tier: Tier::LOWEST, weight: None }
    }

    /// Sets how long the entry is fresh.
    pub fn time_to_live(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Sets the entry's tier. The default is the [lowest](Tier::LOWEST).
    pub const fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// Returns how long the entry is fresh, where `usual` returns what the cache's rules say.
    pub(super) fn ttl(self, usual: impl FnOnce() -> Ttl) -> Ttl {
        self.ttl.unwrap_or_else(usual)
    }

    /// Sets how many bytes the entry counts as, whatever the weigher would say.
    pub const fn weight(mut self, bytes: u64) -> Self {
        self.weight = Some(bytes);
        self
    }
}

/// What a cache did not store, handed back with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError<K, V> {
    /// The reason.
    pub error: CacheError,
    /// The key that was not stored.
    pub key: K,
    /// The value that was not stored.
    pub value: V,
}

impl<K, V> fmt::Display for StoreError<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> core::error::Error for StoreError<K, V> {}

/// When a value is inserted: asked of the entry whose place it would take, after that was read.
pub(super) enum Condition<'a, 'g, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Whatever is there.
    Always,
    /// While the flight of its load is attached: see [`Leader::is_detached`]. The value is hidden.
    /// Its stamp is that of the load's beginning.
    Loaded(&'a Leader<'a, K, V, E, S>, u64),
    /// In the place of this very entry, or of none that is fresh then. The stamp is that of the
    /// moment before the entry was read.
    Instead(Option<&'g Object<V>>, Instant, u64),
}

impl<K, V, E, S> Condition<'_, '_, K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    fn allows(&self, old: Option<&Object<V>>) -> bool {
        let alive = || old.filter(|old| !old.is_dead());
        match self {
            Self::Always => true,
            Self::Loaded(leader, _) => !leader.is_detached(),
            Self::Instead(Some(this), ..) => alive().is_some_and(|old| core::ptr::eq(old, *this)),
            Self::Instead(None, now, _) => {
                alive().is_none_or(|old| !old.is_hidden() && !old.is_fresh(*now))
            }
        }
    }
}

/// What was not inserted.
pub(super) enum NotInserted<K, V> {
    /// The [condition](Condition) did not hold.
    Overtaken(K, V),
    /// There is no room or memory for it.
    Refused(StoreError<K, V>),
}

/// An insertion evicts four entries more than it needs to while a bound is exceeded.
const A_FEW: usize = 4;

/// One in this many insertions looks whether there are too many handles.
const LOOK: usize = 8;
/// One in this many lets a line of the history fade.
const FADE: usize = 10 * LOOK;

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Inserts a value, in place of the key's if there is one, and returns it as it was put in.
    ///
    /// The call evicts entries to make room. The room of the value that it replaces counts as free,
    /// unless that is held or another thread is replacing it, too. Without memory for its place in
    /// the order, the value is evicted at once. A load of the key that is in progress is detached,
    /// as by [`invalidate`](Self::invalidate).
    ///
    /// The call allocates an entry, at times a segment of the order, and what [a map's
    /// changes](crate::Map) allocate.
    ///
    /// # Errors
    ///
    /// Fails with any [`CacheError`], and hands key and value back. The key's old value is removed
    /// all the same, because it is out of date, and what was evicted by then stays evicted.
    pub fn insert<'g>(
        &'g self,
        key: K,
        value: V,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g V, StoreError<K, V>> {
        self.insert_with(key, value, Insert::new(), now, guard)
    }

    /// Inserts a value as [`insert`](Self::insert) does, with its own time to live, tier or weight.
    ///
    /// # Errors
    ///
    /// Fails as [`insert`](Self::insert) does.
    pub fn insert_with<'g>(
        &'g self,
        key: K,
        value: V,
        insert: Insert,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g V, StoreError<K, V>> {
        self.map.admit(guard);
        // First: a leader that does not see this has stored its value before, which is then
        // replaced.
        self.flights.detach(&key, guard);
        let hash = self.map.hash(&key);
        let always = Condition::Always;
        match self.insert_if(always, hash, key, value, insert, &mut None, now, guard) {
            Ok(entry) => Ok(&entry.value.value),
            Err(NotInserted::Refused(error)) => Err(error),
            Err(NotInserted::Overtaken(key, value)) => {
                Err(StoreError { error: CacheError::Full, key, value })
            }
        }
    }

    /// Inserts a value of a key that was hashed, if the condition holds, and returns the entry.
    #[expect(clippy::too_many_arguments, reason = "what an insertion is about, and nothing else")]
    pub(super) fn insert_if<'g>(
        &'g self,
        condition: Condition<'_, 'g, K, V, E, S>,
        hash: usize,
        key: K,
        value: V,
        insert: Insert,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<&'g Entry<K, Object<V>>, NotInserted<K, V>> {
        let weigh = || self.rules.weigher.as_ref().map_or(1, |weigh| weigh(&key, &value));
        let weight = insert.weight.unwrap_or_else(weigh);
        let ttl = insert.ttl(|| self.rules.ttl_of(&key, &value));
        let made = match condition {
            Condition::Always => self.stamp(),
            Condition::Loaded(_, stamp) | Condition::Instead(_, _, stamp) => stamp,
        };
        let (mut room, mut place) = (self.totals.none(), None);
        let (tier, place) = (insert.tier, &mut place);
        let reserved = self.reserve(hash, &key, weight, tier, place, &mut room, later, now, guard);
        let mut credit = match reserved {
            Ok(credit) => credit,
            Err(error) => {
                self.refuse(&condition, hash, &key, later, now, guard);
                return Err(NotInserted::Refused(StoreError { error, key, value }));
            }
        };
        room.enter(insert.tier);
        if let Some(credit) = &mut credit {
            credit.enter(insert.tier);
        }
        let order = &self.orders[insert.tier.index()];
        let last = self.end(hash, ttl, now);
        let end = self.until_idle(last, now);
        let tag = order.stamp(guard);
        let object = Object::new(tag, insert.tier, end, weight, value);
        if matches!(condition, Condition::Loaded(..)) {
            object.hide();
        }
        let succeed = |old: Option<&Object<V>>, new: &mut Object<V>| {
            new.succeed(old, tag);
            (!condition.allows(old)).then_some(())
        };
        let tail = self.rules.tail(last, made);
        let (new, replaced) = match self.map.upsert(hash, key, object, tail, guard, succeed) {
            Ok(Upserted::Inserted(new, replaced)) => (new, replaced),
            Ok(Upserted::Kept((), (key, Object { value, .. }))) => {
                return Err(NotInserted::Overtaken(key, value));
            }
            Err(InsertError { error, value: (key, object) }) => {
                drop((credit, room));
                self.refuse(&condition, hash, &key, later, now, guard);
                let (error, value) = (CacheError::Map(error), object.value);
                return Err(NotInserted::Refused(StoreError { error, key, value }));
            }
        };
        room.keep();
        if let Some(credit) = credit {
            credit.keep(insert.tier, weight);
        }
        self.tally.count(hash, Event::Inserted);
        let killed = replaced.and_then(|old| Some((old, old.value.kill()?)));
        if let Some((old, dead)) = killed {
            self.release(&old.value, dead);
        }
        let mut untold = None;
        // An entry that this thread killed leaves its handle to the new one. A thread that evicts
        // finds the new entry by it, because that was there before the old one died.
        let added = if killed.is_some_and(|(old, _)| new.value.succeeds(&old.value)) {
            // The key was seen to be wanted, so the entry counts as read.
            new.value.read();
            None
        } else {
            let place = place.unwrap_or_else(|| {
                // What expires on the way is reported when the new entry has its place.
                let untold = untold.insert(self.untold());
                let later = if later.is_some() { &mut *later } else { &mut untold.later };
                self.place(hash, insert.tier, &mut self.totals.none(), later, now, guard)
            });
            let handle = new.value.handle(hash, self.time(insert.tier, guard));
            Some(order.add(handle, place.part, guard))
        };
        // From here on, code of the user's may panic.
        drop(untold);
        if let Some((old, _)) = killed {
            let is_past = old.value.is_past(now, self.rules.stale());
            let cause = if is_past { RemovalCause::Expired } else { RemovalCause::Replaced };
            self.tell(hash, old, cause, later);
        }
        match added {
            Some(Ok(number)) if number.is_multiple_of(LOOK) => {
                if number.is_multiple_of(FADE)
                    && let Some(lines) = self.history.lines(guard)
                {
                    lines.fade(number / FADE);
                }
                self.tidy(insert.tier, 2 * LOOK, later, now, guard);
            }
            // No memory for its place in the order: it cannot stay, nor can the entry that has
            // taken its place since.
            Some(Err(_)) => {
                let handle = new.value.handle(hash, self.time(insert.tier, guard));
                self.expel(handle, insert.tier, later, now, guard);
            }
            _ => {}
        }
        Ok(new)
    }

    /// Removes the entry of a key whose new value is not kept: it is out of date.
    fn refuse<'g>(
        &'g self,
        condition: &Condition<'_, '_, K, V, E, S>,
        hash: usize,
        key: &K,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) {
        self.tally.count(hash, Event::Refused);
        let doomed = |old: &Object<V>| condition.allows(Some(old));
        self.kill(hash, key, doomed, RemovalCause::Replaced, later, now, guard);
    }

    /// Makes room for an entry of this weight, by evicting others if need be. The entry that it
    /// replaces lends its room before that.
    #[expect(clippy::too_many_arguments, reason = "what an insertion is about, and nothing else")]
    fn reserve<'g>(
        &'g self,
        hash: usize,
        key: &K,
        weight: u64,
        tier: Tier,
        place: &mut Option<Place>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<Option<Credit<'g, V>>, CacheError> {
        if weight > self.totals.max().bytes {
            return Err(CacheError::TooHeavy);
        }
        let (mut wanted, mut credit) = (Usage { entries: 1, bytes: weight }, None);
        while !room.settle(wanted) {
            if credit.is_none() && place.is_none() {
                self.shrink(A_FEW, later, now, guard);
                let old = self.map.find_live(hash, key, Object::is_dead, guard);
                credit = old.and_then(|old| Credit::of(&old.value, &self.totals));
                if let Some(credit) = &credit {
                    let bytes = weight.saturating_sub(credit.usage().bytes);
                    wanted = Usage { entries: 0, bytes };
                    continue;
                }
                // It takes the room of another, and where it comes may say whose.
                *place = Some(self.place(hash, tier, room, later, now, guard));
                continue;
            }
            let instead = place.as_mut().is_some_and(|place| core::mem::take(&mut place.instead));
            let instead = instead.then_some(tier);
            let cause = RemovalCause::Size;
            if !self.evict_one(Tiers::ALL, cause, instead, room, later, now, guard) {
                return Err(CacheError::Full);
            }
        }
        Ok(credit)
    }
}
