//! Who asks: identities by which a caller that would wait for itself is recognised.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_core::flight::Caller;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// So many identities a thread takes at a time: they are taken at every load, also of what is there.
const BLOCK: u32 = 1_024;

thread_local! {
    /// The next of this thread's block, and how many of it are left.
    static BLOCKS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    static THREAD: Cell<Option<Caller>> = const { Cell::new(None) };
    /// The work that this thread is at, and on whose behalf.
    static WORK: RefCell<Option<Arc<Work>>> = const { RefCell::new(None) };
}

/// Something that others may wait for, and what asked for it.
pub(crate) struct Work {
    caller: Caller,
    asked_by: Option<Arc<Self>>,
}

impl Work {
    /// On behalf of what this thread is at. Allocates nothing: only what others may wait for is shared.
    pub(crate) fn new() -> Self {
        // A thread whose variables are being destroyed is at nothing any more.
        let asked_by = WORK.try_with(|work| work.borrow().clone()).ok().flatten();
        Self { caller: fresh(), asked_by }
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller
    }

    /// Runs `f` as part of this work, on whatever thread, and then goes on as before, also if it panics.
    pub(crate) fn run<T>(self: &Arc<Self>, f: impl FnOnce() -> T) -> T {
        struct Back(Option<Arc<Work>>);
        impl Drop for Back {
            fn drop(&mut self) {
                _ = WORK.try_with(|work| work.replace(self.0.take()));
            }
        }
        let before = WORK.try_with(|work| work.replace(Some(Arc::clone(self))));
        let _back = before.map(Back);
        f()
    }

    /// Whether this work was asked for by another, however many in between.
    pub(crate) fn is_for(&self, caller: Caller) -> bool {
        let mut work = Some(self);
        while let Some(Self { caller: one, asked_by }) = work {
            if *one == caller {
                return true;
            }
            work = asked_by.as_deref();
        }
        // Or by the thread itself, which leads a flight of its own.
        THREAD.get() == Some(caller)
    }
}

/// An identity that nobody had before, until four thousand million others were made.
fn fresh() -> Caller {
    let (next, left) = match BLOCKS.get() {
        // Relaxed: a number.
        (_, 0) => (NEXT.fetch_add(BLOCK, Ordering::Relaxed), BLOCK),
        block => block,
    };
    BLOCKS.set((next.wrapping_add(1), left - 1));
    Caller(next)
}

/// The identity of this thread, for its life: for those who join a flight or claim a slot by themselves.
///
/// Where a thread serves several tasks, each needs one of its own: any number will do that nobody else has.
///
/// ```
/// assert_eq!(tidegate::caller(), tidegate::caller());
/// let other = std::thread::spawn(tidegate::caller).join();
/// assert_ne!(tidegate::caller(), other.unwrap());
/// ```
pub fn caller() -> Caller {
    THREAD.get().unwrap_or_else(|| {
        let caller = fresh();
        THREAD.set(Some(caller));
        caller
    })
}
