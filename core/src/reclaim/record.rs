//! Where the retired objects of one structure wait for the end of their grace periods.
//!
//! ```text
//! stripes -(take)-> waiting -(ripen)-> ripe -(cut)-> a portion, freed
//! ```
//!
//! `take` and `ripen` belong to the holder of the collector's lock. Portions are cut from the ripe
//! lists by any number of threads at once, without the lock, and their destructors run when no list
//! is claimed: a destructor that hangs holds back its own portion.

use core::cell::UnsafeCell;
use core::ptr::null_mut;

use crossbeam_utils::CachePadded;

use super::garbage::Garbage;
use super::header::{Header, Kind, untagged};
use super::marks::Place;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, Witness};

/// Over how many words retiring is spread: each worker has one of them in every record, so that it mostly
/// frees what it has retired itself.
pub(crate) const STRIPES: usize = if cfg!(loom) { 1 } else { 8 };

/// Beside the stripes, one list for large objects: callers that help do not free them.
const LARGE: usize = STRIPES;
const LISTS: usize = STRIPES + 1;

/// So many takes wait for their grace periods at once, so that one can begin while another runs.
const TAKES: usize = 2;

/// At most so many objects are cut from a list at once. A list cannot be used by others while a portion
/// is cut from it, which costs about as many cache misses.
const PORTION: usize = if cfg!(loom) { 3 } else { 32 };

/// Outlives its structure for as long as there are retired objects; then it serves the next one.
pub(super) struct Record {
    state: AtomicUsize,
    /// Where the record says that it may hold objects.
    place: Place,
    /// Set by the owner before the first retirement.
    kind: UnsafeCell<Kind>,
    stripes: [CachePadded<AtomicPtr<Header>>; LISTS],
    /// The collector's.
    waiting: UnsafeCell<[Waiting; TAKES]>,
    /// Null, a list of ripe objects, or [`CLAIMED`].
    ripe: [AtomicPtr<Header>; LISTS],
    /// Portions that are cut and not yet freed.
    out: AtomicUsize,
    /// Bytes of large objects that are retired and not yet freed.
    large: AtomicUsize,
    /// Bytes of the large object in use: as many bytes of retired ones are left to sweeps.
    in_use: AtomicUsize,
    witness: Witness,
}

/// Of a structure, or free.
const OPEN: usize = 0;
const CLOSED: usize = 1;

/// Stands in a ripe list's place while a portion is cut from it: an address that is no object's.
const CLAIMED: *mut Header = core::ptr::without_provenance_mut(1);

/// What was taken at once.
struct Waiting {
    /// Of the take.
    number: u64,
    lists: [*mut Header; LISTS],
}

