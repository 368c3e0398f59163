//! What is remembered of keys that are not in the cache, in memory of a fixed size.
//!
//! A history is an array of [lines](line), one for every eight entries that there is room for. A
//! key has one line, so a miss reads one cache line, and an eviction another. All of it is hints:
//! what two threads write at once may lose one of the two, and a history that is replaced by a
//! larger one is forgotten. Whatever it says, it changes only which entry is evicted next.

mod line;

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

use super::handle::Time;
use super::order::Part;
use crate::reclaim::{Guard, Header, Limbo, OutOfMemory};
use crate::sync::{AtomicPtr, Loose32, Ordering, prefetch};

pub(super) use self::line::Ghost;
use self::line::Line;

/// Entries for each line.
const EACH: u64 = if cfg!(loom) { 1 } else { 8 };
/// A history is made anew when it is for this many times the entries.
const MOST: u64 = if cfg!(loom) { 1 } else { 16 };
/// Of fewer entries none is remembered, and they are in one queue.
pub(super) const FEWEST: u64 = if cfg!(loom) { 3 } else { 16 };
/// A cache whose bound is lower has never more than those few. (In the models, a bound in bytes makes
/// the difference.)
pub(super) const SMALL: u64 = if cfg!(loom) { 9 } else { FEWEST };

/// The head of the lines, which follow it in memory.
#[repr(C, align(64))]
struct Head {
    header: Header,
    lines: usize,
    /// How many ghosts of each queue a line has, in parts of 4,096, on average of the lines that
    /// faded last.
    ghosts: [Loose32; 2],
}

impl Head {
    fn layout(lines: usize) -> Option<Layout> {
        let rest = Layout::array::<Line>(lines).ok()?;
        let (layout, _) = Layout::new::<Self>().extend(rest).ok()?;
        Some(layout.pad_to_align())
    }

    fn measure(&self) -> usize {
        Self::LINES + self.lines * size_of::<Line>()
    }

    /// Where the lines begin.
    const LINES: usize = size_of::<Self>().next_multiple_of(align_of::<Line>());

    fn new(lines: usize) -> Result<NonNull<Self>, OutOfMemory> {
        let layout = Self::layout(lines).ok_or(OutOfMemory)?;
        // SAFETY: the layout holds a header at least.
        let head = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(OutOfMemory)?;
        let (head, ghosts) = (head.cast::<Self>(), [const { Loose32::new(0) }; 2]);
        // SAFETY: freshly allocated for this.
        unsafe { head.write(Self { header: Header::new(0), lines, ghosts }) };
        head.as_ptr().expose_provenance();
        Ok(head)
    }

    /// Frees a history.
    ///
    /// # Safety
    ///
    /// It was made by [`new`](Self::new), and is the caller's alone.
    unsafe fn free(head: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let lines = unsafe { head.as_ref() }.lines;
        // SAFETY: by the caller's promise. The lines need no drop.
        unsafe { head.drop_in_place() };
        // If this layout did not exist, there would be no history.
        if let Some(layout) = Self::layout(lines) {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(head.cast().as_ptr(), layout) };
        }
    }
}

/// The lines of a history, alive for `'g`.
#[derive(Clone, Copy)]
pub(super) struct Lines<'g>(NonNull<Head>, PhantomData<&'g Head>);

impl<'g> Lines<'g> {
    fn head(self) -> &'g Head {
        // SAFETY: alive for `'g`.
        unsafe { self.0.as_ref() }
    }

    fn at(self, index: usize) -> &'g Line {
        debug_assert!(index < self.head().lines);
        let first = self.0.as_ptr().wrapping_byte_add(Head::LINES).cast::<Line>();
        // SAFETY: the head, which lives for `'g`, is followed by more than `index` lines.
        unsafe { &*first.wrapping_add(index) }
    }

    /// Returns the line of a hash, of which the lowest 31 bits count.
    fn line(self, hash: usize) -> &'g Line {
        // The bits are mixed: those of a bucket are alike.
        self.at(((u64::from(line::mix(hash)) * self.head().lines as u64) >> 32) as usize)
    }

    /// Fetches the line of a hash.
    #[inline]
    pub(super) fn fetch(self, hash: usize) {
        prefetch(self.line(hash));
    }

    /// Takes out what is remembered of a key that was evicted.
    pub(super) fn recall(self, hash: usize) -> Option<Ghost> {
        self.line(hash).recall(hash)
    }

    /// Remembers a key that is evicted.
    pub(super) fn remember(self, hash: usize, ghost: Ghost, now: Time) {
        self.line(hash).remember(hash, ghost, now);
    }

    /// Counts that a key was asked for.
    pub(super) fn count(self, hash: usize) {
        self.line(hash).count(hash);
    }

    /// Returns how often a key was asked for lately, 15 times at most.
    pub(super) fn estimate(self, hash: usize) -> u8 {
        self.line(hash).estimate(hash)
    }

    /// Halves the counts of one line, the `turn`th in a round through all, and learns from it how many
    /// ghosts there are of each queue.
    pub(super) fn fade(self, turn: usize) {
        let head = self.head();
        let line = self.at(turn % head.lines);
        line.fade();
        for (average, found) in head.ghosts.iter().zip(line.ghosts()) {
            let before = average.get();
            average.set(before - before / 64 + found * UNIT / 64);
        }
    }

    /// Returns how many ghosts of the other queue there are for each of this one, in parts of 256:
    /// between one and 64.
    pub(super) fn ratio(self, part: Part) -> u32 {
        let [small, main] = &self.head().ghosts;
        let average = |average: &Loose32| average.get().max(UNIT / 20);
        let (small, main) = (average(small), average(main));
        let ratio = match part {
            Part::Small => main * 256 / small,
            Part::Main => small * 256 / main,
        };
        ratio.clamp(256, 64 * 256)
    }
}

