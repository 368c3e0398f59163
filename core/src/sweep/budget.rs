//! One bounded step over one target.

use core::ops::Range;

use crate::time::Instant;

/// How much a call may do: entries looked at, and destructors run.
///
/// A budget is never a time, because this crate reads no clock. A caller that knows what an entry
/// costs divides its time by that.
///
/// ```
/// use tidegate_core::Budget;
///
/// assert_eq!(Budget::entries(64).get(), 64);
/// assert_eq!(Budget::default(), Budget::UNLIMITED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Budget(usize);

impl Budget {
    /// No bound.
    pub const UNLIMITED: Self = Self(usize::MAX);

    /// Creates a budget of at most `entries` entries. With 0 nothing is done.
    pub const fn entries(entries: usize) -> Self {
        Self(entries)
    }

    /// Returns the number of entries.
    pub const fn get(self) -> usize {
        self.0
    }

    /// Returns what is left after `entries` were visited.
    #[must_use]
    pub const fn less(self, entries: usize) -> Self {
        Self(self.0.saturating_sub(entries))
    }

    /// Returns the part of `0..len` that a step visits from `cursor` on. Moves the cursor behind
    /// it, or to the start once the end is reached.
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Swept {
    /// Entries looked at, and other work that takes as long; the target documents which.
    pub visited: usize,
    /// Entries removed.
    pub removed: usize,
    /// Destructors run, of entries removed earlier. They count against the budget as entries do. It
    /// is 0 where nothing is freed later.
    pub freed: usize,
    /// Whether the pass is complete. The next step begins another pass.
    pub wrapped: bool,
}

impl Swept {
    /// Adds the step of a part to that of the whole. A complete part does not make the whole
    /// complete.
    pub fn add(&mut self, part: Self) {
        self.visited = self.visited.saturating_add(part.visited);
        self.removed = self.removed.saturating_add(part.removed);
        self.freed = self.freed.saturating_add(part.freed);
    }
}

/// A target that can be swept in steps and keeps its position.
pub trait Sweep {
    /// Continues the pass: removes entries that are stale at `now`, within `budget`.
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

/// A sweep that calls a closure. [`from_fn`] makes it.
#[derive(Clone, Debug)]
pub struct FromFn<F>(F);

/// Makes a sweep of a closure, for anything else that needs tidying. The closure must keep the
/// rules of [`Sweep::sweep`].
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
