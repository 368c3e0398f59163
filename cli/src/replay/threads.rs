//! How many threads share the work.

use std::thread;

/// More threads than this would wait for one another, to read or for the memory.
const MOST: usize = 32;

/// Returns the number of threads that share the work: one for each core, up to a bound.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST)
}