/// One ghost a line.
const UNIT: u32 = 4096;

/// The history of a cache, which is made when the cache is full for the first time, and made anew
/// when there is far more in it.
pub(super) struct History {
    head: AtomicPtr<Head>,
    /// Times are in units of two to the power of this.
    shift: Loose32,
}

/// A cache of this many entries measures ages in units of one entry; of twice as many, in twice
/// those.
const PRECISE: u64 = 1 << 12;

/// Returns in which units ages are measured, so that they may be 4,096 times the entries.
fn shift(entries: u64) -> u32 {
    (entries / PRECISE).checked_ilog2().map_or(0, |log| log + 1).min(40)
}

impl History {
    /// Creates the history of a cache with this bound, or with none.
    pub(super) fn new(entries: Option<u64>) -> Self {
        let shift = Loose32::new(entries.map_or(0, shift));
        Self { head: AtomicPtr::new(null_mut()), shift }
    }

    /// Returns in which units times are measured: of two to the power of this.
    pub(super) fn shift(&self) -> u32 {
        self.shift.get()
    }

    /// Returns the lines, if there are any yet.
    #[inline]
    pub(super) fn lines<'g>(&'g self, _guard: &'g Guard) -> Option<Lines<'g>> {
        // Acquire: pairs with the exchange that published them.
        let head = NonNull::new(self.head.load(Ordering::Acquire))?;
        // SAFETY: retired only after it was replaced: alive under the guard.
        unsafe { head.as_ref() }.header.read();
        Some(Lines(head, PhantomData))
    }

    /// Returns the lines for this many entries, and makes them if there are none or far too few.
    /// Without memory, or room among the garbage for those it would replace, leaves things as they
    /// are.
    pub(super) fn provide<'g>(
        &'g self,
        entries: u64,
        limbo: &Limbo,
        guard: &'g Guard,
    ) -> Option<Lines<'g>> {
        let lines = self.lines(guard);
        let there = lines.map_or(0, |lines| lines.head().lines as u64 * EACH);
        if entries < FEWEST || there * 2 > entries && there <= entries.saturating_mul(MOST) {
            return lines;
        }
        self.replace(lines, entries, limbo, guard)
    }

    #[cold]
    fn replace<'g>(
        &'g self,
        lines: Option<Lines<'g>>,
        entries: u64,
        limbo: &Limbo,
        guard: &'g Guard,
    ) -> Option<Lines<'g>> {
        if limbo.reserve(usize::from(lines.is_some())).is_err() {
            return lines;
        }
        let old = lines.map_or(null_mut(), |lines| lines.0.as_ptr());
        let many = usize::try_from(entries.div_ceil(EACH)).unwrap_or(usize::MAX);
        let Ok(new) = Head::new(many) else {
            limbo.give_back(usize::from(lines.is_some()));
            return lines;
        };
        // Release: publishes the lines. Relaxed: another thread has made some, which are loaded
        // anew.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        if self.head.compare_exchange(old, new.as_ptr(), success, failure).is_err() {
            // SAFETY: not published.
            unsafe { Head::free(new) };
            limbo.give_back(usize::from(lines.is_some()));
            return self.lines(guard);
        }
        self.shift.set(shift(entries));
        if let Some(old) = lines {
            // SAFETY: reserved for. By this exchange no thread that pins later reaches it.
            unsafe { limbo.retire([tagged(old.0)], guard) };
        }
        self.lines(guard)
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if let Some(head) = NonNull::new(*self.head.get_mut()) {
            // SAFETY: owned here alone, and not retired.
            unsafe { Head::free(head) };
        }
    }
}

/// Distinguishes histories among what a cache's order retires.
pub(super) const HISTORY: usize = 0b001;

fn tagged(head: NonNull<Head>) -> *mut Header {
    head.as_ptr().cast::<Header>().map_addr(|address| address | HISTORY)
}

/// Returns the size of a retired history.
///
/// # Safety
///
/// The object is a history that was retired or is about to be, and is not freed.
pub(super) unsafe fn measure(object: *mut Header) -> usize {
    let head = object.map_addr(|address| address & !HISTORY).cast::<Head>();
    // SAFETY: by the caller's promise.
    unsafe { head.as_ref() }.map_or(0, Head::measure)
}

/// Frees a retired history.
///
/// # Safety
///
/// The object is a history that was retired, and no thread can reach it any more.
pub(super) unsafe fn release(object: *mut Header) {
    let head = object.map_addr(|address| address & !HISTORY).cast::<Head>();
    if let Some(head) = NonNull::new(head) {
        // SAFETY: by the caller's promise.
        unsafe { Head::free(head) };
    }
}
