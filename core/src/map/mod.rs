//! A lock-free map of exact keys, which grows and shrinks with them.
//!
//! Any number of threads read and change a [`Map`] at once. Every call takes a [`Guard`], and what
//! it returns is borrowed from map and guard. Nothing is cloned, and nothing that was returned is
//! freed before the guard is gone.
//!
//! # Algorithm
//!
//! A map consists of freezable sets, after Liu, Zhang and Spear, "Dynamic-Sized Nonblocking Hash
//! Tables" (PODC 2014). A bucket is one word that points at its one entry, or at an immutable block
//! that lists several. A change replaces the word by one compare-exchange. A table that has grown
//! or shrunk fills from the one before it, bucket by bucket: the old word is frozen, its content
//! copied, and then marked as moved. A change first moves what it touches, and then two buckets
//! more. No thread ever waits for another. See [the design](crate::docs::design).

mod count;
mod error;
mod farewell;
mod migrate;
mod next;
mod node;
mod pass;
mod read;
mod reserve;
mod resize;
mod scan;
mod size;
mod sweep;
mod table;
mod tail;
mod update;
mod word;

#[cfg(loom)]
mod audit;

use core::hash::{BuildHasher, Hash};
use core::ptr::NonNull;

pub use error::{InsertError, MapError};
pub(crate) use farewell::{Held, Retained};
pub(crate) use node::Entry;
pub(crate) use pass::Pass;
pub(crate) use read::GROUP;
pub use scan::{Cursor, Iter};
pub(crate) use sweep::step;
pub use sweep::{MapPass, MapSweep};
pub(crate) use tail::{NO_TAIL, Tail};
pub(crate) use update::Upserted;

use self::count::Count;
use self::farewell::{Farewell, Free, Leave};
use self::next::Next;
use self::size::{Size, first_of_bound};
use self::table::{Head, SMALLEST, Table};
use crate::hash::SeededState;
use crate::reclaim::{Domain, Guard, Limbo, Worker};
use crate::sync::{AtomicPtr, Ordering};

/// A bucket takes no more entries than this.
const BLOCK_MAX: usize = if cfg!(loom) { 4 } else { 64 };

/// A lock-free map with exact keys.
///
/// # Cost
///
/// Reading a key is two dependent loads from memory where its bucket holds one entry, and three
/// where it holds several. It writes nothing. A change is one compare-exchange. An entry takes one
/// word beside key and value, and between 11 and 22 bytes for its bucket, or 21 to 85 in a map of
/// fewer than 1,500 entries. Removed entries are freed by the calls that remove (see
/// [`reclaim`](crate::reclaim)), by [`collect`](crate::Worker::collect), or by a
/// [sweep](Self::sweeper).
///
/// # Memory
///
/// A map's memory can grow through:
///
/// * its entries, because a map has no bound of its own;
/// * garbage, up to the domain's [allowance](crate::reclaim::Builder::allowance) and what [guards
///   hold back](crate::reclaim#garbage-is-bounded);
/// * the table before a resize, until a sweep or the next resize frees it;
/// * a table that is too large, which only removals and sweeps shrink.
///
/// # Allocation
///
/// Reading allocates nothing. Inserting, and replacing a value, allocate an entry. A change to a
/// bucket of which several entries are left allocates a block. Changes and scans also move two
/// buckets of a migration, which may take a block each. A change may begin a migration, which takes
/// a table. The table is made while the one before is in use, 1,024 buckets a change. Only what a
/// change itself needs can make it fail: [`MapError::OutOfMemory`].
///
/// # Consistency
///
/// Every operation on one key is linearizable, and a change sees whatever came before the changes
/// that it follows. [`iter`](Self::iter) and [`scan`](Self::scan) are weakly consistent. They see
/// every entry that is there all the while, and may or may not see entries that are inserted or
/// removed meanwhile. [`len`](Self::len) is exact when no thread changes the map.
///
/// # Progress
///
/// Reading is wait-free except while a table is replaced under it, and changes are lock-free.
/// Either is repeated only if another thread's change succeeded. No call waits for growing or
/// shrinking.
///
/// # Hash
///
/// Keys that share a bucket are compared one by one, so the hasher must be keyed with a secret (see
/// [`hash`](crate::hash)). Even if that fails, no bucket takes more than 64 entries:
/// [`MapError::HashFlood`]. A wrong `Hash` or `Eq` loses entries, never memory safety.
///
/// # Panics
///
/// Every call panics if the guard is of another domain, which is a programming error. A panic of
/// `Hash`, `Eq` or a closure leaves the map as it was. The domain decides what a panic in the
/// destructor of a key or value does: see [`contain`](crate::reclaim::Builder::contain). If both
/// the key and the value of an entry panic when they are dropped, the program aborts, as for two
/// fields of any Rust value.
///
/// # Examples
///
/// ```
/// use tidegate_core::{Domain, Instant, Map, SeededState};
///
/// let domain = Domain::new();
/// let sessions = Map::with(&domain, SeededState::new(0x5eed));
/// let mut worker = domain.worker(); // one a thread
///
/// let guard = worker.quiescent(Instant::from_secs(1)); // once a burst
/// sessions.insert("alice".to_owned(), 1, guard)?;
/// assert_eq!(sessions.get("alice", guard), Some(&1));
/// assert_eq!(sessions.remove("alice", guard)?, Some(&1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Map<K: Send + 'static, V: Send + 'static, S = SeededState> {
    head: AtomicPtr<Head<K, V>>,
    next: Next<K, V>,
    count: Count,
    size: Size,
    limbo: Limbo,
    /// Frees a table and all that is in it, when no thread can read the map any more.
    free_all: unsafe fn(NonNull<Head<K, V>>),
    /// How many words are behind each entry.
    tail: usize,
    hasher: S,
}

