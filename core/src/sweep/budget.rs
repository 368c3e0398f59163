//! One bounded step over one target.

use core::ops::Range;

use crate::time::Instant;

/// How much a call may do: entries looked at, and destructors run. Never time, for this crate reads
/// no clock; a caller who knows what an entry costs divides.
///
/// ```
/// use tidegate_core::Budget;
///
/// assert_eq!(Budget::entries(64).get(), 64);
/// assert_eq!(Budget::default(), Budget::UNLIMITED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(usize);

impl Budget {
    /// As much as there is.
    pub const UNLIMITED: Self = Self(usize::MAX);

    /// At most `entries` entries. With 0 nothing is done.
    pub const fn entries(entries: usize) -> Self {
        Self(entries)
    }

    /// The number of entries.
    pub const fn get(self) -> usize {
        self.0
    }

    /// What is left after `entries` were visited.
    #[must_use]
    pub const fn less(self, entries: usize) -> Self {
        Self(self.0.saturating_sub(entries))
    }

    /// The part of `0..len` that a step visits from `cursor` on, which is moved behind it: to the
    /// start again once the end is reached.
    pub(crate) fn visit(self, cursor: &mut usize, len: usize) -> Range<usize> {
        let start = (*cursor).min(len);
        let end = start.saturating_add(self.0).min(len);
        *cursor = if end == len { 0 } else { end };
        start..end
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries looked at, and what else was done that takes as long: the target says what.
    pub visited: usize,
    /// Entries removed.
    pub removed: usize,
    /// Destructors run, of what was removed earlier. They count against the budget as entries do;
    /// 0 where nothing is freed later.
    pub freed: usize,
    /// Whether the pass is complete. The next step begins another.
    pub wrapped: bool,
}

impl Swept {
    /// Counts a step of a part in that of the whole, which is not complete for that.
    pub fn add(&mut self, part: Self) {
        self.visited = self.visited.saturating_add(part.visited);
        self.removed = self.removed.saturating_add(part.removed);
        self.freed = self.freed.saturating_add(part.freed);
    }
}

/// Something that can be swept in steps, carrying its position.
pub trait Sweep {
    /// Goes on with the pass: removes what has gone stale by `now`, within `budget`.
    ///
    /// A step MUST stay within the budget, MUST stop at the end of the pass, and MUST make progress
    /// if the budget is not 0.
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept;
}

impl<T: Sweep + ?Sized> Sweep for &mut T {
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        (**self).sweep(now, budget)
    }
}

#[cfg(feature = "alloc")]
impl<T: Sweep + ?Sized> Sweep for alloc::boxed::Box<T> {
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        (**self).sweep(now, budget)
    }
}

/// A sweep that is a closure: [`from_fn`].
#[derive(Clone, Debug)]
pub struct FromFn<F>(F);

/// Makes a sweep of a closure, which owes what [`Sweep::sweep`] does: for whatever else there is to be tidied.
///
/// ```
/// use tidegate_core::sweep::{Budget, Sweep, Swept, from_fn};
/// use tidegate_core::Instant;
///
/// let mut files = vec!["a", "b", "c"];
/// let mut sweep = from_fn(|_now, budget: Budget| {
///     let removed = files.len().min(budget.get());
///     files.truncate(files.len() - removed);
///     Swept { visited: removed, removed, freed: 0, wrapped: files.is_empty() }
/// });
/// assert!(!sweep.sweep(Instant::ORIGIN, Budget::entries(2)).wrapped);
/// assert!(sweep.sweep(Instant::ORIGIN, Budget::entries(2)).wrapped);
/// ```
pub fn from_fn<F: FnMut(Instant, Budget) -> Swept>(f: F) -> FromFn<F> {
    FromFn(f)
}

impl<F: FnMut(Instant, Budget) -> Swept> Sweep for FromFn<F> {
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        (self.0)(now, budget)
    }
}
