//! Visiting every entry, a few buckets at a time, while the table grows and shrinks.

use core::ptr::NonNull;

use super::Map;
use super::node::{Block, Entry};
use super::table::Table;
use super::word::Word;
use crate::reclaim::Guard;
use crate::sweep::Budget;
use crate::sync::Ordering;

/// A position in a scan. It refers to no memory, so no guard need live between two steps.
///
/// The cursor counts through the bucket numbers with their bits reversed (after Redis' `SCAN`):
/// what is behind it in one table is behind it in every other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor(usize);

impl Cursor {
    /// Where a scan begins, and where it is when it has ended.
    pub const START: Self = Self(0);

    /// Returns the cursor's position, as a number to keep.
    pub(crate) fn position(self) -> usize {
        self.0
    }

    /// Creates a cursor at a position.
    pub(crate) fn at(position: usize) -> Self {
        Self(position)
    }

    pub(super) fn bucket(self, mask: usize) -> usize {
        self.0 & mask
    }

    /// Returns the cursor behind the bucket of a table with this mask.
    #[must_use]
    pub(super) fn next(self, mask: usize) -> Self {
        Self((self.0 | !mask).reverse_bits().wrapping_add(1).reverse_bits())
    }
}

/// The content of a bucket: in its own word, or while it has not come yet, in those of the table
/// before.
struct Snapshot<K, V> {
    words: [Word<K, V>; 2],
    /// An item of a block counts only if its hash has this index under this mask. The others belong
    /// to the bucket's siblings.
    mask: usize,
    index: usize,
}

impl<K, V> Snapshot<K, V> {
    /// Calls `f` once with each entry, and returns how many there are.
    ///
    /// # Safety
    ///
    /// The snapshot was taken within `'g`, under a guard that lasts as long.
    unsafe fn each<'g>(&self, mut f: impl FnMut(&'g Entry<K, V>)) -> usize
    where
        K: 'g,
        V: 'g,
    {
        let mut visited = 0;
        let mut visit = |entry: NonNull<Entry<K, V>>| {
            // SAFETY: by the caller's promise.
            let entry: &'g Entry<K, V> = unsafe { entry.as_ref() };
            entry.read();
            f(entry);
            visited += 1;
        };
        for word in self.words {
            if let Some(entry) = word.as_single() {
                visit(entry);
            } else if let Some(block) = word.as_block() {
                // SAFETY: by the caller's promise.
                let items = unsafe { Block::items(block) };
                let ours = items.iter().filter(|item| item.hash & self.mask == self.index);
                ours.for_each(|item| visit(item.entry));
            }
        }
        visited
    }
}

