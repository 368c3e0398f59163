//! The model checker's side of the facade: `loom` atomics that know each operation by its place.
//!
//! Two things are decided at run time, per thread, without a rebuild:
//!
//! * **RMW mode.** loom's search is not exhaustive around plain loads (tokio-rs/loom#166, #392): a
//!   load before a store hides interleavings. In RMW mode every load is a `fetch_add(0)` and every
//!   store a `swap`, which brings all interleavings back and gives up stale reads. Models run in
//!   both modes.
//! * **A mutant.** One operation, named by file, line and column, is weakened. A suite of models
//!   that does not notice has not tested that ordering.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::panic::Location;
use std::collections::BTreeSet;
use std::thread_local;
use std::vec::Vec;

pub use core::sync::atomic::Ordering;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A load.
    Load,
    /// A store.
    Store,
    /// A fence.
    Fence,
    /// A compare-exchange or another read-modify-write.
    Exchange,
}

/// Where an operation is: file, line and column of the call.
pub type Place = (&'static str, u32, u32);

/// One atomic operation of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Where it is.
    pub place: Place,
    /// What it does.
    pub kind: Kind,
    order: Order,
    failure: Order,
}

/// `Ordering`, with an order of its own so that sites sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Relaxed,
    Acquire,
    Release,
    AcqRel,
    SeqCst,
}

impl From<Ordering> for Order {
    fn from(order: Ordering) -> Self {
        match order {
            Ordering::Relaxed => Self::Relaxed,
            Ordering::Acquire => Self::Acquire,
            Ordering::Release => Self::Release,
            Ordering::AcqRel => Self::AcqRel,
            // Of fences only: loom treats a sequentially consistent access as AcqRel.
            _ => Self::SeqCst,
        }
    }
}

/// How a mutant weakens a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakening {
    /// The operation (of an exchange: its success) uses this ordering.
    To(Ordering),
    /// The failure of an exchange is Relaxed.
    FailureRelaxed,
}

impl Site {
    /// Returns every way in which the site can be weakened by one step.
    pub fn weakenings(&self) -> Vec<Weakening> {
        let mut all = Vec::new();
        match self.order {
            Order::Relaxed => {}
            Order::Acquire | Order::Release => all.push(Weakening::To(Ordering::Relaxed)),
            Order::SeqCst => all.push(Weakening::To(Ordering::AcqRel)),
            Order::AcqRel => {
                all.push(Weakening::To(Ordering::Acquire));
                all.push(Weakening::To(Ordering::Release));
            }
        }
        if self.kind == Kind::Exchange && self.failure == Order::Acquire {
            all.push(Weakening::FailureRelaxed);
        }
        all
    }
}

#[derive(Default)]
struct Run {
    rmw: bool,
    mutant: Option<(Place, Weakening)>,
    seen: BTreeSet<Site>,
}

thread_local! {
    // loom runs the threads of a model on one operating system thread: the one that set this.
    static RUN: RefCell<Run> = RefCell::default();
}

/// Sets the mode of this thread's next models, and the mutant they run with.
pub fn configure(rmw: bool, mutant: Option<(Place, Weakening)>) {
    RUN.with_borrow_mut(|run| {
        run.rmw = rmw;
        run.mutant = mutant;
    });
}

/// Returns every operation that this thread's models have executed since the last call.
pub fn take_sites() -> Vec<Site> {
    RUN.with_borrow_mut(|run| core::mem::take(&mut run.seen).into_iter().collect())
}

/// Returns whether models run in RMW mode.
pub fn is_rmw() -> bool {
    rmw()
}

fn rmw() -> bool {
    RUN.with_borrow(|run| run.rmw)
}

/// Records the operation, and returns how it is to be weakened.
fn visit(
    at: &'static Location<'static>,
    kind: Kind,
    order: Ordering,
    failure: Ordering,
) -> Option<Weakening> {
    let place = (at.file(), at.line(), at.column());
    RUN.with_borrow_mut(|run| {
        run.seen.insert(Site { place, kind, order: order.into(), failure: failure.into() });
        run.mutant.filter(|mutant| mutant.0 == place).map(|mutant| mutant.1)
    })
}

fn plain(at: &'static Location<'static>, kind: Kind, order: Ordering) -> Ordering {
    match visit(at, kind, order, Ordering::Relaxed) {
        Some(Weakening::To(weaker)) => weaker,
        _ => order,
    }
}

fn exchange(
    at: &'static Location<'static>,
    success: Ordering,
    failure: Ordering,
) -> (Ordering, Ordering) {
    match visit(at, Kind::Exchange, success, failure) {
        Some(Weakening::To(weaker)) => (weaker, failure),
        Some(Weakening::FailureRelaxed) => (success, Ordering::Relaxed),
        _ => (success, failure),
    }
}

/// Returns the ordering of the read-modify-write that stands for a load.
fn as_rmw(order: Ordering) -> Ordering {
    // AcqRel, not Acquire: the stand-in also writes, and must not cut the release sequence short.
    if order == Ordering::Acquire { Ordering::AcqRel } else { Ordering::Relaxed }
}

