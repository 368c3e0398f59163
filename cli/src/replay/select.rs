//! Which requests count, under which key, at what cost.

mod address;
mod client;
mod filter;
mod path;
mod selection;

pub(crate) use self::client::{ClientField, ClientRule};
pub(crate) use self::selection::{Cost, Key, Selection};

use super::entry::{Entry, Reason, Wanted};

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    /// It counts: this many cells, under the key that was written.
    Counts(u64),
    /// A filter leaves it out.
    LeftOut,
    /// It has no key: no user, or no client.
    WithoutKey,
}

/// Chooses among entries.
pub(crate) trait Select: Sync {
    /// Returns which parts of a line the choice needs.
    fn wanted(&self) -> Wanted;

    /// Returns what a request lacks that is [without a key](Selected::WithoutKey): a client, or a
    /// user.
    fn lacks(&self) -> &'static str;

    /// Decides on an entry, and writes its key into `key`, which is empty before.
    ///
    /// # Errors
    ///
    /// Fails with what the line lacks: a path where the key is the path, a size where bytes are the
    /// cost.
    fn select(&self, entry: &Entry<'_>, key: &mut Vec<u8>) -> Result<Selected, Reason>;
}
