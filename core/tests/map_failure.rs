//! What becomes of a map when the allocator has no memory left, and when the user's own code panics:
//! it is as it was, nothing is lost, and all goes on.
//!
//! Memory is counted, and refused, by thread: each test is alone with its own. What crossbeam
//! allocates (a worker; the end of a collection that has something to free) aborts when refused, as
//! documented, and is kept out of the sections that fail.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Guard, Instant, Map, MapError, SeededState, Sweep, Worker};

const NOW: Instant = Instant::from_secs(1);

struct Failing;

thread_local! {
    /// Bytes that this thread allocated, less those it freed.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    /// How many allocations succeed before the first that does not.
    static GOOD: Cell<u64> = const { Cell::new(u64::MAX) };
    /// Whether all fail that come after it.
    static FOR_EVER: Cell<bool> = const { Cell::new(false) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
    /// Keys and values that are there.
    static OBJECTS: Cell<i64> = const { Cell::new(0) };
    /// How often user code is called before the call that panics.
    static CALM: Cell<u64> = const { Cell::new(u64::MAX) };
    /// Whether destructors are among it.
    static DROPS: Cell<bool> = const { Cell::new(false) };
}

fn refused() -> bool {
    match GOOD.get() {
        u64::MAX => false,
        0 => {
            FAILED.set(FAILED.get() + 1);
            if !FOR_EVER.get() {
                GOOD.set(u64::MAX);
            }
            true
        }
        good => {
            GOOD.set(good - 1);
            false
        }
    }
}

// SAFETY: every call is refused, or passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refused() {
            return std::ptr::null_mut();
        }
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: `memory` came from `alloc` with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Runs `f` while the allocation after `good` others fails, and all after it if `for_ever`. Returns
/// how many failed.
fn starved(good: u64, for_ever: bool, f: impl FnOnce()) -> u64 {
    FAILED.set(0);
    FOR_EVER.set(for_ever);
    GOOD.set(good);
    f();
    GOOD.set(u64::MAX);
    FAILED.get()
}

/// Something of which it is known how many there are.
#[derive(PartialEq, Eq, Debug)]
struct Object(u64);

impl Object {
    fn new(id: u64) -> Self {
        OBJECTS.set(OBJECTS.get() + 1);
        Self(id)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        OBJECTS.set(OBJECTS.get() - 1);
        if DROPS.get() {
            tremble();
        }
    }
}

/// Panics if it is time to. Not by the hook: it would print.
fn tremble() {
    match CALM.get() {
        u64::MAX => {}
        0 => {
            CALM.set(u64::MAX);
            resume_unwind(Box::new(Expected));
        }
        calm => CALM.set(calm - 1),
    }
}

struct Expected;

/// Runs `f`, in which the call of user code after `calm` others panics. Whether it did.
fn panicking(calm: u64, f: impl FnOnce()) -> bool {
    CALM.set(calm);
    let ended = catch_unwind(AssertUnwindSafe(f));
    let panicked = CALM.replace(u64::MAX) == u64::MAX;
    match ended {
        Ok(()) => assert!(!panicked, "a panic was swallowed"),
        Err(payload) if payload.is::<Expected>() => assert!(panicked),
        Err(payload) => resume_unwind(payload),
    }
    panicked
}

/// Keys that share few buckets if `few`, and are spread like any others if not.
#[derive(Clone, Copy)]
struct Hashing {
    few: bool,
    state: u64,
}

impl BuildHasher for Hashing {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Hashing {
    fn finish(&self) -> u64 {
        if self.few {
            (self.state << 40) | (self.state % 8)
        } else {
            SeededState::new(1).hash_one(self.state)
        }
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, value: u64) {
        self.state = value;
    }
}

/// A key whose methods may panic, and which is counted.
struct Key(Object);

impl Key {
    fn new(id: u64) -> Self {
        Self(Object::new(id))
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::new(self.0.0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        tremble();
        state.write_u64(self.0.0);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        tremble();
        self.0 == other.0
    }
}

impl Eq for Key {}

type Objects = Map<Key, Object, Hashing>;

const KEYS: usize = 128;
/// What a map should hold. Allocates nothing, so that it can be kept while the allocator fails.
type Model = [Option<u64>; KEYS];

/// A map, and what it should hold.
struct Bed {
    map: Objects,
    model: Model,
    worker: Worker,
    sweeper: Worker,
    domain: Domain,
}

impl Bed {
    /// With the first `filled` keys in it, each with its own number for a value.
    fn new(few: bool, filled: usize) -> Self {
        let domain = Domain::new();
        let map = Map::with(&domain, Hashing { few, state: 0 });
        let (worker, sweeper) = (domain.worker(), domain.worker());
        let mut bed = Self { map, model: [None; KEYS], worker, sweeper, domain };
        for key in 0..filled {
            let guard = bed.worker.quiescent(NOW);
            let (new, value) = (Key::new(key as u64), Object::new(key as u64));
            assert!(bed.map.insert(new, value, guard).is_ok());
            bed.model[key] = Some(key as u64);
        }
        while bed.map.force_help(bed.worker.quiescent(NOW)) {}
        bed.drain();
        bed
    }

