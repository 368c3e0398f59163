//! One domain for the process, and a worker for each thread.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, PoisonError};

use tidegate_core::reclaim::{Builder, Pinned};
use tidegate_core::{Budget, Clock, Domain, Worker};

use crate::clock::clock;
use crate::panics::contained;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| {
    let builder = server_domain();
    if barrier::register() {
        // SAFETY: once registered, the call returns after every running thread of the process has
        // passed a full barrier; those that do not run passed one when they stopped.
        unsafe { builder.barrier(barrier::call) }.build()
    } else {
        builder.build()
    }
});

/// Starts building a domain for a server's threads: it contains the panics of destructors, of wakers that wait
/// for a load and of caches' listeners, each by itself ([`Builder::contain_calls`]), and a thread that meets far too
/// much garbage gives its processor away.
///
/// ```
/// let domain = tidegate::server_domain().allowance(4096, 16 << 20).build();
/// # _ = domain;
/// ```
pub fn server_domain() -> Builder {
    let builder = Domain::builder().yield_now(std::thread::yield_now);
    builder.contain(contain).contain_calls(|call| _ = contained(call))
}

/// Frees what is to be freed and contains the panics of destructors, unless this thread is running one: a
/// destructor has no others run within itself.
fn contain(free: &mut dyn FnMut()) {
    thread_local! {
        static FREES: Cell<bool> = const { Cell::new(false) };
    }

    if !FREES.replace(true) {
        _ = contained(free);
        FREES.set(false);
    }
}

/// Workers of threads that have ended and of sweeps' steps, not pinned. A worker that a thread has pinned is
/// never freed, so that its guards may outlive the thread's own variables. There are as many as there were
/// threads and steps at a time.
static IDLE: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

thread_local! {
    /// The worker lent to this thread: a box that is in no other hands.
    static WORKER: Cell<Option<NonNull<Worker>>> = const { Cell::new(None) };
    static RETURN: Return = const { Return };
}

/// Gives the worker back when the thread ends.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        if let Some(worker) = WORKER.take() {
            // SAFETY: lent to this thread alone.
            if !unsafe { worker.as_ref() }.is_pinned() {
                // SAFETY: made by a box, and nothing refers to it: nothing is pinned.
                let worker = unsafe { Box::from_raw(worker.as_ptr()) };
                give_back(*worker);
            }
        }
    }
}

/// Returns the domain of the process, in which [`pin`] pins: for the maps of a server.
///
/// ```
/// use tidegate::lockfree::Map;
/// use tidegate::{domain, pin, random_state};
///
/// let sessions = Map::with(domain(), random_state());
/// sessions.insert("alice", 1, &pin())?;
/// assert_eq!(sessions.get("alice", &pin()).copied(), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What a thread reads while it is stuck holds back the memory of every structure in the domain:
/// give those whose readers may block, or whose callers you do not know, a [`Domain`] of their own.
/// A sweep of a map frees for the whole domain; a call frees what was removed from its own structures. The
/// end of a guard may therefore run destructors, and gives the processor away when there is far too much
/// garbage: see [`reclaim`](crate::lockfree::reclaim).
pub fn domain() -> &'static Domain {
    &DOMAIN
}

/// Pins this thread in the [domain of the process](domain) for as long as the answer is kept. The
/// first call of a thread allocates its worker; those inside the scope of another are nearly free.
///
/// Keep it for a handful of calls, and never over anything that blocks.
///
/// A thread that pins while its thread-local variables are being destroyed, after its worker went back,
/// takes another and keeps it for ever.
#[inline]
pub fn pin() -> Pinned<'static> {
    let worker = WORKER.get().unwrap_or_else(lend);
    // SAFETY: lent to this thread until it ends, and beyond if anything is pinned then.
    unsafe { worker.as_ref() }.pin()
}

/// Lends a worker to this thread.
#[cold]
#[inline(never)]
fn lend() -> NonNull<Worker> {
    let worker = NonNull::from(Box::leak(Box::new(idle())));
    WORKER.set(Some(worker));
    // From the first use on, its destructor runs at the thread's end; not if that has come.
    _ = RETURN.try_with(|_| ());
    worker
}

/// Calls `f`, a step of a sweep, with a worker of the domain of the process that is not this thread's own: what
/// `f` calls may pin that. A worker with which `f` panics is dropped.
pub(crate) fn with_worker<R>(f: impl FnOnce(&mut Worker) -> R) -> R {
    let mut worker = idle();
    let result = f(&mut worker);
    give_back(worker);
    result
}

