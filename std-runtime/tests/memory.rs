//! Memory in huge pages: it holds what is put there, drops it once, and is given back.
#![cfg(target_os = "linux")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tidegate::lockfree::bucket::{Set, Unit};
use tidegate::lockfree::{BucketTable, LocalBucketTable, bucket::LocalSet};
use tidegate::memory::HugePages;
use tidegate::{Instant, Quota, SeededState};

#[test]
fn tables_answer_alike_in_huge_pages_and_on_the_heap() {
    let quota = Quota::per_second(10).and_then(|quota| quota.burst(5)).expect("a quota");
    let unit = Unit::for_quota(quota).expect("a unit");
    let hasher = || SeededState::new(7);
    // 6 MiB: more than one huge page.
    let sets = HugePages::new(50_000, Set::new).expect("memory");
    let local_sets = HugePages::new(50_000, LocalSet::new).expect("memory");
    let table = BucketTable::over(sets, unit, hasher());
    let mut local = LocalBucketTable::over(local_sets, unit, hasher());
    let heap = BucketTable::boxed(quota, 175_000, hasher()).expect("a unit");
    assert_eq!((table.slots(), local.slots()), (heap.slots(), heap.slots()));
    let plan = heap.plan(quota).expect("a plan");
    for at in 0..400_000_u64 {
        let (key, now) = (at % 100_003, Instant::from_nanos(at * 1_000));
        let expected = heap.check(&key, &plan, now);
        assert_eq!(table.check(&key, &plan, now), expected);
        assert_eq!(local.check(&key, &plan, now), expected);
    }
    assert_eq!((table.len(), local.len()), (heap.len(), heap.len()));
}

#[test]
fn each_value_is_dropped_once() {
    let value = Rc::new(());
    let mut memory = HugePages::new(1_000, || Rc::clone(&value)).expect("memory");
    assert_eq!((memory.len(), Rc::strong_count(&value)), (1_000, 1_001));
    memory[7] = Rc::new(());
    assert_eq!(Rc::strong_count(&value), 1_000);
    drop(memory);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn what_was_made_before_a_panic_is_dropped() {
    let value = Rc::new(());
    let mut made = 0;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        HugePages::new(10, || {
            made += 1;
            assert!(made < 5, "the fifth");
            Rc::clone(&value)
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((made, Rc::strong_count(&value)), (5, 1));
}

#[test]
fn no_values_need_no_room_and_too_many_are_refused() {
    let none = HugePages::new(0, || 7_u64).expect("memory");
    assert!(none.is_empty());
    let nothing = HugePages::new(3, || ()).expect("memory");
    assert_eq!(nothing.len(), 3);
    for len in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8] {
        let error = HugePages::new(len, || 7_u64).expect_err("no address space is so large");
        assert!(!error.to_string().is_empty(), "{len}");
    }
}

/// Pages of address space that the process has mapped.
fn mapped() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("proc");
    status.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number of pages")
}

#[test]
fn memory_is_given_back() {
    let before = mapped();
    for _ in 0..100 {
        // 100 times 16 MiB, and a page more each: 1.8 GB.
        let memory = HugePages::new(4_096, || [1_u8; 4_096]).expect("memory");
        assert!(memory.iter().all(|page| page[4_095] == 1));
    }
    // What other tests of this process have mapped meanwhile is less.
    let more = mapped().saturating_sub(before);
    assert!(more < (500 << 20) / 4_096, "{more} pages more");
}