    fn drain(&mut self) {
        for _ in 0..8 {
            self.worker.collect(NOW, Budget::UNLIMITED);
        }
        assert_eq!(self.domain.gauges(NOW).garbage(), 0);
    }

    /// The map holds what it should, however one asks.
    fn check(&mut self) {
        let guard = self.worker.quiescent(NOW);
        for (key, expected) in self.model.iter().enumerate() {
            let found = self.map.get(&Key::new(key as u64), guard).map(|value| value.0);
            assert_eq!(found, *expected, "key {key}");
        }
        let expected: BTreeSet<_> =
            (0_u64..).zip(self.model).filter_map(|(key, value)| Some((key, value?))).collect();
        assert_eq!(self.map.len(), expected.len());
        let seen: BTreeSet<_> =
            self.map.iter(guard).map(|(key, value)| (key.0.0, value.0)).collect();
        assert_eq!(seen, expected);
    }

    /// The map can still do all that it could.
    fn go_on(&mut self) {
        for key in 0..KEYS {
            let guard = self.worker.quiescent(NOW);
            let (new, value) = (Key::new(key as u64), Object::new(7_000));
            assert!(self.map.insert(new, value, guard).is_ok());
            self.model[key] = Some(7_000);
        }
        self.check();
        for key in (0..KEYS).step_by(2) {
            let guard = self.worker.quiescent(NOW);
            let removed = self.map.remove(&Key::new(key as u64), guard);
            assert!(removed.is_ok_and(|value| value.is_some()));
            self.model[key] = None;
        }
        self.check();
        self.drain();
        self.check();
    }
}

fn all_is_returned(f: impl FnOnce()) {
    let before = (LIVE.get(), OBJECTS.get());
    f();
    assert_eq!((LIVE.get(), OBJECTS.get()), before, "bytes and objects");
}

/// One operation for each key, and what it should do to the model.
type Operation = fn(&Objects, usize, &mut Option<u64>, &Guard) -> Result<(), MapError>;

fn insert(
    map: &Objects,
    key: usize,
    held: &mut Option<u64>,
    guard: &Guard,
) -> Result<(), MapError> {
    let (new, value) = (Key::new(key as u64), Object::new(1_000));
    match map.insert(new, value, guard) {
        Ok(old) => {
            assert_eq!(old.map(|old| old.0), held.replace(1_000));
            Ok(())
        }
        Err(rejected) => {
            let (Key(key_back), value) = rejected.value;
            assert_eq!((key_back.0, value.0), (key as u64, 1_000), "handed back");
            Err(rejected.error)
        }
    }
}

fn get_or_insert(
    map: &Objects,
    key: usize,
    held: &mut Option<u64>,
    guard: &Guard,
) -> Result<(), MapError> {
    let make = || {
        tremble();
        Object::new(2_000)
    };
    match map.get_or_insert_with(Key::new(key as u64), make, guard) {
        Ok(value) => {
            assert_eq!(value.0, *held.get_or_insert(2_000));
            Ok(())
        }
        Err(rejected) => {
            assert_eq!(rejected.value.0.0, key as u64, "handed back");
            assert_eq!(*held, None);
            Err(rejected.error)
        }
    }
}

fn update(
    map: &Objects,
    key: usize,
    held: &mut Option<u64>,
    guard: &Guard,
) -> Result<(), MapError> {
    let change = |value: &Object| {
        tremble();
        Object::new(value.0 + 10_000)
    };
    let new = map.update(&Key::new(key as u64), change, guard)?.map(|value| value.0);
    *held = held.map(|value| value + 10_000);
    assert_eq!(new, *held);
    Ok(())
}

fn remove(
    map: &Objects,
    key: usize,
    held: &mut Option<u64>,
    guard: &Guard,
) -> Result<(), MapError> {
    let doomed = |_: &Key, _: &Object| {
        tremble();
        true
    };
    let old = map.remove_if(&Key::new(key as u64), doomed, guard)?.map(|value| value.0);
    assert_eq!(old, held.take());
    Ok(())
}

/// Runs an operation on every key while the nth allocation fails, for every n there is.
fn starve(few: bool, filled: usize, operation: Operation) {
    let mut refusals = 0;
    for for_ever in [false, true] {
        for good in 0..=500 {
            let mut failed = 0;
            all_is_returned(|| {
                let mut bed = Bed::new(few, filled);
                let guard = bed.worker.quiescent(NOW);
                let mut errors = 0;
                failed = starved(good, for_ever, || {
                    for (key, held) in bed.model.iter_mut().enumerate() {
                        match operation(&bed.map, key, held, guard) {
                            Ok(()) => {}
                            Err(error) => {
                                assert_eq!(error, MapError::OutOfMemory);
                                errors += 1;
                            }
                        }
                    }
                });
                refusals += errors;
                assert!(errors <= failed, "refused though there was memory");
                bed.check();
                bed.go_on();
            });
            if failed == 0 {
                assert!(good > 0, "the operation allocates nothing");
                break;
            }
        }
    }
    assert!(refusals > 50, "the operation was hardly ever refused: {refusals}");
}

#[test]
fn inserting_into_a_growing_map_survives_want_of_memory() {
    starve(false, 0, insert);
}

#[test]
fn inserting_where_there_is_one_survives_want_of_memory() {
    starve(false, KEYS, insert);
    starve(true, KEYS, insert);
}

#[test]
fn getting_or_inserting_survives_want_of_memory() {
    starve(false, KEYS / 2, get_or_insert);
}

#[test]
fn updating_survives_want_of_memory() {
    starve(false, KEYS, update);
    starve(true, KEYS, update);
}

#[test]
fn removing_from_a_crowded_bucket_survives_want_of_memory() {
    starve(true, KEYS, remove);
}

#[test]
fn making_a_map_survives_want_of_memory() {
    let mut complete = false;
    for good in 0..500 {
        let mut failed = 0;
        all_is_returned(|| {
            let domain = Domain::new();
            let mut made = None;
            failed = starved(good, true, || {
                made = Some(Objects::try_with(&domain, Hashing { few: false, state: 0 }));
            });
            match made.expect("an answer") {
                Ok(map) => assert!(failed == 0 && map.is_empty()),
                Err(error) => assert!(failed > 0 && error == MapError::OutOfMemory),
            }
            // What was begun is of use to the next.
            assert!(Objects::try_with(&domain, Hashing { few: false, state: 0 }).is_ok());
        });
        if failed == 0 {
            assert!(good >= 2, "a map is a table and a place for what it retires");
            complete = true;
            break;
        }
    }
    assert!(complete);
}

#[test]
fn a_forced_resize_survives_want_of_memory() {
    for (few, grow) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut unfinished = 0;
        for for_ever in [false, true] {
            for good in 0..=500 {
                let mut failed = 0;
                all_is_returned(|| {
                    let mut bed = Bed::new(few, KEYS);
                    let guard = bed.worker.quiescent(NOW);
                    let buckets = bed.map.buckets(guard);
                    let (mut began, mut ended) = (false, false);
                    failed = starved(good, for_ever, || {
                        began = bed.map.force_resize(grow, guard);
                        // Help that is refused memory must give up, and not go on for ever.
                        for _ in 0..buckets * 4 {
                            ended = !bed.map.force_help(guard);
                        }
                    });
                    assert_eq!(began, good > 0, "only the table is needed to begin");
                    assert!(ended || for_ever, "one refusal must not stop it");
                    unfinished += usize::from(!ended);
                    bed.check();
                    let guard = bed.worker.quiescent(NOW);
                    while bed.map.force_help(guard) {}
                    let now = bed.map.buckets(guard);
                    assert_eq!(
                        now,
                        if !began {
                            buckets
                        } else if grow {
                            buckets * 2
                        } else {
                            buckets / 2
                        }
                    );
                    bed.check();
                    bed.go_on();
                });
                if failed == 0 {
                    break;
                }
            }
        }
        assert!(unfinished > 0, "the migration needed no memory");
    }
}

#[test]
fn a_sweep_survives_want_of_memory() {
    for resizing in [false, true] {
        let mut held_on = 0;
        for for_ever in [false, true] {
            for good in 0..=500 {
                let mut failed = 0;
                all_is_returned(|| {
                    let mut bed = Bed::new(true, KEYS);
                    if resizing {
                        assert!(bed.map.force_resize(true, bed.worker.quiescent(NOW)));
                    }
                    // Nothing is held back before the one step that fails, or crossbeam would
                    // allocate in it.
                    let stale = |key: &Key, _: &Object, _: Instant| !key.0.0.is_multiple_of(5);
                    let mut step = Default::default();
                    let mut sweep = bed.map.sweeper(bed.domain.worker(), stale);
                    bed.worker.offline(|| ());
                    failed = starved(good, for_ever, || {
                        step = sweep.sweep(NOW, Budget::UNLIMITED);
                    });
                    assert!(step.wrapped, "{step:?}");
                    let left = KEYS - step.removed;
                    held_on += usize::from(left > KEYS.div_ceil(5));
                    assert_eq!(bed.map.len(), left);
                    // What could not be removed is removed by the next pass.
                    while !sweep.sweep(NOW, Budget::UNLIMITED).wrapped {}
                    drop(sweep);
                    for (key, held) in bed.model.iter_mut().enumerate() {
                        *held = held.filter(|_| key % 5 == 0);
                    }
                    bed.check();
                    bed.go_on();
                });
                if failed == 0 {
                    break;
                }
            }
        }
        assert!(held_on > 0, "the sweep needed no memory");
    }
}

/// Runs an operation on one key while the nth call of user code in it panics, for every n there is.
fn shake(few: bool, filled: usize, key: usize, operation: Operation) {
    for calm in 0..500 {
        let mut panicked = false;
        all_is_returned(|| {
            let mut bed = Bed::new(few, filled);
            let guard = bed.worker.quiescent(NOW);
            let mut held = bed.model[key];
            panicked = panicking(calm, || {
                operation(&bed.map, key, &mut held, guard).expect("memory");
            });
            if !panicked {
                bed.model[key] = held;
            }
            bed.check();
            bed.go_on();
        });
        if !panicked {
            assert!(calm > 0, "the operation calls no user code");
            return;
        }
    }
    panic!("the operation does not end");
}

#[test]
fn a_panic_in_user_code_leaves_the_map_as_it_was() {
    for few in [false, true] {
        for operation in [insert as Operation, get_or_insert, update, remove] {
            shake(few, 100, 50, operation);
        }
        shake(few, 100, 110, insert);
        shake(few, 100, 110, get_or_insert);
    }
}

#[test]
fn a_panic_of_a_visitor_leaves_the_map_as_it_was() {
    for calm in [0, 1, 50, 99] {
        all_is_returned(|| {
            let mut bed = Bed::new(false, 100);
            assert!(bed.map.force_resize(true, bed.worker.quiescent(NOW)));
            let guard = bed.worker.quiescent(NOW);
            let panicked = panicking(calm, || {
                bed.map.scan(Cursor::START, Budget::UNLIMITED, |_, _| tremble(), guard);
            });
            assert!(panicked);
            bed.check();
            bed.go_on();
        });
    }
}

#[test]
fn a_panic_of_a_sweep_s_condition_removes_nothing_it_did_not_name() {
    for calm in [0, 1, 10, 50, 99] {
        all_is_returned(|| {
            let mut bed = Bed::new(true, 100);
            let mut named = [false; KEYS];
            let stale = |key: &Key, _: &Object, _: Instant| {
                tremble();
                named[key.0.0 as usize] = true;
                true
            };
            let mut sweep = bed.map.sweeper(bed.domain.worker(), stale);
            let panicked = panicking(calm, || {
                sweep.sweep(NOW, Budget::UNLIMITED);
            });
            assert!(panicked);
            drop(sweep);
            let guard = bed.worker.quiescent(NOW);
            for (key, held) in bed.model.iter_mut().enumerate() {
                let there = bed.map.contains_key(&Key::new(key as u64), guard);
                assert!(there || held.is_none() || named[key], "key {key} was not named");
                *held = held.filter(|_| there);
            }
            assert_eq!(named.iter().filter(|&&named| named).count() as u64, calm);
            bed.check();
            bed.go_on();
        });
    }
}

#[test]
fn a_panicking_destructor_costs_nothing_but_itself() {
    // Keys and values by turns: each entry drops one of each.
    for calm in 0..40 {
        all_is_returned(|| {
            let mut bed = Bed::new(false, 20);
            for key in 0..20 {
                let guard = bed.worker.quiescent(NOW);
                assert!(bed.map.remove(&Key::new(key), guard).is_ok());
                bed.model[key as usize] = None;
            }
            bed.worker.offline(|| ());
            DROPS.set(true);
            let mut panics = 0;
            let sweeper = &mut bed.sweeper;
            for _ in 0..8 {
                let first = if panics == 0 { calm } else { u64::MAX };
                if first == u64::MAX {
                    sweeper.collect(NOW, Budget::UNLIMITED);
                } else {
                    panics += u64::from(panicking(first, || {
                        sweeper.collect(NOW, Budget::UNLIMITED);
                    }));
                }
            }
            DROPS.set(false);
            assert_eq!(panics, 1);
            assert_eq!(bed.domain.gauges(NOW).garbage(), 0, "the others are freed none the less");
            bed.check();
            bed.go_on();
        });
    }
}
