//! One namespace for one owner, in fixed memory.

use core::fmt;

use heapless::{LinearMap, String};

use super::{Departure, LapsedError, WhenFull};
use crate::time::{Instant, Ttl};

/// A registry for up to `N` entries with ids of up to `ID` bytes: no heap, no atomics, for
/// firmware.
///
/// It is one namespace: a device that needs several holds several. An entry that has ended is never
/// handed out, whether it was [pruned](Self::prune) or not; where there is no room, it is evicted
/// first. To look an id up is to compare it with all: up to `N` comparisons, and no hash that could
/// be attacked.
///
/// A [lease](FixedLease) renews and withdraws the entry that it was given for, and no other that
/// has taken the id since; [`renew_any`](Self::renew_any) and [`withdraw_any`](Self::withdraw_any)
/// act on the entry that the id stands for now.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::registry::WhenFull;
/// use tidegate_core::{FixedRegistry, Instant};
///
/// let mut services: FixedRegistry<fn(u8) -> u8, 8> =
///     FixedRegistry::new(Duration::from_secs(300), WhenFull::Refuse);
/// let now = Instant::from_secs(1);
/// let lease = services.advertise("double", |x| 2 * x, now)?.lease;
/// assert_eq!(services.resolve("double", now).map(|f| f(21)), Some(42));
///
/// services.renew(&lease, now + Duration::from_secs(200))?;
/// let end = now + Duration::from_secs(500);
/// assert!(services.resolve("double", end).is_none());
/// assert_eq!(services.prune(|_, _| (), end), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedRegistry<V, const N: usize, const ID: usize = 32> {
    entries: LinearMap<String<ID>, Leased<V>, N>,
    ttl: Ttl,
    when_full: WhenFull,
    /// The number of the next lease.
    next: u64,
}

#[derive(Clone, Debug)]
struct Leased<V> {
    /// The number of its lease.
    number: u64,
    ttl: Ttl,
    /// When it ends; `None` for never.
    end: Option<Instant>,
    value: V,
}

impl<V> Leased<V> {
    fn is_past(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    fn renew(&mut self, now: Instant) -> Result<(), LapsedError> {
        if self.is_past(now) {
            return Err(LapsedError);
        }
        // A renewal of an earlier time shortens nothing, and an entry that never ends gets no end.
        self.end = self.end.max(end(self.ttl, now));
        Ok(())
    }

    /// Returns the entry's rank: the one that ends sooner has the smaller.
    fn rank(&self) -> u64 {
        self.end.map_or(u64::MAX, Instant::as_nanos)
    }
}

fn end(ttl: Ttl, now: Instant) -> Option<Instant> {
    match ttl {
        Ttl::For(ttl) => Some(now + ttl),
        Ttl::Forever => None,
    }
}

/// The right to renew and to withdraw one entry of a [`FixedRegistry`]: its number, which does not
/// say which registry it is of.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a lease that is dropped cannot be renewed"]
pub struct FixedLease(u64);

/// The result of [`advertise`](FixedRegistry::advertise).
#[derive(Debug, PartialEq, Eq)]
pub struct Advertised<V, const ID: usize> {
    /// The lease of the new entry.
    pub lease: FixedLease,
    /// The entry that was removed for it.
    pub displaced: Option<Displaced<V, ID>>,
}

/// The entry that was removed for a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced<V, const ID: usize> {
    /// Its id.
    pub id: String<ID>,
    /// Its value.
    pub value: V,
    /// Why it was removed.
    pub cause: Departure,
}

/// Why an entry was not entered. The registry is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FixedError<V> {
    /// The id has too many bytes. The value is handed back.
    IdTooLong(V),
    /// There are as many entries as there may be, and none is evicted. The value is handed back.
    Full(V),
}

impl<V> fmt::Display for FixedError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdTooLong(_) => "registry: the id is too long",
            Self::Full(_) => "registry: full",
        })
    }
}

impl<V: fmt::Debug> core::error::Error for FixedError<V> {}

type Entered<V, const ID: usize> = Result<Advertised<V, ID>, FixedError<V>>;

impl<V, const N: usize, const ID: usize> FixedRegistry<V, N, ID> {
    /// Creates an empty registry. Its entries live for `ttl` unless they are advertised for another
    /// time.
    pub fn new(ttl: impl Into<Ttl>, when_full: WhenFull) -> Self {
        Self::with(ttl.into(), when_full)
    }

    /// Creates an empty registry as [`new`](Self::new) does, for a `static`.
    pub const fn with(ttl: Ttl, when_full: WhenFull) -> Self {
        Self { entries: LinearMap::new(), ttl, when_full, next: 0 }
    }

    /// Enters a value for the usual time, in place of the id's if there is one. Returns its lease,
    /// and the entry that was removed for it.
    ///
    /// # Errors
    ///
    /// Fails with any [`FixedError`], and hands the value back.
    pub fn advertise(&mut self, id: &str, value: V, now: Instant) -> Entered<V, ID> {
        self.advertise_for(id, value, self.ttl, now)
    }

