//! A load for which there is no memory, in processes of which each has one allocation fail.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;

struct Failing;

thread_local! {
    /// How many allocations of this thread succeed until one fails.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

// SAFETY: every call is passed on to the system's allocator as it came, or fails.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let left = LEFT.try_with(Cell::get).unwrap_or_default();
        if let Some(left) = left {
            LEFT.set(left.checked_sub(1));
        }
        if left == Some(0) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from here with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

const FAILS_AT: &str = "TIDEGATE_FAILS_AT";

#[test]
fn without_memory_the_caller_has_its_value_and_nothing_is_stored() {
    if let Ok(number) = std::env::var(FAILS_AT) {
        return load(number.parse().unwrap());
    }
    let mut unstored = 0;
    for number in 0..14_u32 {
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("--nocapture")
            .env(FAILS_AT, number.to_string())
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            assert!(said.contains("the loader ran once"), "{number}: {said}");
            unstored += u32::from(said.contains("stored: None"));
        } else {
            // The leader's own block is an `Arc`'s, which ends the process.
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("memory allocation of"), "{number}: {said}");
        }
    }
    assert!(unstored > 0, "no process lacked the memory for a flight or an entry");
}

fn load(number: u32) {
    let cache = tidegate::Cache::builder().manual().build();
    cache.insert(0, 0);
    let mut runs = 0;
    LEFT.set(Some(number));
    let loaded = cache.get_with(7, || {
        runs += 1;
        70
    });
    LEFT.set(None);
    assert_eq!((loaded, runs), (70, 1));
    let stored = cache.get(&7);
    assert_eq!(cache.get_with(7, || 71), stored.unwrap_or(71));
    println!("the loader ran once; stored: {stored:?}");
}
