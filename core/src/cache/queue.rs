//! A lock-free queue of numbers.
//!
//! This is the array queue of Correia and Ramalhete (FAAArrayQueue). A thread that pushes or pops
//! takes a number of the last or first segment by one addition. It shares the slot of that number
//! with one other thread at most. A pop that comes before its push spoils the slot, and the push
//! takes the next. No thread waits for another. Segments are retired through the domain.

use core::ptr::{NonNull, null_mut};

use crossbeam_utils::CachePadded;

use crate::reclaim::{Guard, Header, Limbo, OutOfMemory, Unpublished};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Estimate, Ordering};

/// A number that can be queued is larger than these.
const EMPTY: u64 = 0;
const SPENT: u64 = 1;

/// A segment takes 2 KiB.
const SLOTS: usize = if cfg!(loom) { 2 } else { 204 };

#[repr(C)]
struct Segment {
    header: Header,
    next: AtomicPtr<Segment>,
    /// How many slots all segments before this one have.
    before: usize,
    /// How many slots were given out to pushes, or more.
    pushed: CachePadded<AtomicUsize>,
    /// How many slots were given out to pops, or more.
    popped: CachePadded<AtomicUsize>,
    slots: [AtomicU64; SLOTS],
}

impl Segment {
    fn new(before: usize, first: Option<u64>) -> Result<Unpublished<Self>, OutOfMemory> {
        let slot = |index| AtomicU64::new(first.filter(|_| index == 0).unwrap_or(EMPTY));
        Unpublished::new(Self {
            header: Header::new(0),
            next: AtomicPtr::new(null_mut()),
            before,
            pushed: CachePadded::new(AtomicUsize::new(usize::from(first.is_some()))),
            popped: CachePadded::new(AtomicUsize::new(0)),
            slots: core::array::from_fn(slot),
        })
        .map_err(|_| OutOfMemory)
    }

    /// Returns the number of the first slot that no thread has pushed to or popped from.
    fn position(&self, taken: &AtomicUsize) -> usize {
        self.before.wrapping_add(taken.estimate().min(SLOTS))
    }
}

/// The numbers after one that was popped.
pub(super) struct After<'g> {
    /// The slots from that number's on.
    slots: &'g [AtomicU64],
}

impl After<'_> {
    /// Returns the number `later` slots later, if it is in the same segment and was not popped yet.
    pub(super) fn get(&self, later: usize) -> Option<u64> {
        // Relaxed: a hint.
        let number = self.slots.get(later)?.load(Ordering::Relaxed);
        (number > SPENT).then_some(number)
    }
}

/// The queue. Its segments are retired to the limbo that comes with each call.
pub(super) struct Queue {
    /// Null until something is pushed.
    head: AtomicPtr<Segment>,
    /// The last segment, or one before; never one that is retired.
    tail: AtomicPtr<Segment>,
}

/// The size of a segment, in bytes.
pub(super) const SEGMENT: usize = size_of::<Segment>();

