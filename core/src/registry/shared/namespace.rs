//! Entries of one kind: a map of them, its time, and how many there may be.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cell::Cell;
use core::hash::{BuildHasher, Hash};

use super::clock::EffectiveClock;
use super::entry::{Leased, Life, length, let_go};
use super::ledger::{Hooks, Ledger, Share, Shares};
use super::{Lease, Terms};
use crate::map::{Cursor, Entry, InsertError, Map, MapError, NO_TAIL, Upserted, step};
use crate::reclaim::{Domain, Guard, Worker};
use crate::registry::{Arrival, Departure, WhenFull};
use crate::sweep::{Budget, Swept};
use crate::sync::{AtomicUsize, Ordering};
use crate::time::{Instant, Ttl, nanos};

/// An entry that is to be entered.
pub(super) struct New<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    /// How long it lives; `None` for the usual time.
    pub(super) ttl: Option<Ttl>,
    /// The entry does not live beyond this, in the namespace's time.
    pub(super) until: u64,
    /// Whether the caller makes a lease of it.
    pub(super) leased: bool,
}

impl<K, V> New<K, V> {
    pub(super) fn service(key: K, value: V, ttl: Option<Ttl>) -> Self {
        Self { key, value, ttl, until: u64::MAX, leased: true }
    }
}

/// What a key must stand for, so that another entry takes the place.
pub(super) enum Expected<'e, K, V> {
    /// Anything or nothing.
    Any,
    /// This entry, or nothing if it is `None`.
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

/// Why an entry was not entered.
pub(super) enum Unmet {
    /// The key stands for something else.
    Changed,
    /// There is no room.
    Full,
    Map(MapError),
}

/// The entry that was entered.
pub(super) struct Put<'g, K, V> {
    pub(super) entry: &'g Entry<K, Leased<V>>,
    /// Whether it took the place of another that lived.
    pub(super) replaced: bool,
}

pub(super) struct Namespace<K: Send + 'static, V: Send + 'static, S> {
    map: Map<K, Leased<V>, S>,
    /// What the leases share.
    ledger: Arc<Ledger<K, V>>,
    shares: Shares<K, V>,
    /// The entries in the map, or about to be put there.
    entries: AtomicUsize,
    terms: Terms,
    /// The length of the usual time to live.
    usual: u64,
    /// Where a new entry last looked for another to take the place of.
    hand: AtomicUsize,
}

/// How many times others may be faster before a new entry is refused.
const TRIES: u32 = 64;

