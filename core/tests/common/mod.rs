//! What several test files need. `allocator.rs` is not among these modules: a file that counts
//! allocations includes it by its path, and thereby replaces the allocator of its program.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod books;
pub(crate) mod fixtures;
pub(crate) mod fuse;
pub(crate) mod identity;
pub(crate) mod memory;
#[cfg(shuttle)]
pub(crate) mod shuttled;
#[cfg(stress)]
pub(crate) mod stressed;
pub(crate) mod wakers;
