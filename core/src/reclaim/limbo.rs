//! What a structure has removed and nobody may free yet.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::allocate::OutOfMemory;
use super::domain::{Domain, Inner};
use super::worker::{Guard, Worker};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, Witness};

/// Over how many words retiring is spread.
pub(crate) const STRIPES: usize = if cfg!(loom) { 1 } else { 8 };

/// The first field of whatever can be retired: one word.
///
/// In use, the word is the object's own; once retired it links the object to the next. Whoever reads
/// the word of an object that may have been retired must be able to do without the answer.
#[repr(C, align(8))]
#[derive(Debug)]
pub(crate) struct Header {
    word: AtomicPtr<Header>,
    witness: Witness,
}

impl Header {
    /// A header whose word the owner uses for `value`.
    pub(crate) fn new(value: usize) -> Self {
        let word = AtomicPtr::new(core::ptr::without_provenance_mut(value));
        Self { word, witness: Witness::new() }
    }

    /// What the word holds, or anything at all once the object was retired.
    pub(crate) fn value(&self) -> usize {
        // Acquire: pairs with the retirement. Whoever reads a link then sees that the object is no
        // longer where it was found.
        self.word.load(Ordering::Acquire).addr()
    }

    /// Whether the object was retired, as the models know.
    #[cfg(loom)]
    pub(crate) fn is_retired(&self) -> bool {
        self.witness.is_retired()
    }

    /// Tells the models that the object is read.
    #[inline(always)]
    pub(crate) fn read(&self) {
        self.witness.read();
    }
}

/// Frees an object. The pointer's lowest three bits tell the structure what kind it is of.
pub(crate) type Release = unsafe fn(*mut Header);

const TAGS: usize = 0b111;

/// Where the retired objects of one structure wait. Outlives the structure for as long as there are
/// any; then serves the next one.
pub(super) struct Record {
    state: AtomicUsize,
    /// Set by the owner before the first retirement.
    release: UnsafeCell<Release>,
    stripes: [CachePadded<Stripe>; STRIPES],
    /// What was taken and waits for the end of a grace period. The collector's.
    waiting: UnsafeCell<Lists>,
    /// What may be freed. The collector's.
    ripe: UnsafeCell<Lists>,
    witness: Witness,
}

const FREE: usize = 0;
const OWNED: usize = 1;
const CLOSED: usize = 2;

struct Stripe {
    head: AtomicPtr<Header>,
    retired: AtomicU64,
}

/// Retired objects, linked by their headers: a list from each stripe.
struct Lists([*mut Header; STRIPES]);

