//! From one table to the next.
//!
//! A table that grows has two or four times as many buckets as the one before, and one that shrinks
//! half as many. A *unit* is one bucket of the smaller and those of the larger that share its
//! hashes. It is moved as a whole: freeze the sources, fill the destinations, mark the sources as
//! moved. Any thread may do so at any time, and any number of threads at once.

use core::ptr::{NonNull, null_mut};

use super::node::{Entry, Item};
use super::table::{Head, Table};
use super::word::Word;
use super::{Map, MapError};
use crate::reclaim::{Guard, Header};
use crate::sync::{AtomicPtr, Ordering};

/// Units that a change moves beyond the one it needs.
const HELP: usize = if cfg!(loom) { 1 } else { 2 };
/// How many units a change looks at, to be sure they were moved, once all are handed out.
const VERIFY: usize = if cfg!(loom) { 1 } else { 32 };

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Returns the bucket's word, ready to be replaced: in the current table, and listed nowhere
    /// else. It is frozen or moved if the table is no longer current.
    pub(super) fn settle<'g>(
        &'g self,
        table: Table<'g, K, V>,
        hash: usize,
        guard: &'g Guard,
    ) -> Result<Word<K, V>, MapError> {
        if let Some(before) = table.source(guard) {
            // Even if the bucket has come: an entry must not be retired while a frozen word of the
            // table before still shows it to later readers.
            self.migrate(before, table, hash & before.mask() & table.mask(), guard)?;
        }
        // Acquire: pairs with the exchange that published what the word points at.
        Ok(Word::new(table.bucket(hash).load(Ordering::Acquire)))
    }

    /// Moves one unit. Once this returns, the destinations have come and the sources are moved.
    #[inline]
    pub(super) fn migrate(
        &self,
        before: Table<'_, K, V>,
        table: Table<'_, K, V>,
        unit: usize,
        guard: &Guard,
    ) -> Result<(), MapError> {
        let first = freeze(before.bucket(unit));
        // Only a table that shrinks has two sources to a unit.
        let second = if before.len() > table.len() {
            freeze(before.bucket(unit + table.len()))
        } else {
            Word::MOVED
        };
        if first.is_moved() && second.is_moved() {
            return Ok(());
        }
        self.move_unit(before, table, unit, [first, second], guard)
    }

    /// Moves a unit whose sources hold these words, which are frozen.
    #[inline(never)]
    fn move_unit(
        &self,
        before: Table<'_, K, V>,
        table: Table<'_, K, V>,
        unit: usize,
        [first, second]: [Word<K, V>; 2],
        guard: &Guard,
    ) -> Result<(), MapError> {
        let [mut one, mut other] = [None, None];
        let shrinks = before.len() > table.len();
        if shrinks {
            // If either source is moved, all that was in them has come.
            if !first.is_moved() && !second.is_moved() {
                // SAFETY: read under the caller's guard.
                let one = unsafe { first.items(&mut one) };
                // SAFETY: read under the caller's guard.
                let other = unsafe { second.items(&mut other) };
                table.fill(unit, one, other)?;
            }
        } else if first.as_block().is_none() {
            table.spread_single(unit, before.len(), first.as_single());
        } else {
            // SAFETY: read under the caller's guard.
            let items = unsafe { first.items(&mut one) };
            // No `step_by`, which divides.
            let mut destination = unit;
            while destination < table.len() {
                table.fill(destination, items, &[])?;
                destination += before.len();
            }
        }
        self.retire_source(before.bucket(unit), first, guard)?;
        if shrinks {
            self.retire_source(before.bucket(unit + table.len()), second, guard)?;
        }
        Ok(())
    }

    /// Marks a source, all of which has come, as moved.
    fn retire_source(
        &self,
        bucket: &AtomicPtr<Header>,
        word: Word<K, V>,
        guard: &Guard,
    ) -> Result<(), MapError> {
        if word.is_moved() {
            return Ok(());
        }
        let garbage = usize::from(word.block().is_some());
        self.limbo.reserve(garbage)?;
        // Release: a thread that sees it moved sees what has come, and the table it has come to.
        let old = Word::<K, V>::new(bucket.swap(Word::<K, V>::MOVED.0, Ordering::Release));
        match old.block() {
            // SAFETY: reserved for; the thread that swaps it out retires it; it was in no other
            // word.
            Some(block) => unsafe { self.limbo.retire([block], guard) },
            None => self.limbo.give_back(garbage),
        }
        Ok(())
    }

    /// Helps the migration along, if there is one. What fails for want of memory is left to others.
    #[inline]
    pub(super) fn help(&self, table: Table<'_, K, V>, guard: &Guard) {
        if let Some(before) = table.source(guard) {
            self.help_from(before, table, guard);
        }
    }

    #[inline(never)]
    fn help_from(&self, before: Table<'_, K, V>, table: Table<'_, K, V>, guard: &Guard) {
        let units = before.len().min(table.len());
        // Relaxed: units are handed out once by any order.
        if table.handed_out.load(Ordering::Relaxed) < units {
            // Relaxed: units are handed out once by any order.
            let first = table.handed_out.fetch_add(HELP, Ordering::Relaxed);
            for unit in first..units.min(first + HELP) {
                // A unit refused for want of memory is found again below.
                _ = self.migrate(before, table, unit, guard);
            }
        } else {
            self.verify(before, table, units, guard);
        }
    }

    /// Checks whether the threads that were handed units have moved them, moves what they have not,
    /// and ends the migration when all are moved. It looks and does not count, because a thread
    /// that has stopped would not have counted.
    fn verify(&self, before: Table<'_, K, V>, table: Table<'_, K, V>, units: usize, guard: &Guard) {
        // Acquire: pairs with the exchange below: what others have seen moved is moved for this
        // thread.
        let first = table.verified.load(Ordering::Acquire);
        let mut seen = first;
        let mut budget = HELP;
        while seen < units.min(first.saturating_add(VERIFY)) {
            let moved = before.of_unit(table, seen).all(|source| {
                // Acquire: pairs with the swap: what it stands for has come.
                Word::<K, V>::new(before.bucket(source).load(Ordering::Acquire)).is_moved()
            });
            if !moved {
                if budget == 0 || self.migrate(before, table, seen, guard).is_err() {
                    break;
                }
                budget -= 1;
            }
            seen += 1;
        }
        // Release: pairs with the load above. Relaxed: another thread moved on.
        _ = table.verified.compare_exchange(first, seen, Ordering::Release, Ordering::Relaxed);
        if seen == units {
            // If the domain is full, the next thread that helps ends it.
            _ = self.end_migration(before, table, guard);
        }
    }

    /// Ends a migration of which this thread has seen every unit moved, unless another thread was
    /// faster.
    pub(super) fn end_migration(
        &self,
        before: Table<'_, K, V>,
        table: Table<'_, K, V>,
        guard: &Guard,
    ) -> Result<(), MapError> {
        self.limbo.reserve(1)?;
        // Release: a thread that sees the end sees that every bucket has come.
        let ended = table.before.compare_exchange(
            before.address(),
            null_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        match ended.map(NonNull::new) {
            Ok(Some(before)) => {
                let (before, in_use) = (Head::retired(before), table.measure());
                // SAFETY: reserved for; unlinked by this thread alone; a table that is current has
                // no link to it any more, and a thread that loads the head later finds one that is.
                unsafe { self.limbo.retire_table(before, in_use, guard) };
            }
            _ => self.limbo.give_back(1),
        }
        Ok(())
    }
}