/// In how many steps a new entry looks for another to take the place of.
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
        hooks: Hooks<K, V>,
    ) -> Result<Self, MapError> {
        let (entries, hand) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (map, ledger) = (Map::retaining(domain, hasher, 0)?, Ledger::new(&terms, hooks));
        let ledger = Arc::new(ledger);
        let shares = Shares::new(&ledger);
        Ok(Self { map, ledger, shares, entries, usual: length(terms.ttl), terms, hand })
    }

    /// Returns the entry of a key, if it lives at `time`.
    pub(super) fn get<'g, Q>(
        &'g self,
        key: &Q,
        time: u64,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Leased<V>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (entry, life) = self.find(key, guard)?;
        (!life.is_past(time)).then_some(entry)
    }

    /// Returns the entry of a key, and its end, if it lives at `time`, or is still kept as the last
    /// known one.
    pub(super) fn last_known<'g, Q>(
        &'g self,
        key: &Q,
        time: u64,
        guard: &'g Guard,
    ) -> Option<(&'g Entry<K, Leased<V>>, u64)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (entry, life) = self.find(key, guard)?;
        (!life.is_past(self.prune_time(time))).then_some((entry, life.end()))
    }

    /// Returns the entry of a key, with its word, if it is not dead; it may have expired.
    pub(super) fn find<'g, Q>(
        &'g self,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<(&'g Entry<K, Leased<V>>, Life)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.admit(guard);
        self.find_hashed(self.map.hash(key), key, guard)
    }

    fn find_hashed<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<(&'g Entry<K, Leased<V>>, Life)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // The word by which the entry was found not to be dead: it may be by now.
        let seen = Cell::new(None);
        let is_dead = |leased: &Leased<V>| {
            let life = leased.seen();
            seen.set(Some(life));
            life.is_dead()
        };
        let entry = self.map.find_live(hash, key, is_dead, guard)?;
        seen.get().map(|life| (entry, life))
    }

    /// Returns every entry that lives.
    pub(super) fn iter<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        let (entries, time) = (self.map.iter(guard), self.clock().time(now));
        entries.filter_map(move |(key, leased)| {
            let life = leased.seen();
            (!life.is_dead() && !life.is_past(time)).then_some((key, &leased.value))
        })
    }

    /// Returns the time by which an entry must have ended to be pruned at `time`.
    fn prune_time(&self, time: u64) -> u64 {
        time.saturating_sub(nanos(self.terms.last_known))
    }

    /// Enters a value, in place of the key's if there is one and `expected` allows it.
    pub(super) fn put<'g>(
        &'g self,
        new: New<K, V>,
        expected: Expected<'_, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<Put<'g, K, V>, (Unmet, K, V)> {
        self.admit(guard);
        let (time, hash) = (self.clock().watch(now), self.map.hash(&new.key));
        let (ttl, is_leased) = (new.ttl.map_or(self.usual, length), new.leased);
        let untold = self.ledger.tells_arrivals();
        let (leased, end) = Leased::new((ttl, time, new.until), is_leased, untold, new.value);
        let lives = (leased.ttl, end);
        let mut room = Room { entries: &self.entries, taken: false };
        let accept = |found: Option<&'g Leased<V>>, _: &mut Leased<V>| {
            if !expected.is_met_by(found.filter(|old| !old.seen().is_dead())) {
                return Some(Unmet::Changed);
            }
            // An entry that takes another's place takes its room, too, whether that is alive or
            // dead.
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
        let (entry, old) = match self.map.upsert(hash, new.key, leased, NO_TAIL, guard, accept) {
            Ok(Upserted::Inserted(entry, old)) => (entry, old),
            Ok(Upserted::Kept(unmet, (key, leased))) => return Err((unmet, key, leased.value)),
            Err(InsertError { error, value: (key, leased) }) => {
                return Err((Unmet::Map(error), key, leased.value));
            }
        };
        if old.is_none() {
            room.keep();
        }
        let why = |life: Life| life.expired(time).unwrap_or(Departure::Replaced);
        let killed = old.and_then(|old| Some((old, old.value.kill(|life| Some(why(life)))?)));
        self.clock().succeed(killed.map(|(old, death)| (old.value.ttl, death.end)), lives);
        let unmade = (is_leased || untold).then(|| Unmade { namespace: self, hash, entry, guard });
        let mut arrival = Arrival::Arrived;
        if let Some((old, death)) = killed {
            if death.cause == Departure::Replaced {
                arrival = Arrival::Replaced(&old.value.value);
            }
            self.ledger.report(&old.key, &old.value, death);
        }
        self.ledger.announce(entry, arrival);
        core::mem::forget(unmade);
        Ok(Put { entry, replaced: matches!(arrival, Arrival::Replaced(_)) })
    }

    /// Enters a value if none lives for its key. Fails as [`put`](Self::put) does, and with
    /// [`Unmet::Changed`] if one lives.
    pub(super) fn put_if_absent<'g>(
        &'g self,
        mut new: New<K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Result<Put<'g, K, V>, (Unmet, K, V)> {
        self.admit(guard);
        let (time, hash) = (self.clock().watch(now), self.map.hash(&new.key));
        loop {
            if let Some((entry, _)) = self.find_hashed(hash, &new.key, guard) {
                // A renewal that comes first, of an earlier time, keeps the entry.
                let expired = self.ledger.kill(&entry.value, |life| life.expired(time));
                if let Some(death) = expired {
                    self.unlink(hash, entry, guard);
                    self.ledger.report(&entry.key, &entry.value, death);
                } else if !entry.value.seen().is_dead() {
                    return Err((Unmet::Changed, new.key, new.value));
                }
                continue;
            }
            let (ttl, until, leased) = (new.ttl, new.until, new.leased);
            match self.put(new, Expected::Exactly(None), now, guard) {
                Err((Unmet::Changed, key, value)) => new = New { key, value, ttl, until, leased },
                other => return other,
            }
        }
    }

    /// Removes a key, whatever it stands for. Returns its value if it lived.
    pub(super) fn remove<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.admit(guard);
        let (time, hash) = (self.clock().watch(now), self.map.hash(key));
        loop {
            let (entry, _) = self.find_hashed(hash, key, guard)?;
            if let Some(lived) = self.end(entry, hash, time, guard) {
                return lived.then_some(&entry.value.value);
            }
            // The entry is dead by now: another may have taken its place.
        }
    }

    /// Withdraws the entry of a lease, wherever it is. Returns whether it lived.
    pub(super) fn withdraw(&self, lease: &Lease<K, V>, now: Instant, guard: &Guard) -> bool {
        self.admit(guard);
        let entry = lease.entry();
        if !lease.ledger().is_of(&self.ledger) {
            // The lease is of another registry, whose map this is not.
            return !lease.has_lapsed(now) && lease.ledger().give_up(entry);
        }
        // No code of the user's is called. An entry that was retired is in no bucket, whatever its
        // hash says then.
        self.end(entry, entry.hash(), self.clock().watch(now), guard).unwrap_or(false)
    }

    /// Kills an entry, takes it out of the map, and calls the hook. Returns whether the entry
    /// lived, or `None` if another thread was faster.
    fn end(
        &self,
        entry: &Entry<K, Leased<V>>,
        hash: usize,
        time: u64,
        guard: &Guard,
    ) -> Option<bool> {
        let why = |life: Life| life.expired(time).unwrap_or(Departure::Withdrawn);
        let death = self.ledger.kill(&entry.value, |life| Some(why(life)))?;
        self.unlink(hash, entry, guard);
        self.ledger.report(&entry.key, &entry.value, death);
        Some(death.cause == Departure::Withdrawn)
    }

    /// Removes all entries that have ended, and returns how many there were.
    pub(super) fn prune(&self, now: Instant, guard: &Guard) -> usize {
        self.admit(guard);
        let time = self.prune_time(self.clock().watch(now));
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

    /// Removes all entries that live, and returns how many there were.
    pub(super) fn clear(&self, now: Instant, guard: &Guard) -> usize {
        let keys = self.map.iter(guard).map(|(key, _)| key);
        keys.filter(|key| self.remove(*key, now, guard).is_some()).count()
    }

    /// Panics unless the worker is of the registry's domain.
    pub(super) fn admit_worker(&self, worker: &Worker) {
        self.map.admit_worker(worker);
    }

    /// Does one step of a sweep.
    pub(super) fn step(
        &self,
        worker: &mut Worker,
        cursor: &mut Cursor,
        now: Instant,
        budget: Budget,
    ) -> Swept {
        let time = self.prune_time(self.clock().watch(now));
        let stale = |key: &K, leased: &Leased<V>, _| self.is_done(key, leased, time, &mut 0);
        step(&self.map, worker, cursor, stale, |unlinked| self.give_back(unlinked), now, budget)
    }

    /// Returns whether an entry is to be taken out of the map. Kills the entry if it has ended.
    fn is_done(&self, key: &K, leased: &Leased<V>, time: u64, pruned: &mut usize) -> bool {
        if let Some(death) = self.ledger.kill(leased, |life| life.expired(time)) {
            *pruned += 1;
            self.ledger.report(key, leased, death);
        }
        leased.seen().is_dead()
    }

    /// Takes the entry that ends soonest, of those looked at, or a dead one, out of the map: then
    /// its room is the caller's. Returns `Some(false)` if others were faster, and `None` if there
    /// is no entry.
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
        let why = || seen.expired(time).unwrap_or(Departure::Evicted);
        let killed = self.ledger.kill(leased, |life| (life == seen).then(why));
        if killed.is_none() && !seen.is_dead() {
            return Ok(Some(false));
        }
        let mut room = Room { entries: &self.entries, taken: false };
        let unlinked = self.map.remove_entry(hash, entry, guard);
        room.taken = unlinked == Ok(true);
        if let Some(death) = killed {
            self.ledger.report(&entry.key, &entry.value, death);
        }
        room.keep();
        unlinked.map(Some)
    }

    /// Returns the entry that ends soonest, or a dead one, of those that a hand passes. The hand
    /// passes all where there are few. Elsewhere it takes [`LOOK`] steps, and more until there is
    /// an entry.
    fn soonest<'g>(&'g self, guard: &'g Guard) -> Option<(&'g K, &'g Leased<V>, Life)> {
        // Relaxed, with no partner: any place at which a thread has left the hand will do.
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
        // Relaxed, with no partner: a hint for the next search, which a slower thread may turn
        // back.
        self.hand.store(cursor.position(), Ordering::Relaxed);
        soonest
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Namespace<K, V, S> {
    /// Panics unless the guard is of the registry's domain. Every public call begins with this.
    pub(super) fn admit(&self, guard: &Guard) {
        self.map.admit(guard);
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn clock(&self) -> &EffectiveClock {
        &self.ledger.clock
    }

    pub(super) fn ledger(&self) -> &Ledger<K, V> {
        &self.ledger
    }

    /// Returns a share of the ledger for a lease that is made under this guard.
    pub(super) fn share(&self, guard: &Guard) -> Arc<Share<K, V>> {
        self.shares.of(guard)
    }

    /// Returns how many entries there are in the map, including those that have ended or are dead.
    pub(super) fn len(&self) -> usize {
        // Relaxed, with no partner: a count of this moment. Entries are published by the map.
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes a dead entry out of the map, or leaves it to a sweep for want of memory.
    fn unlink(&self, hash: usize, entry: &Entry<K, Leased<V>>, guard: &Guard) {
        if self.map.remove_entry(hash, entry, guard) == Ok(true) {
            self.give_back(1);
        }
    }

    /// Gives back the room of entries that were taken out of the map.
    fn give_back(&self, entries: usize) {
        if entries > 0 {
            // Relaxed, with no partner: the thread that takes the room reads nothing of the entries
            // that had it.
            self.entries.fetch_sub(entries, Ordering::Relaxed);
        }
    }
}

/// An entry that was entered, but of which a hook may not have been told, and whose caller has no
/// lease yet. If a hook panics, it never has one, and the entry is removed, because nothing could
/// renew or withdraw it, and no hook may know of it.
struct Unmade<'a, K: Send + 'static, V: Send + 'static, S> {
    namespace: &'a Namespace<K, V, S>,
    hash: usize,
    entry: &'a Entry<K, Leased<V>>,
    guard: &'a Guard,
}

impl<K: Send + 'static, V: Send + 'static, S> Drop for Unmade<'_, K, V, S> {
    fn drop(&mut self) {
        let Self { namespace, hash, entry, guard } = *self;
        // The hook is not called: the hook is what panics.
        if namespace.ledger.kill(&entry.value, |_| Some(Departure::Withdrawn)).is_some() {
            namespace.unlink(hash, entry, guard);
        }
        // The entry is still there, under the guard.
        let_go(&entry.value.life);
    }
}

/// Room for one entry. It is given back unless it is kept.
struct Room<'a> {
    entries: &'a AtomicUsize,
    taken: bool,
}

impl Room<'_> {
    fn take(&mut self, max: usize) -> bool {
        // Relaxed, with no partner: a guess, which the exchange checks.
        let mut seen = self.entries.load(Ordering::Relaxed);
        while seen < max && !self.taken {
            // Relaxed, both, with no partner: that there are never more than `max` follows from the
            // count's own modification order; where the exchange fails, another guess.
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
            // Relaxed, with no partner: nothing was entered in this room.
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
