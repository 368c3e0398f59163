//! What a domain holds back, as counts, and how it is freed.

use super::rules::Rules;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, TryLock};

/// The domain takes no more: it holds as many retired objects as its cap allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The counts of a domain's garbage, and the rules by which it is bounded.
pub(super) struct Garbage {
    pub(super) rules: Rules,
    /// What was retired, but for what workers have not handed in.
    retired: Amount,
    freed: Amount,
    /// Records whose structure is gone, and that may hold objects.
    closed: AtomicUsize,
    /// Not kept without a cap.
    outstanding: AtomicUsize,
    /// Held by a thread that runs destructors, in a domain without `contain`.
    freeing: TryLock<()>,
}

/// Objects, and bytes of all but the large ones: counts that only grow.
struct Amount {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Garbage {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            retired: Amount::new(),
            freed: Amount::new(),
            closed: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            freeing: TryLock::new(()),
        }
    }

    /// Objects and bytes that were handed in as garbage since the domain was made.
    pub(super) fn retired(&self) -> (u64, u64) {
        self.retired.get()
    }

    /// Objects and bytes that were freed since the domain was made.
    pub(super) fn freed(&self) -> (u64, u64) {
        self.freed.get()
    }

    /// Objects and bytes that were handed in and are not freed. An object may be freed before it is
    /// handed in.
    fn unfreed(&self) -> (u64, u64) {
        let ((freed, freed_bytes), (retired, bytes)) = (self.freed.get(), self.retired.get());
        (retired.saturating_sub(freed), bytes.saturating_sub(freed_bytes))
    }

    pub(super) fn count_retired(&self, objects: u64, bytes: u64) {
        self.retired.add(objects, bytes);
    }

    pub(super) fn count_freed(&self, objects: u64, bytes: u64) {
        self.freed.add(objects, bytes);
        self.give_back(objects as usize);
    }

    /// A structure is gone, and its record is not free yet.
    pub(super) fn count_closed(&self) {
        // Relaxed: a hint.
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A record is free.
    pub(super) fn count_free(&self) {
        // Relaxed: a hint.
        self.closed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a structure is gone that may have left retired objects.
    pub(super) fn has_closed(&self) -> bool {
        // Relaxed: a hint.
        self.closed.load(Ordering::Relaxed) > 0
    }

    /// Returns whether there is more garbage than `times` the allowance.
    pub(super) fn is_above(&self, times: u64) -> bool {
        let (objects, bytes) = self.unfreed();
        objects > self.rules.allowance.objects.saturating_mul(times)
            || bytes > self.rules.allowance.bytes.saturating_mul(times)
    }

    /// Returns whether the objects and bytes retired since the last take are worth the cost of another.
    pub(super) fn is_worth_a_take(&self, (objects, bytes): (u64, u64)) -> bool {
        const PARTS: u64 = 4;
        objects > self.rules.allowance.objects / PARTS || bytes > self.rules.allowance.bytes / PARTS
    }

    #[inline]
    pub(super) fn reserve(&self, objects: usize) -> Result<(), Full> {
        if self.rules.cap == usize::MAX || objects == 0 {
            return Ok(());
        }
        // Relaxed, all: a count, exact by itself.
        let mut outstanding = self.outstanding.load(Ordering::Relaxed);
        while outstanding.saturating_add(objects) <= self.rules.cap {
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
        if self.rules.cap != usize::MAX {
            // Relaxed: a count.
            self.outstanding.fetch_sub(objects, Ordering::Relaxed);
        }
    }

    /// Calls `free`, which frees objects and takes them off what is `left` to be freed; in a domain without
    /// `contain` not if any thread does so already.
    pub(super) fn spend(&self, left: &mut usize, free: impl Fn(&mut usize)) {
        // Threads cannot be told apart here: it may be this one that runs a destructor.
        let alone = self.rules.contain.is_none().then(|| self.freeing.try_lock());
        if !matches!(alone, Some(None)) {
            free(left);
        }
    }

    /// Calls `free`, which runs destructors; not if this thread is running one already.
    pub(super) fn contained(&self, mut free: impl FnMut()) {
        match self.rules.contain {
            Some(contain) => contain(&mut free),
            None => free(),
        }
    }
}

impl Amount {
    fn new() -> Self {
        Self { objects: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn get(&self) -> (u64, u64) {
        // Relaxed, both: counts.
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn add(&self, objects: u64, bytes: u64) {
        // Relaxed, both: counts.
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