impl<K, V> Table<'_, K, V> {
    /// Returns the table before, while its content is coming here.
    #[inline]
    pub(super) fn source<'g>(self, _guard: &'g Guard) -> Option<Table<'g, K, V>> {
        // Acquire: pairs with the end of the migration: what has come is then seen here.
        let before = self.before.load(Ordering::Acquire);
        // SAFETY: retired only after it was unlinked here: alive under the guard.
        let before = unsafe { Table::new(NonNull::new(before)?) };
        before.read();
        Some(before)
    }

    /// Returns this table's buckets of a unit that it shares with `other`.
    fn of_unit(
        self,
        other: Table<'_, K, V>,
        unit: usize,
    ) -> impl Iterator<Item = usize> + Clone + use<K, V> {
        let units = self.len().min(other.len());
        // Shifted, not divided: both lengths are powers of two. `step_by` would divide.
        (0..self.len() >> units.trailing_zeros()).map(move |index| unit + index * units)
    }

    /// Fills a bucket with what belongs there, unless another thread has filled it.
    fn fill(
        self,
        index: usize,
        first: &[Item<K, V>],
        second: &[Item<K, V>],
    ) -> Result<(), MapError> {
        // Relaxed: a thread that sees the source moved, which comes after, cannot see this word
        // older.
        if !Word::<K, V>::new(self.bucket(index).load(Ordering::Relaxed)).is_uninit() {
            return Ok(());
        }
        let here = |item: &&Item<K, V>| item.hash & self.mask() == index;
        let mine = || first.iter().chain(second).filter(here).copied();
        let word = Word::gather(mine().count(), mine())?;
        if !self.fill_with(index, word) {
            // SAFETY: not published.
            unsafe { word.discard() };
        }
        Ok(())
    }

    /// Fills the buckets of a unit that comes from one bucket of `units` with the one entry of that
    /// bucket, if it has one. Most buckets have no more.
    #[inline]
    fn spread_single(self, unit: usize, units: usize, entry: Option<NonNull<Entry<K, V>>>) {
        let home = entry.map(|entry| (Item::of(entry).hash & self.mask(), Word::single(entry)));
        let mut index = unit;
        while index < self.len() {
            let word = match home {
                Some((home, word)) if home == index => word,
                _ => Word::EMPTY,
            };
            // If another thread has filled the bucket, it has put the same word there.
            self.fill_with(index, word);
            index += units;
        }
    }

    /// Fills a bucket with a word. Returns `false` if another thread has filled it.
    #[inline]
    fn fill_with(self, index: usize, word: Word<K, V>) -> bool {
        // Release: publishes the block, and the entries to those that find them here. Relaxed: as
        // for the load in `fill`.
        let filled = self.bucket(index).compare_exchange(
            null_mut(),
            word.0,
            Ordering::Release,
            Ordering::Relaxed,
        );
        filled.is_ok()
    }
}

/// Freezes a bucket, so that its content never changes again, and returns it.
#[inline]
fn freeze<K, V>(bucket: &AtomicPtr<Header>) -> Word<K, V> {
    // Acquire: pairs with the exchange that published what the word points at.
    let mut word = Word::<K, V>::new(bucket.load(Ordering::Acquire));
    while !word.is_frozen() {
        // Release: a thread that finds it frozen finds the table it is to move to. Acquire, on
        // failure: as for the load.
        match bucket.compare_exchange(word.0, word.frozen().0, Ordering::Release, Ordering::Acquire)
        {
            Ok(_) => return word.frozen(),
            Err(seen) => word = Word::new(seen),
        }
    }
    word
}
