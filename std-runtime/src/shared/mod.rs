//! A table of buckets that several processes share: a mapped file.
//!
//! The memory holds no pointers. The sets, the counts and the words of [`OnFull::Shared`] are in
//! the file, and what a process keeps to itself never changes: where the file is mapped, the unit
//! of time and the hasher. So a process that is killed takes nothing along, and leaves nothing
//! locked.
//!
//! # Opening
//!
//! A process holds the file's lock (`flock`) *shared* for as long as it has the table open, and
//! *exclusive* while it finds out, alone, what is in the file. The kernel takes the lock from a process
//! that ends, however it ends. So a process that was killed while it prepared the file leaves a
//! file without a magic number, which the next process prepares again. A claim in the memory itself
//! would need a timeout to be taken from a process that was killed, and a process that was only
//! slow would then prepare the file under another one's eyes. Checks take no lock.
//!
//! # Processes that are killed
//!
//! A check of a key that has a bucket is one compare-exchange. A process that is killed in a call has made
//! it or has not, so each kill leaves the answer of at most one call uncertain, and the bucket's own
//! count is right in either case. A process that is killed while it enters a new key costs the key's
//! set one slot of ten. The slot comes back when the file is opened by a process that finds no other
//! there. A process that is killed in a call on several limits may have charged some of them, in a
//! burst some of its keys, and an estimate that it had reserved stays charged. All that errs on the
//! side of denying.
//!
//! # What a process must not do
//!
//! The lock belongs to the descriptor of the file. A process that forks and closes the descriptor in the
//! child, or closes all that it does not know, must not use the table there any more: another process
//! would take itself for the only one. Open the file anew in the child.

mod clock;
mod error;
mod file;
mod mapping;

use std::hash::Hash;
use std::path::Path;
use std::time::Duration;

use tidegate_core::bucket::{Set, Unit};
use tidegate_core::{BucketTable, Clock, Decision, OnFull, Plan, Quota, QuotaError, SeededState};

pub use self::clock::KernelClock;
pub use self::error::{Difference, SharedError};
pub use self::file::WhenOther;
use self::file::{Opened, Terms};
use self::mapping::Mapping;

/// The engine's table in a [`SharedTable`].
type Table = BucketTable<&'static [Set], SeededState>;

/// Rate-limit buckets in a file that several processes map.
///
/// All processes see one bucket for a key. They must agree in the quotas that the unit was made
/// from, in the number of keys, and in what the builder says. Keys must have the same [`Hash`] in
/// all of them: use byte slices where programs differ, or one of them is in C.
///
/// ```
/// use tidegate::Quota;
/// use tidegate::shared::SharedTable;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("limits");
/// let quota = Quota::per_second(1)?; // `path` is in a folder of this user's, on a local file system
/// let one = SharedTable::builder(&[quota], 1_000).open(&path)?;
/// let other = SharedTable::builder(&[quota], 1_000).open(&path)?; // in another process
/// let plan = one.plan(quota)?;
/// assert!(one.check(b"203.0.113.7", &plan).is_admitted());
/// assert!(!other.check(b"203.0.113.7", &plan).is_admitted());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Trust
///
/// The file is created for its owner alone (mode 0600). One that belongs to another user than this or
/// root, or that others may write to, is refused. A process that may write to it can change every
/// answer, and can make a check of another process run for ever, but cannot make it read or write
/// other memory. If it truncates the file, the kernel ends the others with `SIGBUS`, as for every
/// mapped file. On a file system of several machines the lock may be one machine's alone: use local ones.
#[derive(Debug)]
pub struct SharedTable {
    /// Its slices are those of the mapping, and leave this value only with its lifetime.
    table: Table,
    is_new: bool,
    mended: usize,
    // Dropped in this order: the lock is given back once nothing is mapped.
    _mapping: Mapping,
    _file: std::fs::File,
}

/// Opens a [`SharedTable`]: see [`SharedTable::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it opens"]
pub struct SharedTableBuilder {
    unit: Result<Unit, QuotaError>,
    keys: usize,
    seed: Option<u64>,
    on_full: OnFull,
    grace: Duration,
    when_other: WhenOther,
}