    /// Enters a value as [`advertise`](Self::advertise) does, for `ttl`.
    ///
    /// # Errors
    ///
    /// Fails as [`advertise`](Self::advertise) does.
    pub fn advertise_for(
        &mut self,
        id: &str,
        value: V,
        ttl: impl Into<Ttl>,
        now: Instant,
    ) -> Entered<V, ID> {
        let Ok(key) = String::try_from(id) else {
            return Err(FixedError::IdTooLong(value));
        };
        let displaced = match self.goes_for(id, now) {
            Ok(goes) => goes.and_then(|(id, cause)| {
                let value = self.entries.remove(&id)?.value;
                Some(Displaced { id, value, cause })
            }),
            Err(Full) => return Err(FixedError::Full(value)),
        };
        let (ttl, number) = (ttl.into(), self.next);
        match self.entries.insert(key, Leased { number, ttl, end: end(ttl, now), value }) {
            Ok(_) => {
                self.next += 1;
                Ok(Advertised { lease: FixedLease(number), displaced })
            }
            Err((_, leased)) => Err(FixedError::Full(leased.value)),
        }
    }

    /// Returns which entry is removed for an id, and why.
    fn goes_for(&self, id: &str, now: Instant) -> Result<Option<(String<ID>, Departure)>, Full> {
        let mut others = self.entries.iter();
        let (goes, otherwise) = if self.entries.get(id).is_some() {
            (others.find(|(held, _)| *held == id), Departure::Replaced)
        } else if self.entries.len() < N {
            return Ok(None);
        } else {
            (others.min_by_key(|(_, leased)| leased.rank()), Departure::Evicted)
        };
        let (id, leased) = goes.ok_or(Full)?;
        if leased.is_past(now) {
            return Ok(Some((id.clone(), Departure::Expired)));
        }
        if otherwise == Departure::Evicted && self.when_full == WhenFull::Refuse {
            return Err(Full);
        }
        Ok(Some((id.clone(), otherwise)))
    }

    /// Returns the value that an id stands for.
    pub fn resolve(&self, id: &str, now: Instant) -> Option<&V> {
        let leased = self.entries.get(id)?;
        (!leased.is_past(now)).then_some(&leased.value)
    }

    /// Renews the entry of a lease, for as long as its first time to live.
    ///
    /// # Errors
    ///
    /// Fails with [`LapsedError`] if the entry has expired, or was removed or replaced: a renewal
    /// brings nothing back.
    pub fn renew(&mut self, lease: &FixedLease, now: Instant) -> Result<(), LapsedError> {
        let mut entries = self.entries.iter_mut().map(|(_, leased)| leased);
        entries.find(|leased| leased.number == lease.0).ok_or(LapsedError)?.renew(now)
    }

    /// Renews the entry that an id stands for now, whichever lease it has.
    ///
    /// # Errors
    ///
    /// Fails with [`LapsedError`] if the id stands for no entry that lives.
    pub fn renew_any(&mut self, id: &str, now: Instant) -> Result<(), LapsedError> {
        self.entries.get_mut(id).ok_or(LapsedError)?.renew(now)
    }

    /// Removes the entry of a lease. Returns its value if it lived.
    #[expect(clippy::needless_pass_by_value, reason = "an entry is withdrawn once")]
    pub fn withdraw(&mut self, lease: FixedLease, now: Instant) -> Option<V> {
        let mut entries = self.entries.iter();
        let id = entries.find(|(_, leased)| leased.number == lease.0)?.0.clone();
        self.withdraw_any(&id, now)
    }

    /// Removes the entry that an id stands for now, whichever lease it has. Returns its value if it
    /// lived.
    pub fn withdraw_any(&mut self, id: &str, now: Instant) -> Option<V> {
        self.resolve(id, now)?;
        self.entries.remove(id).map(|leased| leased.value)
    }

    /// Removes the entries that have ended, hands each to `gone`, and returns how many there were.
    /// The call looks at all `N` entries for each one that it removes.
    pub fn prune(&mut self, mut gone: impl FnMut(&str, V), now: Instant) -> usize {
        let mut pruned = 0;
        while let Some((id, _)) = self.entries.iter().find(|(_, leased)| leased.is_past(now)) {
            let id = id.clone();
            if let Some(leased) = self.entries.remove(&id) {
                pruned += 1;
                gone(&id, leased.value);
            }
        }
        pruned
    }

    /// Iterates over the entries that live.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&str, &V)> {
        let live = self.entries.iter().filter(move |(_, leased)| !leased.is_past(now));
        live.map(|(id, leased)| (id.as_str(), &leased.value))
    }

    /// Returns how many entries there are, including those that have ended and were not pruned.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no entries, counted as [`len`](Self::len) counts them.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// No entry is evicted.
struct Full;