// SAFETY: what is retired is `Send` by the promise of `Limbo::new`. `release` is written by the one
// owner while there is nothing to release; `waiting` and `ripe` belong to whoever holds the
// collector's lock.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    fn new(release: Release) -> Self {
        let stripe = || {
            CachePadded::new(Stripe {
                head: AtomicPtr::new(core::ptr::null_mut()),
                retired: AtomicU64::new(0),
            })
        };
        Self {
            state: AtomicUsize::new(OWNED),
            release: UnsafeCell::new(release),
            stripes: core::array::from_fn(|_| stripe()),
            waiting: UnsafeCell::new(Lists::NONE),
            ripe: UnsafeCell::new(Lists::NONE),
            witness: Witness::new(),
        }
    }

    /// All that was ever retired here.
    pub(super) fn retired(&self) -> u64 {
        // Relaxed: a count.
        self.stripes.iter().map(|stripe| stripe.retired.load(Ordering::Relaxed)).sum()
    }

    fn claim(&self) -> bool {
        // Acquire: pairs with the collector's giving it back, after which it touches it no more.
        self.state.compare_exchange(FREE, OWNED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Moves what was retired to `waiting`, and says whether there is any.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's lock, and nothing is waiting.
    pub(super) unsafe fn take(&self) -> bool {
        // SAFETY: the collector's, and the caller is that.
        let waiting = unsafe { &mut *self.waiting.get() };
        // SAFETY: as above.
        let idle = unsafe { &*self.ripe.get() }.is_empty();
        // Acquire: pairs with the owner's last word; its last retirement is then seen below.
        let closed = self.state.load(Ordering::Acquire) == CLOSED;
        for (stripe, list) in self.stripes.iter().zip(&mut waiting.0) {
            // Relaxed: a look, so that idle stripes stay in their readers' caches.
            if stripe.head.load(Ordering::Relaxed).is_null() {
                continue;
            }
            // Acquire, beyond loom: pairs with each push: what removed the objects comes before the
            // grace period that begins now. Whoever retires under a guard, as every model does, is
            // ordered by the end of that, too.
            *list = stripe.head.swap(core::ptr::null_mut(), Ordering::Acquire);
        }
        if closed && idle && waiting.is_empty() {
            // Release: pairs with `claim`.
            self.state.store(FREE, Ordering::Release);
        }
        !waiting.is_empty()
    }

    /// The grace period of what was waiting is over.
    ///
    /// # Safety
    ///
    /// It is, the caller holds the collector's lock, and nothing is ripe.
    pub(super) unsafe fn ripen(&self) {
        // SAFETY: the collector's, and the caller is that.
        unsafe { core::ptr::swap(self.waiting.get(), self.ripe.get()) };
    }

    /// Frees one ripe object, after `before`. `false` if there is none.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's lock, or the record alone.
    pub(super) unsafe fn free_one(&self, before: impl FnOnce()) -> bool {
        // SAFETY: the collector's, and the caller is that.
        let ripe = unsafe { &mut *self.ripe.get() };
        // SAFETY: the list holds retired objects.
        let Some(object) = (unsafe { ripe.pop() }) else {
            return false;
        };
        before();
        self.witness.read();
        // SAFETY: written before the first retirement, which the Acquire of `take` follows.
        let release = unsafe { *self.release.get() };
        // SAFETY: retired once, and unreachable since its grace period is over.
        unsafe { release(object) };
        true
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Nobody is left who could read: no grace period is needed.
        loop {
            // SAFETY: the record is ours alone.
            while unsafe { self.free_one(|| ()) } {}
            // SAFETY: as above; what waited is ripe, or nothing is.
            unsafe { self.ripen() };
            // SAFETY: as above; nothing waits any more.
            let waiting = unsafe { self.take() };
            // SAFETY: as above.
            if !waiting && unsafe { &*self.ripe.get() }.is_empty() {
                return;
            }
        }
    }
}

impl Lists {
    const NONE: Self = Self([core::ptr::null_mut(); STRIPES]);

    fn is_empty(&self) -> bool {
        self.0.iter().all(|list| list.is_null())
    }

    /// # Safety
    ///
    /// The lists are the caller's alone.
    unsafe fn pop(&mut self) -> Option<*mut Header> {
        let list = self.0.iter_mut().find(|list| !list.is_null())?;
        let first = *list;
        // SAFETY: objects of the list.
        let word = unsafe { &(*untagged(first)).word };
        // Relaxed: ordered by the Acquire that took the list.
        *list = word.load(Ordering::Relaxed);
        Some(first)
    }
}

fn untagged(object: *mut Header) -> *mut Header {
    object.map_addr(|address| address & !TAGS)
}

/// The domain takes no more: as much is retired and not freed as it was told to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A structure's side of its record.
pub(crate) struct Limbo {
    domain: Domain,
    record: NonNull<Record>,
}

// SAFETY: the record is shared by design, and lives as long as the domain.
unsafe impl Send for Limbo {}
// SAFETY: as above.
unsafe impl Sync for Limbo {}

impl Limbo {
    /// A place in `domain` for what a structure retires.
    ///
    /// # Safety
    ///
    /// `release` must free whatever the structure retires, from any thread, at any later time.
    pub(crate) unsafe fn new(domain: &Domain, release: Release) -> Result<Self, OutOfMemory> {
        let record = domain.inner().limbos.adopt(Record::claim, || Record::new(release))?;
        // SAFETY: the record lives as long as the domain.
        let ours = unsafe { record.as_ref() };
        // Relaxed: nobody else retires anything here.
        let is_free = |stripe: &CachePadded<Stripe>| stripe.head.load(Ordering::Relaxed).is_null();
        debug_assert!(ours.stripes.iter().all(is_free), "a record with objects in it");
        ours.witness.write();
        // SAFETY: the record is owned by us, and empty.
        unsafe { ours.release.get().write(release) };
        Ok(Self { domain: domain.clone(), record })
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Panics unless the guard is of this domain.
    #[inline(always)]
    pub(crate) fn admit(&self, guard: &Guard) {
        if !guard.is_of(self.domain.inner()) {
            foreign();
        }
    }

    /// Panics unless the worker's guards are of this domain.
    pub(crate) fn admit_worker(&self, worker: &Worker) {
        if !core::ptr::eq(worker.domain().inner(), self.domain.inner()) {
            foreign();
        }
    }

    /// Asks to retire `objects`, before the step that makes them garbage. What is then not retired
    /// must be [given back](Self::give_back).
    #[inline]
    pub(crate) fn reserve(&self, objects: usize) -> Result<(), Full> {
        self.domain.inner().reserve(objects)
    }

    #[inline]
    pub(crate) fn give_back(&self, objects: usize) {
        self.domain.inner().give_back(objects);
    }

    /// Leaves objects to be freed when nobody can read them any more. `spread` is any number that
    /// tells neighbours apart. Lock-free; allocates nothing.
    ///
    /// # Safety
    ///
    /// The objects were reserved for; each is retired this once; and no thread that is pinned from
    /// now on can reach them. Nothing of them is needed to go on with the iterator.
    pub(crate) unsafe fn retire(
        &self,
        spread: usize,
        objects: impl IntoIterator<Item = *mut Header>,
    ) {
        let mut objects = objects.into_iter();
        let Some(last) = objects.next() else {
            return;
        };
        // A chain of them, so that all are pushed at once.
        let (mut first, mut count) = (last, 1);
        for object in objects {
            // SAFETY: ours until it is pushed.
            let header = unsafe { &*untagged(object) };
            header.witness.retire();
            // Release, beyond loom: pairs with the reading of the word's value: the step that removed
            // the object comes before. As below; here it is an entry only where a sweep removes two.
            header.word.store(first, Ordering::Release);
            first = object;
            count += 1;
        }
        // SAFETY: lives as long as the domain.
        let stripe = &unsafe { self.record.as_ref() }.stripes[spread % STRIPES];
        // SAFETY: retired objects are freed by the collector only, and that takes it from the stack.
        let header = unsafe { &*untagged(last) };
        header.witness.retire();
        // Relaxed: only compared with; nothing behind it is read.
        let mut head = stripe.head.load(Ordering::Relaxed);
        loop {
            // Release: as above.
            header.word.store(head, Ordering::Release);
            // Release, beyond loom: the step that removed the object, and all reading of it by this
            // thread, come before its being taken; see there. Relaxed: as the load.
            match stripe.head.compare_exchange(head, first, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => head = seen,
            }
        }
        // Relaxed: a count.
        stripe.retired.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for Limbo {
    fn drop(&mut self) {
        // SAFETY: lives as long as the domain.
        let record = unsafe { self.record.as_ref() };
        // Release: pairs with the collector's look, which then sees our last retirement.
        record.state.store(CLOSED, Ordering::Release);
    }
}

impl Inner {
    #[inline]
    fn reserve(&self, objects: usize) -> Result<(), Full> {
        if self.cap == usize::MAX {
            return Ok(());
        }
        // Relaxed, all: a count, exact by itself.
        let mut outstanding = self.outstanding.load(Ordering::Relaxed);
        while outstanding.saturating_add(objects) <= self.cap {
            match self.outstanding.compare_exchange(
                outstanding,
                outstanding + objects,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => outstanding = seen,
            }
        }
        Err(Full)
    }

    #[inline]
    pub(super) fn give_back(&self, objects: usize) {
        if self.cap != usize::MAX {
            // Relaxed: a count.
            self.outstanding.fetch_sub(objects, Ordering::Relaxed);
        }
    }
}

#[cold]
#[inline(never)]
fn foreign() -> ! {
    panic!("the guard is of another domain than the structure");
}