/// Does nothing: outside the models it is a hint.
pub fn prefetch<T>(_at: *const T) {}

/// A 32-bit loom atomic.
#[derive(Debug)]
pub struct AtomicU32(loom::sync::atomic::AtomicU32);

impl AtomicU32 {
    /// Creates the atomic; not `const`, as loom's is not.
    pub fn new(value: u32) -> Self {
        Self(loom::sync::atomic::AtomicU32::new(value))
    }

    /// Loads; a `fetch_add(0)` in RMW mode.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> u32 {
        let order = plain(Location::caller(), Kind::Load, order);
        if rmw() { self.0.fetch_add(0, as_rmw(order)) } else { self.0.load(order) }
    }

    /// Stores; a `swap` in RMW mode.
    #[track_caller]
    pub fn store(&self, value: u32, order: Ordering) {
        let order = plain(Location::caller(), Kind::Store, order);
        if rmw() { _ = self.0.swap(value, order) } else { self.0.store(value, order) }
    }

    /// Compares and exchanges.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        let (success, failure) = exchange(Location::caller(), success, failure);
        self.0.compare_exchange(current, new, success, failure)
    }

    /// Sets bits, and returns what was there.
    #[track_caller]
    pub fn fetch_or(&self, value: u32, order: Ordering) -> u32 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_or(value, order)
    }

    /// Subtracts, and returns what was there.
    #[track_caller]
    pub fn fetch_sub(&self, value: u32, order: Ordering) -> u32 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_sub(value, order)
    }
}

/// A 64-bit loom atomic.
#[derive(Debug)]
pub struct AtomicU64(loom::sync::atomic::AtomicU64);

impl AtomicU64 {
    /// Creates the atomic; not `const`, as loom's is not.
    pub fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value))
    }

    /// Loads; a `fetch_add(0)` in RMW mode.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> u64 {
        let order = plain(Location::caller(), Kind::Load, order);
        if rmw() { self.0.fetch_add(0, as_rmw(order)) } else { self.0.load(order) }
    }

    /// Stores; a `swap` in RMW mode.
    #[track_caller]
    pub fn store(&self, value: u64, order: Ordering) {
        let order = plain(Location::caller(), Kind::Store, order);
        if rmw() { _ = self.0.swap(value, order) } else { self.0.store(value, order) }
    }

    /// Compares and exchanges.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let (success, failure) = exchange(Location::caller(), success, failure);
        self.0.compare_exchange(current, new, success, failure)
    }

    /// Adds, and returns what was there.
    #[track_caller]
    pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_add(value, order)
    }

    /// Replaces, and returns what was there.
    #[track_caller]
    pub fn swap(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.swap(value, order)
    }

    /// Subtracts, and returns what was there.
    #[track_caller]
    pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_sub(value, order)
    }

    /// Keeps bits, and returns what was there.
    #[track_caller]
    pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_and(value, order)
    }

    /// Sets bits, and returns what was there.
    #[track_caller]
    pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_or(value, order)
    }

    /// Raises, and returns what was there.
    #[track_caller]
    pub fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_max(value, order)
    }
}

/// A loom atomic of the size of a pointer.
#[derive(Debug)]
pub struct AtomicUsize(loom::sync::atomic::AtomicUsize);

impl AtomicUsize {
    /// Creates the atomic; not `const`, as loom's is not.
    pub fn new(value: usize) -> Self {
        Self(loom::sync::atomic::AtomicUsize::new(value))
    }

    /// Loads; a `fetch_add(0)` in RMW mode.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> usize {
        let order = plain(Location::caller(), Kind::Load, order);
        if rmw() { self.0.fetch_add(0, as_rmw(order)) } else { self.0.load(order) }
    }

    /// Stores; a `swap` in RMW mode.
    #[track_caller]
    pub fn store(&self, value: usize, order: Ordering) {
        let order = plain(Location::caller(), Kind::Store, order);
        if rmw() { _ = self.0.swap(value, order) } else { self.0.store(value, order) }
    }

    /// Replaces, and returns what was there.
    #[track_caller]
    pub fn swap(&self, value: usize, order: Ordering) -> usize {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.swap(value, order)
    }

    /// Compares and exchanges.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        let (success, failure) = exchange(Location::caller(), success, failure);
        self.0.compare_exchange(current, new, success, failure)
    }

    /// Adds, and returns what was there.
    #[track_caller]
    pub fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_add(value, order)
    }

    /// Subtracts, and returns what was there.
    #[track_caller]
    pub fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        self.0.fetch_sub(value, order)
    }
}

/// A loom atomic pointer. It holds the exposed address, because loom's own has no operation that
/// can stand for a load in RMW mode.
#[derive(Debug)]
pub struct AtomicPtr<T>(loom::sync::atomic::AtomicUsize, PhantomData<*mut T>);

// SAFETY: as for core's: the pointer is only carried.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: as for core's: the pointer is only carried.
unsafe impl<T> Sync for AtomicPtr<T> {}

