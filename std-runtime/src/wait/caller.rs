//! Identities of callers, by which a caller that would wait for itself is recognised.
//!
//! An identity belongs to a piece of work, a load or a renewal, not to a thread. Whatever a piece of work
//! asks for is asked on its behalf. A call that blocks is part of the work that its thread is at, as it
//! keeps that from going on. A future is part of the work that awaits it: of the work whose own task, by
//! its waker, polls it. A thread may wait in the middle of some work, by
//! [`block_on`](crate::wait::block_on) in a loader for instance. An unrelated task that is polled there is no part of
//! that work.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Poll, RawWakerVTable, Waker};

use tidegate_core::flight::{Caller, CallerId};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Those of threads do not come from where the user's do.
static NEXT_THREAD: AtomicU32 = AtomicU32::new(THREADS);
const THREADS: u32 = 1 << 31;

/// The number of identities that a thread takes at a time. Every load takes one, hits included.
const BLOCK: u64 = 1_024;

thread_local! {
    /// The next of this thread's block, and how many of it are left.
    static BLOCKS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    static THREAD: Cell<Option<Caller>> = const { Cell::new(None) };
}

crate::sync::thread_local! {
    /// What this thread is at.
    #[cfg_attr(
        not(loom),
        expect(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")
    )]
    static AT: RefCell<Option<At>> = RefCell::new(None);
}

/// Something that others may wait for, and what asked for it.
pub(crate) struct Work {
    id: CallerId,
    asked_by: Option<Arc<Self>>,
    /// The thread that asked, if it waits.
    thread: Option<Caller>,
}

/// The work that a thread is at, and the task that does it, if a task does.
struct At {
    work: Arc<Work>,
    task: Option<Task>,
}

/// Identifies a task while it is being polled, as [`Waker::will_wake`] does.
#[derive(Clone, Copy)]
struct Task {
    data: *const (),
    vtable: &'static RawWakerVTable,
}

impl Task {
    fn of(waker: &Waker) -> Self {
        Self { data: waker.data(), vtable: waker.vtable() }
    }

    fn is(self, other: Self) -> bool {
        self.data == other.data && std::ptr::eq(self.vtable, other.vtable)
    }
}

impl Work {
    /// Work of a caller that waits for it on this thread. Allocates nothing: only what others may wait
    /// for is shared.
    pub(crate) fn new() -> Self {
        Self { id: fresh(), asked_by: at(|_| true), thread: THREAD.get() }
    }

    /// Work of a task that is polled with this waker.
    pub(crate) fn of_task(waker: &Waker) -> Self {
        let task = Task::of(waker);
        let is_its = |at: &At| at.task.is_some_and(|own| own.is(task));
        Self { id: fresh(), asked_by: at(is_its), thread: None }
    }

    /// Work of the task that polls the future.
    pub(crate) async fn of_this_task() -> Self {
        poll_fn(|context| Poll::Ready(Self::of_task(context.waker()))).await
    }

    pub(crate) fn caller(&self) -> CallerId {
        self.id
    }

    /// Runs `f` as part of this work, on whatever thread, and then goes on as before, also if it panics.
    pub(crate) fn run<T>(self: &Arc<Self>, f: impl FnOnce() -> T) -> T {
        be_at(Some(At { work: Arc::clone(self), task: None }), f)
    }

    /// Runs `f`, which polls a future of this work's with this waker.
    pub(crate) fn poll<T>(self: &Arc<Self>, waker: &Waker, f: impl FnOnce() -> T) -> T {
        be_at(Some(At { work: Arc::clone(self), task: Some(Task::of(waker)) }), f)
    }

    /// Whether this work was asked for by another, however many in between.
    pub(crate) fn is_for(&self, id: CallerId) -> bool {
        let mut work = Some(self);
        while let Some(Self { id: one, asked_by, thread }) = work {
            // Or by the thread itself, which leads a flight of its own.
            if *one == id || thread.is_some_and(|thread| id == thread.into()) {
                return true;
            }
            work = asked_by.as_deref();
        }
        false
    }
}

/// Runs `f`, which polls with this waker a future that this thread waits for: as part of what it is at.
pub(crate) fn waits<T>(waker: &Waker, f: impl FnOnce() -> T) -> T {
    match at(|_| true) {
        Some(work) => work.poll(waker, f),
        None => f(),
    }
}

/// The work that this thread is at, if that is so.
fn at(is_so: impl FnOnce(&At) -> bool) -> Option<Arc<Work>> {
    // A thread whose variables are being destroyed is at nothing any more.
    let work = AT.try_with(|at| {
        let at = at.borrow();
        at.as_ref().filter(|at| is_so(at)).map(|at| Arc::clone(&at.work))
    });
    work.ok().flatten()
}

fn be_at<T>(now: Option<At>, f: impl FnOnce() -> T) -> T {
    struct Back(Option<At>);
    impl Drop for Back {
        fn drop(&mut self) {
            _ = AT.try_with(|at| at.replace(self.0.take()));
        }
    }
    let before = AT.try_with(|at| at.replace(now));
    let _back = before.map(Back);
    f()
}

/// Returns an identity that no caller has had before.
fn fresh() -> CallerId {
    let (next, left) = match BLOCKS.get() {
        // Relaxed: a number.
        (_, 0) => (NEXT.fetch_add(BLOCK, Ordering::Relaxed), BLOCK),
        block => block,
    };
    BLOCKS.set((next + 1, left - 1));
    CallerId::of_runtime(next)
}

/// Returns the identity of this thread, for code that joins flights or claims slots itself. A thread keeps its
/// identity.
///
/// The identity is a number from 2^31 on, so that it differs from numbers that you choose below. If a thread serves
/// several tasks, each task needs an identity of its own.
///
/// ```
/// assert_eq!(tidegate::caller(), tidegate::caller());
/// let other = std::thread::spawn(tidegate::caller).join();
/// assert_ne!(tidegate::caller(), other.unwrap());
/// assert!(tidegate::caller().0 >= 1 << 31);
/// ```
pub fn caller() -> Caller {
    THREAD.get().unwrap_or_else(|| {
        // Relaxed: a number. After 2^31 threads they begin anew, and never below.
        let caller = Caller(NEXT_THREAD.fetch_add(1, Ordering::Relaxed) | THREADS);
        THREAD.set(Some(caller));
        caller
    })
}