impl<K, V> Table<'_, K, V> {
    /// Returns the content of a bucket, without changing anything. Returns `None` if the table that
    /// is then current must be asked again.
    fn snapshot(self, index: usize, guard: &Guard) -> Option<Snapshot<K, V>> {
        let all = |words| Snapshot { words, mask: 0, index: 0 };
        // Acquire: pairs with the exchange that published what the word points at.
        let mut word = Word::new(self.bucket(index).load(Ordering::Acquire));
        if word.is_uninit() {
            match self.source(guard) {
                Some(before) if before.len() < self.len() => {
                    if let Some(shared) = before.part(index, self.mask())? {
                        return Some(shared);
                    }
                }
                Some(before) => {
                    let words = [index, index + self.len()].map(|source| {
                        // Acquire, beyond loom: as above, or with its moving, which its coming
                        // precedes. For the former a thread must change a table that it does not
                        // know to be replaced, while another moves the unit.
                        Word::<K, V>::new(before.bucket(source).load(Ordering::Acquire))
                    });
                    if !words.iter().any(|word| word.is_moved()) {
                        return Some(all(words));
                    }
                }
                None => {}
            }
            // Acquire: as above. It has come meanwhile.
            word = Word::new(self.bucket(index).load(Ordering::Acquire));
        }
        (!word.is_moved()).then(|| all([word, Word::EMPTY]))
    }

    /// Returns one part of a bucket whose content goes to several: what goes to the bucket at `index`
    /// under `mask`. The inner option is `None` if it has gone; the outer one is `None` if that
    /// could not be determined.
    fn part(self, index: usize, mask: usize) -> Option<Option<Snapshot<K, V>>> {
        let bucket = self.bucket(index);
        // Acquire, beyond loom: pairs with the exchange that published what the word points at, or
        // with its moving, which its coming precedes; as for a table that shrinks, above.
        let mut word = Word::<K, V>::new(bucket.load(Ordering::Acquire));
        if word.is_moved() {
            return Some(None);
        }
        if let Some(entry) = word.as_single() {
            // SAFETY: read under the caller's guard.
            let hash = unsafe { entry.as_ref() }.hash();
            // Relaxed: ordered by the Acquire of the hash. If that was no longer one, for the entry
            // was retired, the word is another by now.
            if Word::<K, V>::new(bucket.load(Ordering::Relaxed)).0 != word.0 {
                return None;
            }
            if hash & mask != index {
                word = Word::EMPTY;
            }
        }
        Some(Some(Snapshot { words: [word, Word::EMPTY], mask, index }))
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Visits entries from `cursor` on, and returns where to continue: at [`Cursor::START`] when
    /// the scan is complete. Visits at most `budget` entries and empty buckets, and then the rest
    /// of the last bucket. With a budget of 0 it visits nothing.
    ///
    /// Every entry that is there from the first call of a scan to the last is visited, however the
    /// table grows and shrinks meanwhile. It is visited more than once only if the table shrank. An
    /// entry that is inserted or removed meanwhile may be visited or not.
    ///
    /// ```
    /// use tidegate_core::map::Cursor;
    /// use tidegate_core::{Budget, Domain, Instant, Map, SeededState};
    ///
    /// let domain = Domain::new();
    /// let map = Map::with(&domain, SeededState::new(0x5eed));
    /// let mut worker = domain.worker();
    /// map.insert("alice", 1, worker.quiescent(Instant::ORIGIN))?;
    ///
    /// let (mut cursor, mut sum) = (Cursor::START, 0);
    /// loop {
    ///     let guard = worker.quiescent(Instant::ORIGIN); // none is kept between the steps
    ///     cursor = map.scan(cursor, Budget::entries(16), |_, value| sum += value, guard);
    ///     if cursor == Cursor::START {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(sum, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan<'g>(
        &'g self,
        cursor: Cursor,
        budget: Budget,
        mut f: impl FnMut(&'g K, &'g V),
        guard: &'g Guard,
    ) -> Cursor {
        self.scan_entries(cursor, budget, |entry| f(&entry.key, &entry.value), guard)
    }

    /// Visits entries as [`scan`](Self::scan) does.
    pub(crate) fn scan_entries<'g>(
        &'g self,
        mut cursor: Cursor,
        budget: Budget,
        mut f: impl FnMut(&'g Entry<K, V>),
        guard: &'g Guard,
    ) -> Cursor {
        self.limbo.admit(guard);
        let mut left = budget;
        while left.get() > 0 {
            let table = self.table(guard);
            self.help(table, guard);
            let Some(snapshot) = table.snapshot(cursor.bucket(table.mask()), guard) else {
                continue;
            };
            // SAFETY: taken under the guard.
            let visited = unsafe { snapshot.each(&mut f) };
            left = left.less(visited.max(1));
            cursor = cursor.next(table.mask());
            if cursor == Cursor::START {
                break;
            }
        }
        cursor
    }

    /// Iterates over every entry, as [`scan`](Self::scan) visits them.
    pub fn iter<'g>(&'g self, guard: &'g Guard) -> Iter<'g, K, V, S> {
        self.limbo.admit(guard);
        Iter { map: self, guard, cursor: Some(Cursor::START), bucket: alloc::vec::Vec::new() }
    }
}

/// An iterator over the entries of a [`Map`]. It allocates room for one bucket.
pub struct Iter<'g, K: Send + 'static, V: Send + 'static, S> {
    map: &'g Map<K, V, S>,
    guard: &'g Guard,
    cursor: Option<Cursor>,
    bucket: alloc::vec::Vec<&'g Entry<K, V>>,
}

impl<'g, K: Send + 'static, V: Send + 'static, S> Iter<'g, K, V, S> {
    /// Returns the next entry.
    pub(crate) fn next_entry(&mut self) -> Option<&'g Entry<K, V>> {
        while self.bucket.is_empty() {
            let bucket = &mut self.bucket;
            let visit = |entry| bucket.push(entry);
            let next = self.map.scan_entries(self.cursor?, Budget::entries(1), visit, self.guard);
            self.cursor = (next != Cursor::START).then_some(next);
        }
        self.bucket.pop()
    }
}

impl<'g, K: Send + 'static, V: Send + 'static, S> Iterator for Iter<'g, K, V, S> {
    type Item = (&'g K, &'g V);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().map(|entry| (&entry.key, &entry.value))
    }
}

impl<K: Send + 'static, V: Send + 'static, S> core::fmt::Debug for Iter<'_, K, V, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Iter").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