// SAFETY: the map owns its keys and values.
unsafe impl<K: Send + 'static, V: Send + 'static, S: Send> Send for Map<K, V, S> {}
// SAFETY: sharing the map shares its keys and values (`get`), and lets any thread insert and drop
// them.
unsafe impl<K: Send + Sync + 'static, V: Send + Sync + 'static, S: Sync> Sync for Map<K, V, S> {}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Creates a map in `domain`. `hasher` hashes its keys. The call allocates about 2 KiB.
    ///
    /// ```compile_fail
    /// // What is removed is dropped later, elsewhere: it must be `Send` and borrow nothing.
    /// use tidegate_core::{Domain, Map, SeededState};
    /// let text = String::from("short-lived");
    /// let map: Map<&str, std::rc::Rc<u8>> = Map::with(&Domain::new(), SeededState::new(1));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is no memory: see [`try_with`](Self::try_with).
    pub fn with(domain: &Domain, hasher: S) -> Self {
        match Self::try_with(domain, hasher) {
            Ok(map) => map,
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates a map as [`with`](Self::with) does, if there is memory.
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`].
    pub fn try_with(domain: &Domain, hasher: S) -> Result<Self, MapError> {
        Self::sized(domain, hasher, SMALLEST)
    }

    /// Creates a map whose entries can be [held](Held) beyond their time in it, and have `tail`
    /// words behind them, of which there are two at most.
    pub(crate) fn retaining(domain: &Domain, hasher: S, tail: usize) -> Result<Self, MapError>
    where
        V: Retained,
    {
        Self::retaining_sized(domain, hasher, tail, SMALLEST)
    }

    /// Creates a map as [`retaining`](Self::retaining) does that never has more than `entries`
    /// entries, or hardly more. Up to 75,000 entries its table has its final size at once: it is
    /// never replaced.
    pub(crate) fn retaining_bounded(
        domain: &Domain,
        hasher: S,
        tail: usize,
        entries: usize,
    ) -> Result<Self, MapError>
    where
        V: Retained,
    {
        let map = Self::retaining_sized(domain, hasher, tail, first_of_bound(entries))?;
        map.bound(entries);
        Ok(map)
    }

    /// Changes how many entries there are at most. The next changes and sweeps fit the table to it.
    pub(crate) fn bound(&self, entries: usize) {
        self.size.bound(entries);
    }

    fn retaining_sized(
        domain: &Domain,
        hasher: S,
        tail: usize,
        buckets: usize,
    ) -> Result<Self, MapError>
    where
        V: Retained,
    {
        debug_assert!(tail <= tail::TAIL_MAX);
        match tail {
            0 => Self::parting::<Leave<0>>(domain, hasher, buckets),
            1 => Self::parting::<Leave<1>>(domain, hasher, buckets),
            _ => Self::parting::<Leave<{ tail::TAIL_MAX }>>(domain, hasher, buckets),
        }
    }

    /// Creates a map of `buckets` buckets.
    fn sized(domain: &Domain, hasher: S, buckets: usize) -> Result<Self, MapError> {
        Self::parting::<Free<0>>(domain, hasher, buckets)
    }

    fn parting<F: Farewell<K, V>>(
        domain: &Domain,
        hasher: S,
        buckets: usize,
    ) -> Result<Self, MapError> {
        // SAFETY: the kind frees all that the map retires, from any thread at any time, for
        // keys and values are `Send` and borrow nothing.
        let limbo = unsafe { Limbo::new(domain, table::kind::<K, V, F>()) }?;
        let table = Head::empty(buckets)?;
        Ok(Self {
            head: AtomicPtr::new(table.as_ptr()),
            next: Next::new(None),
            count: Count::new(),
            size: Size::any(),
            limbo,
            free_all: Head::free_all::<F>,
            tail: F::TAIL,
            hasher,
        })
    }

    /// Returns the domain whose guards the map takes.
    pub fn domain(&self) -> &Domain {
        self.limbo.domain()
    }

    /// Returns how many entries there are. The call looks at a few words. While other threads
    /// change the map, the answer may be off by the changes in progress.
    pub fn len(&self) -> usize {
        self.count.sum()
    }

    /// Returns whether there are no entries, as accurately as [`len`](Self::len) does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many buckets there are at this moment.
    pub fn buckets(&self, guard: &Guard) -> usize {
        self.limbo.admit(guard);
        self.table(guard).len()
    }

    /// Returns the hasher of the keys.
    pub(crate) fn hasher(&self) -> &S {
        &self.hasher
    }

    /// Returns how many words are behind each entry.
    pub(crate) fn tail(&self) -> usize {
        self.tail
    }

    /// Panics unless the guard is of the map's domain.
    #[inline(always)]
    pub(crate) fn admit(&self, guard: &Guard) {
        self.limbo.admit(guard);
    }

    /// Panics unless the worker is of the map's domain.
    pub(crate) fn admit_worker(&self, worker: &Worker) {
        self.limbo.admit_worker(worker);
    }

    /// Returns the current table.
    #[inline(always)]
    fn table<'g>(&'g self, _guard: &'g Guard) -> Table<'g, K, V> {
        // Acquire: pairs with the exchange that published the table.
        let head = self.head.load(Ordering::Acquire);
        // SAFETY: there is always a table.
        let head = unsafe { NonNull::new_unchecked(head) };
        // SAFETY: retired only after it was replaced: alive under the guard.
        let table = unsafe { Table::new(head) };
        table.read();
        table
    }
}

impl<K: Hash + Send + 'static, V: Send + 'static, S: BuildHasher> Map<K, V, S> {
    #[inline(always)]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The lower half where words are shorter.
        self.hasher.hash_one(key) as usize
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Drop for Map<K, V, S> {
    fn drop(&mut self) {
        if let Some(table) = NonNull::new(*self.head.get_mut()) {
            // SAFETY: references into the map borrow it, so there are none; what was retired is no
            // longer linked.
            unsafe { (self.free_all)(table) };
        }
    }
}

impl<K: Send + 'static, V: Send + 'static, S> core::fmt::Debug for Map<K, V, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Map").field("len", &self.len()).finish_non_exhaustive()
    }
}