impl SharedTableBuilder {
    /// Sets what a new key is answered that finds its set full: [`OnFull::Deny`] until set.
    pub fn on_full(self, policy: OnFull) -> Self {
        Self { on_full: policy, ..self }
    }

    /// Sets how far apart the clocks of two threads may be: 10 ms until set.
    pub fn grace(self, skew: Duration) -> Self {
        Self { grace: skew, ..self }
    }

    /// Sets the seed of a file that is created: a random one until set. A file that is there keeps
    /// its own.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Sets what becomes of a file that holds another table: [`WhenOther::StartEmpty`] until set.
    pub fn when_other(self, choice: WhenOther) -> Self {
        Self { when_other: choice, ..self }
    }

    /// Opens the table in the file at `path`, which is created if it is not there. Its length is 4
    /// KiB, and 128 bytes for each [set](Set::for_keys).
    ///
    /// The call waits while another process prepares the file.
    ///
    /// # Errors
    ///
    /// * [`SharedError::Quota`]: there is no unit for the quotas.
    /// * [`SharedError::Differs`]: the file is not a table, or holds another one and must not be
    ///   emptied: by choice, or because another process has it open.
    /// * [`SharedError::Io`]: the system refused the file, its lock, its length or the mapping.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SharedTable, SharedError> {
        let unit = self.unit.map_err(SharedError::Quota)?;
        let sets = Set::for_keys(self.keys);
        let terms = Terms::new(unit, sets, self.on_full, self.grace)?;
        let seed = || self.seed.unwrap_or_else(random_seed);
        let Opened { file, seed, is_new, mended } =
            file::open(path.as_ref(), &terms, seed, self.when_other)?;
        let mapping = Mapping::new(&file, sets).map_err(SharedError::Io)?;
        // SAFETY: the slices are used through `table` alone, which is dropped with the mapping. No
        // method hands them out for longer than `self` is borrowed.
        let (header, sets) = unsafe { mapping.parts() };
        let table = BucketTable::over_memory(sets, header, unit, SeededState::new(seed))
            .on_full(self.on_full)
            .grace(self.grace);
        Ok(SharedTable { table, is_new, mended, _mapping: mapping, _file: file })
    }
}

fn random_seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}

impl SharedTable {
    /// Begins to open a table for `keys` keys at a time, in the unit that suits `quotas`.
    pub fn builder(quotas: &[Quota], keys: usize) -> SharedTableBuilder {
        SharedTableBuilder {
            unit: Unit::for_quotas(quotas),
            keys,
            seed: None,
            on_full: OnFull::Deny,
            grace: Table::GRACE,
            when_other: WhenOther::StartEmpty,
        }
    }

    /// Compiles a quota for this table.
    ///
    /// # Errors
    ///
    /// Fails as [`Unit::plan`] does.
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.table.plan(quota)
    }

    /// Charges one cell to the key's bucket if the plan admits it. Reads the [`KernelClock`].
    ///
    /// # Panics
    ///
    /// Panics if `plan` was compiled for another unit, which is a programming error.
    pub fn check<K: Hash + ?Sized>(&self, key: &K, plan: &Plan) -> Decision {
        self.check_n(key, plan, 1)
    }

    /// Charges `cost` cells to the key's bucket if the plan admits them, all or none.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
    pub fn check_n<K: Hash + ?Sized>(&self, key: &K, plan: &Plan, cost: u64) -> Decision {
        self.table.check_n(key, plan, cost, KernelClock.now())
    }

    /// Returns the engine's table, for bursts, several limits, refunds and sweeps. Its times are
    /// those of the [`KernelClock`].
    pub fn lockfree(&self) -> &BucketTable<&'static [Set], SeededState> {
        &self.table
    }

    /// Returns whether this call of [`open`](SharedTableBuilder::open) has prepared the file, so
    /// that the table was empty.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns how many slots were given back at the opening, which processes had claimed that were
    /// killed. 0 if another process had the file open.
    pub fn mended(&self) -> usize {
        self.mended
    }
}