/// A worker that is in no other hands.
fn idle() -> Worker {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    idle.unwrap_or_else(|| DOMAIN.worker())
}

fn give_back(worker: Worker) {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
}

/// As many steps bring an object from its removal to its end if no thread can read it any more, also if earlier objects are
/// on their way and guards that stay must be taken back.
const STEPS: usize = 12;

/// Frees what was removed from the structures of the domain of the process, within a budget, if no thread can read it any
/// more. Does nothing within a destructor that it runs itself.
pub(crate) fn collect() {
    thread_local! {
        static COLLECTS: Cell<bool> = const { Cell::new(false) };
    }

    if !COLLECTS.replace(true) {
        with_worker(|worker| {
            for _ in 0..STEPS {
                worker.collect(clock().now(), Budget::entries(4_096));
            }
        });
        COLLECTS.set(false);
    }
}

/// A barrier on all threads of the process: `membarrier`, which Linux has since 4.14.
#[cfg(target_os = "linux")]
mod barrier {
    fn membarrier(command: libc::c_int) -> bool {
        // SAFETY: takes two numbers, and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0) == 0 }
    }

    /// Whether `call` can be called from now on.
    pub(super) fn register() -> bool {
        membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    pub(super) fn call() {
        // Registered, it does not fail; were it to, nothing could be relied upon any more.
        if !membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            std::process::abort();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod barrier {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn call() {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tidegate_core::{Budget, Instant, Map};

    use super::*;
    use crate::random_state;

    #[test]
    fn threads_read_what_others_insert_and_remove() {
        let map = Arc::new(Map::with(domain(), random_state()));
        let threads: Vec<_> = (0..4_u32)
            .map(|thread| {
                let map = Arc::clone(&map);
                std::thread::spawn(move || {
                    for key in 0..10_000 {
                        let key = key * 4 + thread;
                        map.insert(key, key, &pin()).unwrap();
                        assert_eq!(map.get(&key, &pin()), Some(&key));
                        if key % 2 == 0 {
                            assert_eq!(map.remove(&key, &pin()).unwrap(), Some(&key));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(map.len(), 20_000);
    }

    #[test]
    fn a_thread_that_sleeps_after_a_call_holds_nothing_back() {
        let map = Map::with(domain(), random_state());
        let (asleep, wake) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(map.get(&1, &pin()), None);
                }
                asleep.wait();
                wake.wait();
                assert_eq!(map.get(&2, &pin()).map(Arc::strong_count), Some(1));
            });
            asleep.wait();
            let value = Arc::new(());
            map.insert(1, Arc::clone(&value), &pin()).unwrap();
            map.remove(&1, &pin()).unwrap();
            let mut worker = domain().worker();
            // Others of this process may be pinned, and have lost their processor meanwhile.
            let start = std::time::Instant::now();
            while Arc::strong_count(&value) > 1 && start.elapsed() < Duration::from_secs(20) {
                worker.collect(Instant::from_secs(1), Budget::UNLIMITED);
                std::thread::yield_now();
            }
            let held = Arc::strong_count(&value) - 1;
            map.insert(2, Arc::new(()), &pin()).unwrap();
            wake.wait();
            assert_eq!(held, 0, "what was removed was not freed");
        });
    }

    #[test]
    fn a_thread_that_is_ending_can_still_pin() {
        static SEEN: AtomicUsize = AtomicUsize::new(0);

        struct AtEnd(Cell<Option<Arc<Map<u32, u32>>>>);
        impl Drop for AtEnd {
            fn drop(&mut self) {
                if let Some(map) = self.0.take() {
                    SEEN.store(map.get(&1, &pin()).copied().unwrap() as usize, Ordering::SeqCst);
                }
            }
        }
        // Made before the worker, and so destroyed after it.
        thread_local! {
            static AT_END: AtEnd = const { AtEnd(Cell::new(None)) };
        }

        let map = Arc::new(Map::with(domain(), random_state()));
        map.insert(1, 7, &pin()).unwrap();
        std::thread::spawn(move || {
            AT_END.with(|at_end| at_end.0.set(Some(Arc::clone(&map))));
            assert!(map.get(&1, &pin()).is_some());
        })
        .join()
        .unwrap();
        assert_eq!(SEEN.load(Ordering::SeqCst), 7);
    }
}
