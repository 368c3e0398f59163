//! Room for entries before they come.

use super::size::{buckets_for, grown};
use super::table::{Head, Table};
use super::{Map, MapError};
use crate::reclaim::{Domain, Guard};

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Creates a map in `domain` that takes `capacity` entries before its table grows. `hasher`
    /// hashes its keys.
    ///
    /// The call allocates the table, between 11 and 22 bytes for each entry, and writes all of it.
    /// The table never becomes smaller than that, whatever is removed.
    ///
    /// ```
    /// use tidegate_core::{Domain, Map, SeededState};
    ///
    /// let domain = Domain::new();
    /// let map: Map<u64, u64> = Map::with_capacity(&domain, SeededState::new(0x5eed), 10_000);
    /// assert_eq!(map.buckets(&domain.worker().pin()), 16_384);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is no memory: see [`try_with_capacity`](Self::try_with_capacity).
    pub fn with_capacity(domain: &Domain, hasher: S, capacity: usize) -> Self {
        match Self::try_with_capacity(domain, hasher, capacity) {
            Ok(map) => map,
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates a map as [`with_capacity`](Self::with_capacity) does, if there is memory.
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`], also if `capacity` is above 1.6 billion entries, for
    /// which no table is large enough.
    pub fn try_with_capacity(
        domain: &Domain,
        hasher: S,
        capacity: usize,
    ) -> Result<Self, MapError> {
        let buckets = buckets_for(capacity).ok_or(MapError::OutOfMemory)?;
        let map = Self::sized(domain, hasher, buckets)?;
        map.size.keep(buckets);
        Ok(map)
    }

    /// Makes the table large enough for `additional` entries beside those that are there, and keeps
    /// it as large from now on.
    ///
    /// The call makes a table of two or four times the size until one is large enough, and moves all
    /// entries each time, so its cost is that of the growth that it replaces. Other threads read
    /// and change the map meanwhile. Changes help to move the entries, but do not wait for this.
    /// The call is lock-free: it starts a step again only if another thread has replaced the table.
    /// It allocates the tables and as many blocks as the buckets need. The tables before, which
    /// together are no larger than the new one, are garbage when it returns: see
    /// [`reclaim`](crate::reclaim#garbage-is-bounded).
    ///
    /// ```
    /// use tidegate_core::{Domain, Map, SeededState};
    ///
    /// let domain = Domain::new();
    /// let map: Map<u64, u64> = Map::with(&domain, SeededState::new(0x5eed));
    /// let worker = domain.worker();
    /// map.reserve(10_000, &worker.pin())?;
    /// assert_eq!(map.buckets(&worker.pin()), 16_384);
    /// # Ok::<(), tidegate_core::MapError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`], also if there would be more than 1.6 billion entries,
    /// and with [`MapError::Backpressure`]. No entry is lost, and the table may have grown in part;
    /// later changes go on with it.
    pub fn reserve(&self, additional: usize, guard: &Guard) -> Result<(), MapError> {
        self.limbo.admit(guard);
        let entries = self.len().saturating_add(additional);
        let buckets = buckets_for(entries).ok_or(MapError::OutOfMemory)?;
        self.size.keep(buckets);
        loop {
            let table = self.table(guard);
            if table.source(guard).is_some() {
                self.migrate_all(table, guard)?;
            } else if table.len() < buckets {
                self.publish(table, Head::new(grown(table.len()))?);
            } else {
                break;
            }
        }
        self.abandon_next();
        Ok(())
    }

    /// Moves all that has not come to `table` yet, and ends its migration.
    fn migrate_all(&self, table: Table<'_, K, V>, guard: &Guard) -> Result<(), MapError> {
        let Some(before) = table.source(guard) else {
            return Ok(());
        };
        for unit in 0..before.len().min(table.len()) {
            self.migrate(before, table, unit, guard)?;
        }
        self.end_migration(before, table, guard)
    }
}