impl<T> AtomicPtr<T> {
    /// Creates the atomic; not `const`, as loom's is not.
    pub fn new(value: *mut T) -> Self {
        Self(loom::sync::atomic::AtomicUsize::new(value.expose_provenance()), PhantomData)
    }

    /// Loads; a `fetch_add(0)` in RMW mode.
    #[track_caller]
    pub fn load(&self, order: Ordering) -> *mut T {
        let order = plain(Location::caller(), Kind::Load, order);
        core::ptr::with_exposed_provenance_mut(if rmw() {
            self.0.fetch_add(0, as_rmw(order))
        } else {
            self.0.load(order)
        })
    }

    /// Stores; a `swap` in RMW mode.
    #[track_caller]
    pub fn store(&self, value: *mut T, order: Ordering) {
        let order = plain(Location::caller(), Kind::Store, order);
        let value = value.expose_provenance();
        if rmw() { _ = self.0.swap(value, order) } else { self.0.store(value, order) }
    }

    /// Replaces, and returns what was there.
    #[track_caller]
    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        let (order, _) = exchange(Location::caller(), order, Ordering::Relaxed);
        core::ptr::with_exposed_provenance_mut(self.0.swap(value.expose_provenance(), order))
    }

    /// Compares and exchanges.
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let (success, failure) = exchange(Location::caller(), success, failure);
        let new = new.expose_provenance();
        self.0
            .compare_exchange(current.addr(), new, success, failure)
            .map(core::ptr::with_exposed_provenance_mut)
            .map_err(core::ptr::with_exposed_provenance_mut)
    }

    /// Returns the value, for an owner.
    pub fn get_mut(&mut self) -> Owned<'_, T> {
        let held = self.0.with_mut(|held| *held);
        Owned { held: core::ptr::with_exposed_provenance_mut(held), atomic: PhantomData }
    }
}

/// What an atomic pointer held, as its owner reads it.
#[derive(Debug)]
pub struct Owned<'a, T> {
    held: *mut T,
    atomic: PhantomData<&'a mut T>,
}

impl<T> core::ops::Deref for Owned<'_, T> {
    type Target = *mut T;

    fn deref(&self) -> &*mut T {
        &self.held
    }
}

/// Executes a fence.
#[track_caller]
pub fn fence(order: Ordering) {
    loom::sync::atomic::fence(plain(Location::caller(), Kind::Fence, order));
}

/// Executes a fence whose other half is a barrier on all threads. It is as strong here as that
/// makes it.
#[track_caller]
pub fn light_fence() {
    fence(Ordering::SeqCst);
}

/// An object that is published, read and freed: loom reports a read that the publication does not
/// precede, and a free that a read may still follow. It also counts, so that leaks show.
#[derive(Debug)]
pub struct Witness {
    access: loom::cell::UnsafeCell<()>,
    retired: core::cell::Cell<bool>,
}

// SAFETY: loom runs the threads of a model on one operating system thread, one at a time.
unsafe impl Sync for Witness {}

thread_local! {
    static LIVE: RefCell<usize> = const { RefCell::new(0) };
    /// The addresses of watched objects that are retired and not freed.
    static RETIRED: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

/// Returns how many watched objects there are. [`forget_live`] sets the count to 0 where an
/// execution begins.
pub fn live() -> usize {
    LIVE.with_borrow(|live| *live)
}

/// Forgets what executions before this one left behind.
pub fn forget_live() {
    LIVE.set(0);
    RETIRED.with_borrow_mut(BTreeSet::clear);
}

impl Witness {
    /// Records that the object is made.
    pub fn new() -> Self {
        LIVE.with_borrow_mut(|live| *live += 1);
        let cell = loom::cell::UnsafeCell::new(());
        cell.with_mut(|_| ());
        Self { access: cell, retired: core::cell::Cell::new(false) }
    }

    /// Records that the object is read.
    #[track_caller]
    pub fn read(&self) {
        self.access.with(|_| ());
    }

    /// Records that the object is changed, by the only thread that may.
    #[track_caller]
    pub fn write(&self) {
        self.access.with_mut(|_| ());
    }

    /// Records that the object is retired.
    pub fn retire(&self) {
        assert!(!self.retired.replace(true), "retired twice");
        RETIRED.with_borrow_mut(|retired| retired.insert(self.address()));
    }

    /// Records that the object is on a list of retired objects. Panics if it was freed, without
    /// reading its memory: loom gives up on an access to freed memory, which proves nothing.
    #[track_caller]
    pub fn listed(&self) {
        let is_there = RETIRED.with_borrow(|retired| retired.contains(&self.address()));
        assert!(is_there, "freed while it is on a list");
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Returns whether the object was retired.
    pub fn is_retired(&self) -> bool {
        self.retired.get()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        LIVE.with_borrow_mut(|live| *live = live.checked_sub(1).expect("freed twice"));
        RETIRED.with_borrow_mut(|retired| retired.remove(&self.address()));
        self.access.with_mut(|_| ());
    }
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}
