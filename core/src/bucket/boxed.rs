//! Sets on the heap.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::QuotaError;

/// Allocates `len` sets, each made by `empty`, for `keys` keys. Fails if there is no memory for
/// them, and names the keys.
pub(super) fn sets<T>(
    keys: usize,
    len: usize,
    empty: impl Fn() -> T,
) -> Result<Box<[T]>, QuotaError> {
    let mut sets = Vec::new();
    sets.try_reserve_exact(len).map_err(|_| QuotaError::TooManyKeys { keys })?;
    sets.extend((0..len).map(|_| empty()));
    Ok(sets.into_boxed_slice())
}