// SAFETY: what is retired is `Send` by the promise of `Limbo::new`. `kind` is written by the one owner
// while there is nothing to free; `waiting` belongs to the holder of the collector's lock.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    pub(super) fn new(kind: Kind, place: Place) -> Self {
        Self {
            state: AtomicUsize::new(OPEN),
            place,
            kind: UnsafeCell::new(kind),
            stripes: core::array::from_fn(|_| CachePadded::new(AtomicPtr::new(null_mut()))),
            waiting: UnsafeCell::new(core::array::from_fn(|_| Waiting::NONE)),
            ripe: core::array::from_fn(|_| AtomicPtr::new(null_mut())),
            out: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
            in_use: AtomicUsize::new(0),
            witness: Witness::new(),
        }
    }

    /// Makes the record a structure's that retires objects of this kind.
    ///
    /// # Safety
    ///
    /// The caller has claimed the record, and has retired nothing yet.
    pub(super) unsafe fn own(&self, kind: Kind) {
        // Relaxed: no other thread retires anything here.
        let is_empty = self.stripes.iter().all(|stripe| stripe.load(Ordering::Relaxed).is_null());
        debug_assert!(is_empty, "a record with objects in it");
        self.witness.write();
        // SAFETY: by the caller's promise there is nothing whose kind is asked for.
        unsafe { self.kind.get().write(kind) };
    }

    /// The structure is gone; its retired objects stay until they are freed.
    pub(super) fn close(&self) {
        // Relaxed: a count. None is in use any more, so callers free those that were retired.
        self.in_use.store(0, Ordering::Relaxed);
        // Release: pairs with the collector's look, which then sees the last retirement.
        self.state.store(CLOSED, Ordering::Release);
        // After it: a step that takes the mark away looks whether the structure is gone.
        self.place.mark();
    }

    /// Whether the structure is gone.
    pub(super) fn is_closed(&self) -> bool {
        // Acquire, beyond loom: pairs with `close`: the last retirement is seen. It takes a record that is
        // handed on twice while the first structure ends.
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Bytes of large objects that are retired and not yet freed.
    pub(super) fn large(&self) -> usize {
        // Relaxed: a count.
        self.large.load(Ordering::Relaxed)
    }

    /// Pushes a chain of retired objects from `first` to `last`, in one step, on the stripe of the
    /// worker that retires them.
    #[inline]
    pub(super) fn push(&self, stripe: usize, first: *mut Header, last: *mut Header) {
        self.link(stripe % STRIPES, first, last);
    }

    /// Pushes a large retired object of `bytes`, when the one in use has `in_use` bytes.
    pub(super) fn push_large(&self, object: *mut Header, bytes: usize, in_use: usize) {
        // Relaxed, both: counts.
        self.in_use.store(in_use, Ordering::Relaxed);
        self.large.fetch_add(bytes, Ordering::Relaxed);
        self.link(LARGE, object, object);
    }

    #[inline]
    fn link(&self, list: usize, first: *mut Header, last: *mut Header) {
        let stripe = &self.stripes[list];
        // SAFETY: retired objects are freed by way of the stack only.
        let header = unsafe { &*untagged(last) };
        // Relaxed: only compared with; nothing behind it is read.
        let mut head = stripe.load(Ordering::Relaxed);
        loop {
            header.link(head);
            // Release, beyond loom: the step that removed the object, and all reading of it by this
            // thread, come before its being taken; see there. Relaxed: as the load.
            match stripe.compare_exchange(head, first, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if head.is_null() => return self.place.mark(),
                // Marked by the thread that pushed first, or about to be.
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Moves the objects whose grace period is over to the ripe lists, as far as those are empty.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's lock, and the grace periods of all takes for which `is_over`
    /// answers `true` are over.
    pub(super) unsafe fn ripen(&self, is_over: impl Fn(u64) -> bool) {
        // SAFETY: the lock's holder is the only one to use it.
        let waiting = unsafe { &mut *self.waiting.get() };
        for waiting in waiting.iter_mut().filter(|waiting| is_over(waiting.number)) {
            let (large, lists) = waiting.lists.split_last_mut().expect("it has a list");
            for (stripe, list) in lists.iter_mut().enumerate() {
                if !list.is_null() && self.add(stripe, *list) {
                    *list = null_mut();
                }
            }
            if !large.is_null() && self.add_large(*large) {
                *large = null_mut();
            }
        }
    }

    /// Puts a list of ripe objects in its stripe's place, or in another where none is; `false` if every
    /// place is taken.
    fn add(&self, stripe: usize, list: *mut Header) -> bool {
        self.small(stripe).any(|place| {
            // Relaxed: a look.
            place.load(Ordering::Relaxed).is_null()
                // Release, beyond loom: pairs with the claim of those who cut: the grace period is over. It
                // takes a reader, a thread that ripens and one that cuts, in more steps than `r12` can
                // afford. Relaxed: the place is taken.
                && place
                    .compare_exchange(null_mut(), list, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        })
    }

    /// Puts ripe large objects before those that are ripe, which may wait for a sweep for ever; not while
    /// another thread cuts from them.
    fn add_large(&self, first: *mut Header) -> bool {
        let list = &self.ripe[LARGE];
        // Relaxed: only compared with.
        let rest = list.load(Ordering::Relaxed);
        if rest == CLAIMED {
            return false;
        }
        // SAFETY: the list holds retired objects, and is ours until it is published.
        let header = |object| unsafe { &*untagged(object) };
        let mut last = header(first);
        while !last.next().is_null() {
            last = header(last.next());
        }
        last.link(rest);
        // Release: pairs with the claim of those who cut: the grace period is over. It follows the stores
        // of the others that came to the list, for the lock's holder made them. Relaxed: a claim.
        let added =
            list.compare_exchange(rest, first, Ordering::Release, Ordering::Relaxed).is_ok();
        if !added {
            last.link(null_mut());
        }
        added
    }

    /// Moves what was retired to a grace period of its own. Returns whether there was any. A record that
    /// holds nothing any more loses its mark, and becomes free if its structure is gone.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's lock, and a grace period begins after the call for all takes of
    /// this number.
    pub(super) unsafe fn take(&self, number: u64, garbage: &Garbage) -> bool {
        // SAFETY: the lock's holder is the only one to use it.
        let takes = unsafe { &mut *self.waiting.get() };
        let idle = takes.iter().all(Waiting::is_empty)
            // Acquire: pairs with the end of a cut, which counted its portion before.
            && self.ripe.iter().all(|list| list.load(Ordering::Acquire).is_null())
            // Acquire: pairs with the end of each portion: what it put back is seen below.
            && self.out.load(Ordering::Acquire) == 0;
        // Acquire: pairs with the owner's last word; its last retirement is then seen below.
        let closed = self.state.load(Ordering::Acquire) == CLOSED;
        let Some(waiting) = takes.iter_mut().find(|waiting| waiting.is_empty()) else {
            return false;
        };
        for (stripe, list) in self.stripes.iter().zip(&mut waiting.lists) {
            // Relaxed: a look, so that idle stripes stay in their readers' caches.
            if stripe.load(Ordering::Relaxed).is_null() {
                continue;
            }
            // Acquire, beyond loom: pairs with each push: what removed the objects comes before the
            // grace period that begins now. Objects retired under a guard, as in every model, are
            // ordered by the end of that, too.
            *list = stripe.swap(null_mut(), Ordering::Acquire);
        }
        waiting.number = number;
        let holds = !waiting.is_empty();
        if idle && !holds {
            if closed {
                // Relaxed: ordered by the giving back.
                self.state.store(OPEN, Ordering::Relaxed);
                self.place.give_back();
                garbage.count_free();
            } else {
                self.rest();
            }
        }
        holds
    }

    /// Takes the mark off a record that was found empty, unless something has come meanwhile.
    fn rest(&self) {
        self.place.unmark();
        if !self.is_empty() || self.is_closed() {
            self.place.mark();
        }
    }

    /// Whether nothing is on the stacks, where a structure that is gone puts nothing any more; but a
    /// portion may yet be put back.
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: as in `take`.
        self.stripes.iter().all(|stripe| stripe.load(Ordering::Relaxed).is_null())
    }

    /// Whether anything is ripe.
    pub(super) fn is_ripe(&self) -> bool {
        // Relaxed: a hint.
        let is_list = |list: *mut Header| !list.is_null() && list != CLAIMED;
        self.ripe.iter().any(|list| is_list(list.load(Ordering::Relaxed)))
    }

    /// The ripe lists of objects that are not large, a stripe's own first.
    fn small(&self, stripe: usize) -> impl Iterator<Item = &AtomicPtr<Header>> {
        let (before, from) = self.ripe[..LARGE].split_at(stripe % STRIPES);
        from.iter().chain(before)
    }

    /// Frees up to so many ripe objects that are not large, and takes them off what is left to be freed:
    /// first those of a worker's stripe, of which most are on that worker's processor and come from its
    /// part of the allocator.
    pub(super) fn free(&self, stripe: usize, left: &mut usize, garbage: &Garbage) {
        self.free_from(self.small(stripe), left, garbage);
    }

    /// Frees up to so many large ripe objects, and takes them off what is left to be freed.
    pub(super) fn free_large(&self, left: &mut usize, garbage: &Garbage) {
        self.free_from(&self.ripe[LARGE..], left, garbage);
    }

    /// Whether more bytes of large objects are retired than there are in use: then those who help free
    /// them, too, for a table that grew and shrank again and again would pile up without a sweep.
    pub(super) fn has_too_large(&self) -> bool {
        // Relaxed: counts.
        self.large() > self.in_use.load(Ordering::Relaxed)
    }

    /// Frees all there is.
    ///
    /// # Safety
    ///
    /// No other thread uses the domain, and none will.
    pub(super) unsafe fn free_all(&self, garbage: &Garbage) {
        loop {
            // SAFETY: by the caller's promise there is no reader, and no other collector.
            let taken = unsafe { self.take(0, garbage) };
            // SAFETY: as above.
            unsafe { self.ripen(|_| true) };
            let mut left = usize::MAX;
            garbage.spend(&mut left, |left| {
                self.free(0, left, garbage);
                self.free_large(left, garbage);
            });
            if !taken && left == usize::MAX {
                return;
            }
        }
    }

    fn free_from<'a>(
        &'a self,
        lists: impl IntoIterator<Item = &'a AtomicPtr<Header>>,
        left: &mut usize,
        garbage: &Garbage,
    ) {
        for list in lists {
            while *left > 0
                && let Some(mut portion) = self.cut(list, (*left).min(PORTION), garbage)
            {
                portion.free(left);
                if portion.len > 0 {
                    return;
                }
            }
        }
    }

    /// Cuts up to `most` objects from a list, unless it is empty or another thread is cutting.
    fn cut<'a>(
        &'a self,
        list: &AtomicPtr<Header>,
        most: usize,
        garbage: &'a Garbage,
    ) -> Option<Portion<'a>> {
        // Relaxed: a look.
        let first = list.load(Ordering::Relaxed);
        if first.is_null() || first == CLAIMED {
            return None;
        }
        // Acquire: pairs with the store that ripened the list, or with that of the last to cut it. It
        // matters not whether the list was another in between: the whole of it is ours. Relaxed:
        // another thread was faster.
        list.compare_exchange(first, CLAIMED, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // Relaxed: ordered by the store below.
        self.out.fetch_add(1, Ordering::Relaxed);
        let (mut rest, mut len) = (first, 0);
        while !rest.is_null() && len < most {
            // SAFETY: the list holds retired objects, and is ours.
            rest = unsafe { &*untagged(rest) }.next();
            len += 1;
        }
        // Release: pairs with the next claim, and with the collector's look at `out`.
        list.store(rest, Ordering::Release);
        let is_large = core::ptr::eq(list, &self.ripe[LARGE]);
        Some(Portion { record: self, garbage, is_large, first, len, freed: 0, bytes: 0 })
    }

    /// How objects are measured and freed.
    fn kind(&self) -> Kind {
        self.witness.read();
        // SAFETY: written before the first retirement, which happened before this.
        unsafe { *self.kind.get() }
    }
}

impl Waiting {
    const NONE: Self = Self { number: 0, lists: [null_mut(); LISTS] };

    fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.is_null())
    }
}

