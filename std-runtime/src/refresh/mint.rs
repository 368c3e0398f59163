//! The function that makes values on the thread of a caller.

use std::fmt;

use super::Minted;
use super::book::Ended;
use crate::panics::Foreign;
use crate::wait::single::Single;

pub(super) type Mint<T, E> = Box<dyn Fn() -> Result<Minted<T>, E> + Send + Sync>;

/// Makes values by a function that blocks: see [`Refresher::builder`](crate::Refresher::builder).
pub struct Blocking<T, E> {
    pub(super) mint: Foreign<Mint<T, E>>,
    /// Keeps the last failure.
    pub(super) single: Foreign<Single<Ended<E>>>,
}

impl<T, E> fmt::Debug for Blocking<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
