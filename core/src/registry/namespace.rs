//! Entries of one kind: a map of them, its time, and how many there may be.

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::clock::EffectiveClock;
use super::entry::{Leased, Life, let_go};
use super::{Departure, Terms, WhenFull};
use crate::map::{Cursor, Entry, Map, MapError, Rejected, Upserted, step};
use crate::reclaim::{Domain, Guard, Worker};
use crate::sweep::{Budget, Swept};
use crate::sync::{AtomicUsize, Ordering};
use crate::time::{Instant, Ttl, nanos};

/// Is told of every entry that has gone.
pub(super) type Hook<K, V> = Box<dyn Fn(&K, &V, Departure) + Send + Sync>;

/// What is to be entered.
pub(super) struct New<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    /// Else the usual.
    pub(super) ttl: Option<Ttl>,
    /// Whether somebody will hold its lease.
    pub(super) leased: bool,
}

/// What a key must stand for, for another to take the place.
pub(super) enum Expected<'e, K, V> {
    /// Anything or nothing.
    Any,
    /// This, or nothing.
    Exactly(Option<&'e Entry<K, Leased<V>>>),
}

impl<K, V> Expected<'_, K, V> {
    fn is_met_by(&self, live: Option<&Leased<V>>) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => {
                live.map(core::ptr::from_ref) == expected.map(|entry| &raw const entry.value)
            }
        }
    }
}

/// Why it was not entered.
pub(super) enum Unmet {
    /// The key stands for something else.
    Changed,
    /// There is no room.
    Full,
    Map(MapError),
}

/// What was entered.
pub(super) struct Put<'g, K, V> {
    pub(super) entry: &'g Entry<K, Leased<V>>,
    /// Whether it took the place of one that lived.
    pub(super) replaced: bool,
}

pub(super) struct Namespace<K: Send + 'static, V: Send + 'static, S> {
    map: Map<K, Leased<V>, S>,
    clock: EffectiveClock,
    /// In the map, or about to be put there.
    entries: AtomicUsize,
    terms: Terms,
    hook: Option<Hook<K, V>>,
    /// Where a newcomer last looked for one to take the place of.
    hand: AtomicUsize,
}

/// So many times others may be faster before a newcomer is refused.
const TRIES: u32 = 64;

/// In so many steps a newcomer looks for one to take the place of.
const LOOK: usize = if cfg!(loom) { 4 } else { 256 };

