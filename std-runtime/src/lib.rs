#![doc = include_str!("../README.md")]

pub mod clock;
mod periodic;
mod pin;
pub mod sweeper;

#[doc(inline)]
pub use clock::{BootClock, CachedClock, CoarseClock, MonotonicClock};
pub use pin::{domain, pin};
#[doc(inline)]
pub use sweeper::SweepThread;
#[doc(inline)]
pub use tidegate_core::*;

/// A hasher seeded at random, anew at each call: what a table on a server wants.
///
/// ```
/// use tidegate::{BucketTable, Quota};
///
/// let quota = Quota::per_second(100)?;
/// let table = BucketTable::boxed(quota, 10_000, tidegate::random_state())?;
/// # let _ = table;
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
pub fn random_state() -> SeededState {
    use std::hash::BuildHasher;
    // The standard library's hasher is keyed from the operating system's random numbers.
    SeededState::new(std::hash::RandomState::new().hash_one(0))
}

/// The examples of the project's front page, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct FrontPage;