/// Frees a segment.
///
/// # Safety
///
/// The segment was retired, and no thread can reach it any more.
pub(super) unsafe fn release(segment: *mut Header) {
    // SAFETY: the header is its first field, and `Unpublished` allocates as a box does.
    drop(unsafe { alloc::boxed::Box::from_raw(segment.cast::<Segment>()) });
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(null_mut()), tail: AtomicPtr::new(null_mut()) }
    }

    /// Returns the segment that a link of this queue leads to.
    fn follow<'g>(
        link: &AtomicPtr<Segment>,
        _guard: &'g Guard,
    ) -> Option<(NonNull<Segment>, &'g Segment)> {
        // Acquire: pairs with the exchange that published the segment.
        let at = NonNull::new(link.load(Ordering::Acquire))?;
        // SAFETY: retired only when neither `head`, `tail` nor a segment before leads to it any
        // more: alive under the guard under which it was read.
        let segment = unsafe { at.as_ref() };
        segment.header.read();
        Some((at, segment))
    }

    /// Returns how many slots lie between the first number and the last. There are no fewer than
    /// numbers, except for those being pushed.
    pub(super) fn len(&self, guard: &Guard) -> usize {
        let (head, tail) = (Self::follow(&self.head, guard), Self::follow(&self.tail, guard));
        let (Some((_, head)), Some((_, tail))) = (head, tail) else {
            return 0;
        };
        let (first, end) = (head.position(&head.popped), tail.position(&tail.pushed));
        usize::try_from(end.wrapping_sub(first).cast_signed()).unwrap_or(0)
    }

    /// Returns how many slots have been pushed to.
    pub(super) fn pushed(&self, guard: &Guard) -> usize {
        let tail = Self::follow(&self.tail, guard);
        tail.map_or(0, |(_, tail)| tail.position(&tail.pushed))
    }

    /// Appends a number above 1, and returns its slot. One push in 204 allocates a segment.
    pub(super) fn push(&self, number: u64, guard: &Guard) -> Result<usize, OutOfMemory> {
        debug_assert!(number > SPENT);
        loop {
            let Some((at, tail)) = Self::follow(&self.tail, guard) else {
                self.begin()?;
                continue;
            };
            // Relaxed: the number only says whose the slot is.
            let slot = tail.pushed.fetch_add(1, Ordering::Relaxed);
            if slot >= SLOTS {
                if self.extend(at, tail, number)? {
                    return Ok(tail.before.wrapping_add(SLOTS));
                }
                continue;
            }
            // Release: the thread that pops it sees what was before. Relaxed: an early pop has
            // spoilt the slot.
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            if tail.slots[slot].compare_exchange(EMPTY, number, success, failure).is_ok() {
                return Ok(tail.before.wrapping_add(slot));
            }
        }
    }

    /// Makes the first segment, unless it is there.
    #[cold]
    fn begin(&self) -> Result<(), OutOfMemory> {
        // Acquire: pairs with the exchange below.
        let mut first = self.head.load(Ordering::Acquire);
        if first.is_null() {
            let segment = Segment::new(0, None)?;
            let at = segment.address().as_ptr();
            // Release: publishes the segment. Acquire: sees that of another thread.
            let exchange = (Ordering::Release, Ordering::Acquire);
            match self.head.compare_exchange(null_mut(), at, exchange.0, exchange.1) {
                Ok(_) => first = segment.publish().as_ptr(),
                Err(other) => first = other,
            }
        }
        // Nothing was ever pushed, so the first is still the first, or this comes too late.
        // Release: as above. Relaxed: loaded anew.
        _ = self.tail.compare_exchange(null_mut(), first, Ordering::Release, Ordering::Relaxed);
        Ok(())
    }

    /// Appends a segment with the number in it to one that is full. If another segment is there
    /// already, moves on to that and returns `false`.
    #[cold]
    fn extend(
        &self,
        at: NonNull<Segment>,
        full: &Segment,
        number: u64,
    ) -> Result<bool, OutOfMemory> {
        // Acquire, beyond loom: pairs with the exchange below, to be handed on. It matters only if
        // a third thread comes to the segment, and the models afford two.
        let mut next = full.next.load(Ordering::Acquire);
        let mut appended = false;
        if next.is_null() {
            let segment = Segment::new(full.before.wrapping_add(SLOTS), Some(number))?;
            let new = segment.address().as_ptr();
            let exchange = (Ordering::Release, Ordering::Acquire);
            // Release: publishes the segment, and what was before the push. Acquire, beyond loom:
            // sees the segment of another thread, to be handed on as above.
            match full.next.compare_exchange(null_mut(), new, exchange.0, exchange.1) {
                Ok(_) => (next, appended) = (segment.publish().as_ptr(), true),
                Err(other) => next = other,
            }
        }
        // Release: hands on what the exchange above published. Relaxed: another thread moved on.
        _ = self.tail.compare_exchange(at.as_ptr(), next, Ordering::Release, Ordering::Relaxed);
        Ok(appended)
    }

    /// Takes the first number, and returns what comes after it. Returns `None` also if the domain
    /// takes no more garbage, and the segments before it are used up.
    pub(super) fn pop<'g>(&'g self, limbo: &Limbo, guard: &'g Guard) -> Option<(u64, After<'g>)> {
        loop {
            let (at, head) = Self::follow(&self.head, guard)?;
            // They keep threads from spoiling slots of an empty queue; the slot says whether there is a
            // number. Relaxed, below: as above.
            let (popped, pushed) = (head.popped.estimate(), head.pushed.estimate());
            if popped >= pushed.min(SLOTS) && pushed < SLOTS {
                return None;
            }
            let slot = match popped {
                spent if spent >= SLOTS => spent,
                _ => head.popped.fetch_add(1, Ordering::Relaxed),
            };
            if slot >= SLOTS {
                self.advance(at, head, limbo, guard)?;
                continue;
            }
            // Acquire: pairs with the push. A number that is there belongs to this thread, for no
            // other has this slot to pop.
            let mut number = head.slots[slot].load(Ordering::Acquire);
            if number == EMPTY {
                // Acquire: as above, if the push came in between.
                number = head.slots[slot].swap(SPENT, Ordering::Acquire);
            }
            if number != EMPTY {
                return Some((number, After { slots: &head.slots[slot..] }));
            }
        }
    }

    /// Moves on to the segment after one that is used up, and retires the used one. Returns `None`
    /// if there is no segment after it, or no room among the retired objects.
    #[cold]
    fn advance(
        &self,
        at: NonNull<Segment>,
        spent: &Segment,
        limbo: &Limbo,
        guard: &Guard,
    ) -> Option<()> {
        // Acquire: pairs with the exchange that published it.
        let next = NonNull::new(spent.next.load(Ordering::Acquire))?.as_ptr();
        limbo.reserve(1).ok()?;
        let at = at.as_ptr();
        // First the end, so that no thread reaches a retired segment from there. Release, beyond
        // loom: hands on, to a third thread, what the exchange that appended the segment published,
        // as in `extend`. Relaxed: another thread moved on.
        _ = self.tail.compare_exchange(at, next, Ordering::Release, Ordering::Relaxed);
        // Relaxed: no older than what the exchange has seen.
        debug_assert_ne!(self.tail.load(Ordering::Relaxed), at, "the end is behind the beginning");
        // Release, beyond loom: hands it on, too. Relaxed: as above.
        match self.head.compare_exchange(at, next, Ordering::Release, Ordering::Relaxed) {
            // SAFETY: reserved for. By this exchange it is no longer reached from `head`; nor from
            // `tail`, which had left it before that and never moves back.
            Ok(_) => unsafe { limbo.retire([at.cast::<Header>()], guard) },
            Err(_) => limbo.give_back(1),
        }
        Some(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut at = *self.head.get_mut();
        while !at.is_null() {
            // SAFETY: owned here alone, and not retired.
            let segment = unsafe { alloc::boxed::Box::from_raw(at) };
            // Relaxed: no other thread is left.
            at = segment.next.load(Ordering::Relaxed);
        }
    }
}