impl<K, V, S> Namespace<K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    pub(super) fn new(
        domain: &Domain,
        hasher: S,
        terms: Terms,
        hook: Option<Hook<K, V>>,
    ) -> Result<Self, MapError> {
        let (entries, hand) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (map, clock) = (Map::retaining(domain, hasher)?, EffectiveClock::new(&terms));
        Ok(Self { map, clock, entries, terms, hook, hand })
    }

    /// The entry of a key, if it lives.
    pub(super) fn get<'g, Q>(
        &'g self,
        key: &Q,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Leased<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.not_past(key, self.clock.time(now), guard)
    }

    /// The same, or if its end is no longer ago than the last that was known is kept.
    pub(super) fn last_known<'g, Q>(
        &'g self,
        key: &Q,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Leased<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.not_past(key, self.prune_time(self.clock.time(now)), guard)
    }

    fn not_past<'g, Q>(
        &'g self,
        key: &Q,
        time: u64,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Leased<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key, guard).filter(|entry| !entry.value.seen().is_past(time))
    }

    /// The entry of a key, if it is not dead; it may have ended.
    pub(super) fn find<'g, Q>(
        &'g self,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Leased<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let is_dead = |leased: &Leased<V>| leased.seen().is_dead();
        self.map.find_live(self.map.hash(key), key, is_dead, guard)
    }

    /// Every entry that lives.
    pub(super) fn iter<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        let time = self.clock.time(now);
        self.map.iter(guard).filter_map(move |(key, leased)| {
            let life = leased.seen();
            (!life.is_dead() && !life.is_past(time)).then_some((key, &leased.value))
        })
    }

    pub(super) fn clock(&self) -> &EffectiveClock {
        &self.clock
    }

    /// Whatever ended by then is pruned at this time.
    fn prune_time(&self, time: u64) -> u64 {
        time.saturating_sub(nanos(self.terms.last_known))
    }

    /// Enters a value, in place of the key's if there is one and `expected` says so.
    pub(super) fn put<'g>(
        &'g self,
        new: New<K, V>,
        expected: Expected<'_, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<Put<'g, K, V>, (Unmet, K, V)> {
        self.map.admit(guard);
        let (time, hash) = (self.clock.watch(now), self.map.hash(&new.key));
        let leased = Leased::new(new.ttl.unwrap_or(self.terms.ttl), time, new.leased, new.value);
        // Before others can renew or remove it.
        let counted = Counted::new(&self.clock, leased.ttl, leased.seen().end());
        let mut room = Room { entries: &self.entries, taken: false };
        let accept = |found: Option<&'g Leased<V>>, _: &mut Leased<V>| {
            if !expected.is_met_by(found.filter(|old| !old.seen().is_dead())) {
                return Some(Unmet::Changed);
            }
            // Whoever takes another's place takes his room, too, be he alive or dead.
            let mut tries = 0;
            while found.is_none() && !room.take(self.terms.max_entries) {
                tries += 1;
                let is_wanted = self.terms.when_full == WhenFull::EvictSoonest;
                if !is_wanted || tries > TRIES {
                    return Some(Unmet::Full);
                }
                match self.evict_soonest(time, guard) {
                    Ok(Some(unlinked)) => room.taken = unlinked,
                    Ok(None) => return Some(Unmet::Full),
                    Err(error) => return Some(Unmet::Map(error)),
                }
            }
            None
        };
        let put = match self.map.upsert(hash, new.key, leased, guard, accept) {
            Ok(Upserted::Inserted(entry, replaced)) => {
                counted.keep();
                if replaced.is_none() {
                    room.keep();
                }
                let killed = replaced.and_then(|old| self.kill(&old.value, |_| true));
                Ok((entry, replaced, killed))
            }
            Ok(Upserted::Kept(unmet, (key, leased))) => Err((unmet, key, leased.value)),
            Err(Rejected { error, value: (key, leased) }) => {
                Err((Unmet::Map(error), key, leased.value))
            }
        };
        // From here on, code of the user's may panic.
        let unclaimed = put.as_ref().ok().map(|(entry, ..)| Unclaimed(&entry.value));
        let (entry, replaced, killed) = put?;
        if let (Some(old), Some(end)) = (replaced, killed) {
            let cause = if end <= time { Departure::Expired } else { Departure::Replaced };
            self.report(&old.key, &old.value, cause);
        }
        core::mem::forget(unclaimed);
        Ok(Put { entry, replaced: killed.is_some_and(|end| end > time) })
    }

    /// Removes a key; its value, if it lived.
    pub(super) fn remove<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (time, hash) = (self.clock.watch(now), self.map.hash(key));
        loop {
            let entry = self.find(key, guard)?;
            if let Some(end) = self.kill(&entry.value, |_| true) {
                let lived = end > time;
                let cause = if lived { Departure::Withdrawn } else { Departure::Expired };
                self.unlink(hash, entry, guard);
                self.report(&entry.key, &entry.value, cause);
                return lived.then_some(&entry.value.value);
            }
            // Dead by now: another may have taken its place.
        }
    }

    /// Removes what has ended, all of it, and returns how many that was.
    pub(super) fn prune(&self, now: Instant, guard: &Guard) -> usize {
        self.map.admit(guard);
        let time = self.prune_time(self.clock.watch(now));
        let (mut cursor, mut pruned) = (Cursor::START, 0);
        loop {
            let is_done =
                |key: &K, leased: &Leased<V>| self.is_done(key, leased, time, &mut pruned);
            let unlinked = |entries| self.give_back(entries);
            self.map.sweep_bucket(&mut cursor, is_done, unlinked, guard);
            if cursor == Cursor::START {
                return pruned;
            }
        }
    }

    /// Removes everything that lives, and returns how many that was.
    pub(super) fn clear(&self, now: Instant, guard: &Guard) -> usize {
        let keys = self.map.iter(guard).map(|(key, _)| key);
        keys.filter(|key| self.remove(*key, now, guard).is_some()).count()
    }

    /// Panics unless the worker is of the registry's domain.
    pub(super) fn admit_worker(&self, worker: &Worker) {
        self.map.admit_worker(worker);
    }

    /// One step of a sweep.
    pub(super) fn step(
        &self,
        worker: &mut Worker,
        cursor: &mut Cursor,
        now: Instant,
        budget: Budget,
    ) -> Swept {
        let time = self.prune_time(self.clock.watch(now));
        let stale = |key: &K, leased: &Leased<V>, _| self.is_done(key, leased, time, &mut 0);
        step(&self.map, worker, cursor, stale, |unlinked| self.give_back(unlinked), now, budget)
    }

    /// Whether an entry is to be taken out of the map; kills it if it has ended.
    fn is_done(&self, key: &K, leased: &Leased<V>, time: u64, pruned: &mut usize) -> bool {
        if self.kill(leased, |life| life.is_past(time)).is_some() {
            *pruned += 1;
            self.report(key, leased, Departure::Expired);
        }
        leased.seen().is_dead()
    }

    /// Takes the entry that ends soonest, of those looked at, or one that is dead, out of the map: then its
    /// room is the caller's. `Some(false)` if others were faster; `None` if there is nobody.
    fn evict_soonest(&self, time: u64, guard: &Guard) -> Result<Option<bool>, MapError> {
        let Some((key, leased, seen)) = self.soonest(guard) else {
            return Ok(None);
        };
        let hash = self.map.hash(key);
        let found = self.map.find(hash, key, guard);
        let Some(entry) = found.filter(|entry| core::ptr::eq(&raw const entry.value, leased))
        else {
            return Ok(Some(false));
        };
        let killed = self.kill(leased, |life| life == seen).is_some();
        if !killed && !seen.is_dead() {
            return Ok(Some(false));
        }
        let mut room = Room { entries: &self.entries, taken: false };
        let unlinked = self.map.remove_entry(hash, entry, guard);
        room.taken = unlinked == Ok(true);
        if killed {
            let is_past = seen.is_past(time);
            let cause = if is_past { Departure::Expired } else { Departure::Evicted };
            self.report(&entry.key, &entry.value, cause);
        }
        room.keep();
        unlinked.map(Some)
    }

    /// The entry that ends soonest, or a dead one, of those that a hand passes: of all where there are
    /// few, else in so many steps, and in more until there is one.
    fn soonest<'g>(&'g self, guard: &'g Guard) -> Option<(&'g K, &'g Leased<V>, Life)> {
        // Relaxed: anybody's place will do.
        let hand = self.hand.load(Ordering::Relaxed);
        let is_few = self.len() <= LOOK / 4;
        let mut cursor = if is_few { Cursor::START } else { Cursor::at(hand) };
        let mut soonest: Option<(&'g K, &'g Leased<V>, Life)> = None;
        let mut laps = 0;
        while laps < 2 && soonest.is_none() {
            let look = |key: &'g K, leased: &'g Leased<V>| {
                let life = leased.seen();
                if soonest.is_none_or(|(.., least)| life.rank() < least.rank()) {
                    soonest = Some((key, leased, life));
                }
            };
            cursor = self.map.scan(cursor, Budget::entries(LOOK), look, guard);
            laps += usize::from(cursor == Cursor::START);
        }
        self.hand.store(cursor.position(), Ordering::Relaxed);
        soonest
    }

    /// Takes an entry that is dead out of the map. Who cannot, for want of memory, leaves it to a sweep.
    fn unlink(&self, hash: usize, entry: &Entry<K, Leased<V>>, guard: &Guard) {
        if self.map.remove_entry(hash, entry, guard) == Ok(true) {
            self.give_back(1);
        }
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Namespace<K, V, S> {
    /// How many entries there are in the map: those included that have ended or are dead.
    pub(super) fn len(&self) -> usize {
        // Relaxed, here and below: a count.
        self.entries.load(Ordering::Relaxed)
    }

    /// Has an entry live anew; `false` if it is dead, or its time was up.
    pub(super) fn renew(&self, leased: &Leased<V>, now: Instant) -> bool {
        let renewed = leased.renew(self.clock.watch(now));
        if let Some((end, later)) = renewed {
            self.clock.put_off(leased.ttl, end, later);
        }
        renewed.is_some()
    }

    /// Kills an entry if `doomed` says so of its word; its end, if we did.
    fn kill(&self, leased: &Leased<V>, doomed: impl Fn(Life) -> bool) -> Option<u64> {
        let end = leased.kill(doomed)?;
        self.clock.leave(leased.ttl, end);
        Some(end)
    }

    /// So many entries were taken out of the map.
    fn give_back(&self, entries: usize) {
        if entries > 0 {
            self.entries.fetch_sub(entries, Ordering::Relaxed);
        }
    }

    /// Tells of an entry that was killed. Comes last: the hook may panic.
    fn report(&self, key: &K, leased: &Leased<V>, cause: Departure) {
        if let Some(hook) = &self.hook {
            hook(key, &leased.value, cause);
        }
    }

    /// Kills an entry whose lease is given up by one who has no guard: it is taken out of the map by who
    /// comes by.
    pub(super) fn give_up(&self, entry: &Entry<K, Leased<V>>) {
        if self.kill(&entry.value, |_| true).is_some() {
            self.report(&entry.key, &entry.value, Departure::Withdrawn);
        }
    }
}

/// An entry that is counted by its end before it is there, and no more if it does not come to that.
struct Counted<'a> {
    clock: &'a EffectiveClock,
    ttl: u64,
    end: u64,
}

impl<'a> Counted<'a> {
    fn new(clock: &'a EffectiveClock, ttl: u64, end: u64) -> Self {
        clock.enter(ttl, end);
        Self { clock, ttl, end }
    }

    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.clock.leave(self.ttl, self.end);
    }
}

/// An entry whose lease nobody has yet, and never will if somebody else's code panics.
struct Unclaimed<'a, V>(&'a Leased<V>);

impl<V> Drop for Unclaimed<'_, V> {
    fn drop(&mut self) {
        // The map, or a guard, still has it.
        let_go(&self.0.life);
    }
}

/// Room for one entry, given back unless it is kept.
struct Room<'a> {
    entries: &'a AtomicUsize,
    taken: bool,
}

impl Room<'_> {
    fn take(&mut self, max: usize) -> bool {
        let mut seen = self.entries.load(Ordering::Relaxed);
        while seen < max && !self.taken {
            let (next, relaxed) = (seen + 1, Ordering::Relaxed);
            match self.entries.compare_exchange(seen, next, relaxed, relaxed) {
                Ok(_) => self.taken = true,
                Err(now) => seen = now,
            }
        }
        self.taken
    }

    fn keep(mut self) {
        self.taken = false;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.taken {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
