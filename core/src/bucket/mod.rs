//! Rate limits: quotas, the arithmetic of a bucket, and tables of buckets in fixed memory.
//!
//! | | |
//! |---|---|
//! | [`Quota`] | what a person writes: cells a period, and a burst |
//! | [`Unit`], [`Plan`] | a table's unit of time, and a quota compiled for it |
//! | [`BucketTable`] | a bucket per key, shared by any number of threads, in memory you give it |
//! | [`BucketMap`] | the same answers for any number of exact keys, on the heap |
//! | [`LocalBucketTable`] | the same answers for one owner (`&mut self`), without atomics |
//! | [`Marker`], [`LocalMarker`] | three colours by two rates, for the policers of packets |
//! | [`Decision`] | the answer: admitted or not, what remains, when to come back |
//!
//! `BucketTable`, `BucketMap` and `Marker` need native 64-bit atomics and are absent where the target
//! has none. Everything else is there on every target.

mod all;
#[cfg(feature = "alloc")]
mod boxed;
mod decision;
#[cfg(target_has_atomic = "64")]
mod fresh;
mod gcra;
mod headers;
mod local;
mod marker;
mod on_full;
#[cfg(target_has_atomic = "64")]
mod overflow;
mod place;
mod plan;
mod portion;
mod quota;
mod reserve;
mod seat;
mod settle;
mod unit;
mod verdict;

#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod map;
#[cfg(target_has_atomic = "64")]
mod set;
#[cfg(target_has_atomic = "64")]
mod shadow;
#[cfg(target_has_atomic = "64")]
mod table;

pub use all::{AllDecision, AllOutcome, Limit, MAX_LIMITS, check_all, check_all_into};
pub use decision::Decision;
pub use headers::{HeaderValue, Headers, PolicyNameError, RateLimit, RateLimitPolicy, RetryAfter};
pub use local::{LocalBucketTable, LocalLimit, LocalSet, LocalSweep};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use map::{BucketMap, BucketPass, BucketSweep, MapLimit};
#[cfg(target_has_atomic = "64")]
pub use marker::Marker;
pub use marker::{Colour, LocalMarker, MarkerPlan, mark};
pub use on_full::{Counters, OnFull};
#[cfg(target_has_atomic = "64")]
pub use overflow::TableHeader;
pub use place::Place;
pub use plan::{Keep, Plan};
pub use quota::{Quota, QuotaError};
pub use reserve::{Reservation, Reservations, reserve, reserve_all};
#[cfg(target_has_atomic = "64")]
pub use set::Set;
pub use settle::Settled;
#[cfg(target_has_atomic = "64")]
pub use shadow::{ShadowLimit, Withheld};
#[cfg(target_has_atomic = "64")]
pub use table::{BucketTable, TableLimit, TableSweep};
pub use unit::Unit;
pub use verdict::Outcome;

/// Returns how many sets serve `keys` keys with fewer than 1 in 1,000 finding their set full.
///
/// With 3.5 keys to a set of 10 slots, random keys leave 4 in 10,000 without a slot.
const fn sets_for(keys: usize) -> usize {
    let sets = keys.saturating_mul(2).div_ceil(7);
    if sets == 0 { 1 } else { sets }
}