/// Ripe objects that one thread frees.
struct Portion<'a> {
    record: &'a Record,
    garbage: &'a Garbage,
    is_large: bool,
    first: *mut Header,
    /// How many there are from the first on. The link of the last one leads out of the portion.
    len: usize,
    freed: u64,
    bytes: usize,
}

impl Portion<'_> {
    /// Frees all of it, and takes each object off what is `left` to be freed. After a panic that was
    /// contained it goes on.
    fn free(&mut self, left: &mut usize) {
        let (release, garbage) = (self.record.kind().release, self.garbage);
        let mut before = usize::MAX;
        while 0 < self.len && self.len < before {
            before = self.len;
            garbage.contained(|| {
                while let Some(object) = self.pop() {
                    // Before the destructor can panic.
                    *left -= 1;
                    // SAFETY: retired once, and unreachable since its grace period is over.
                    unsafe { release(object, &mut self.bytes) };
                }
            });
        }
    }

    /// The next object, which counts as freed.
    fn pop(&mut self) -> Option<*mut Header> {
        let object = self.next()?;
        self.freed += 1;
        Some(object)
    }

    fn next(&mut self) -> Option<*mut Header> {
        self.len = self.len.checked_sub(1)?;
        let object = self.first;
        // SAFETY: the portion holds retired objects.
        self.first = unsafe { &*untagged(object) }.next();
        Some(object)
    }
}

impl Portion<'_> {
    /// Puts back what was not freed, for another grace period: on a stack, where `take` finds it after it
    /// has seen the end of this portion. On a ripe list it could come behind that look.
    fn put_back(&mut self) {
        while let Some(object) = self.next() {
            self.record.link(if self.is_large { LARGE } else { 0 }, object, object);
        }
    }
}

impl Drop for Portion<'_> {
    fn drop(&mut self) {
        self.put_back();
        let large = if self.is_large { core::mem::take(&mut self.bytes) } else { 0 };
        self.garbage.count_freed(self.freed, self.bytes as u64);
        if large > 0 {
            // Relaxed: a count.
            self.record.large.fetch_sub(large, Ordering::Relaxed);
        }
        // Release: pairs with the look of `take`, which then sees what was put back.
        self.record.out.fetch_sub(1, Ordering::Release);
    }
}
