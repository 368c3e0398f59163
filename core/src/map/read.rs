//! Looking keys up.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::ptr::NonNull;

use super::Map;
use super::node::Entry;
use super::table::Table;
use super::word::Word;
use crate::reclaim::Guard;
use crate::sync::{Ordering, prefetch};

/// How many keys are looked up side by side: enough to keep the memory busy, few enough that what
/// was fetched first is still there at the end.
pub(crate) const GROUP: usize = 32;

/// A table of up to this many buckets is taken to be in the cache, with most of what it points at.
const CACHED: usize = if cfg!(loom) { 1 } else { 1 << 16 };

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// Returns the value of a key. The call writes nothing.
    #[inline]
    pub fn get<'g, Q>(&'g self, key: &Q, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key, guard).map(|(_, value)| value)
    }

    /// Returns the value of a key, with the key that the map holds.
    #[inline]
    pub fn get_key_value<'g, Q>(&'g self, key: &Q, guard: &'g Guard) -> Option<(&'g K, &'g V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.limbo.admit(guard);
        let entry = self.find(self.hash(key), key, guard)?;
        Some((&entry.key, &entry.value))
    }

    /// Returns whether there is a value for a key.
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key, guard).is_some()
    }

    /// Returns the values of many keys, each as [`get`](Self::get) returns it at some moment within
    /// the call.
    ///
    /// Where memory is the limit, this is faster than one by one. What is needed for the next key
    /// is fetched while this one is looked at.
    ///
    /// # Panics
    ///
    /// Panics if `values` is shorter than `keys`.
    ///
    /// ```
    /// use tidegate_core::{Domain, Instant, Map, SeededState};
    ///
    /// let domain = Domain::new();
    /// let map = Map::with(&domain, SeededState::new(0x5eed));
    /// let mut worker = domain.worker();
    /// let guard = worker.quiescent(Instant::ORIGIN);
    /// map.insert(7, "seven", guard)?;
    ///
    /// let mut values = [None; 2];
    /// map.get_many(&[7, 8], &mut values, guard);
    /// assert_eq!(values, [Some(&"seven"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<'g, Q>(&'g self, keys: &[Q], values: &mut [Option<&'g V>], guard: &'g Guard)
    where
        K: Borrow<Q>,
        Q: Hash + Eq,
    {
        self.limbo.admit(guard);
        assert!(values.len() >= keys.len(), "get_many: fewer values than keys");
        for (keys, values) in keys.chunks(GROUP).zip(values.chunks_mut(GROUP)) {
            let mut values = values.iter_mut();
            self.find_group(keys.iter(), guard, |_, entry| {
                if let Some(value) = values.next() {
                    *value = entry.map(|entry| &entry.value);
                }
            });
        }
    }

    /// Looks up to [`GROUP`] keys up side by side, and hands out each one's hash and entry in
    /// order.
    #[inline(always)]
    pub(crate) fn find_group<'g, 'k, Q>(
        &'g self,
        keys: impl ExactSizeIterator<Item = &'k Q> + Clone,
        guard: &'g Guard,
        mut f: impl FnMut(usize, Option<&'g Entry<K, V>>),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'k,
    {
        let table = self.table(guard);
        if table.mask() < CACHED {
            // There is nothing to wait for.
            for key in keys {
                let hash = self.hash(key);
                f(hash, self.find(hash, key, guard));
            }
            return;
        }
        let len = keys.len().min(GROUP);
        let mut hashes = [0; GROUP];
        for (key, hash) in keys.clone().zip(&mut hashes) {
            *hash = self.hash(key);
            prefetch(table.bucket(*hash));
        }
        let mut words: [Word<K, V>; GROUP] = [Word::EMPTY; GROUP];
        for (&hash, word) in hashes[..len].iter().zip(&mut words) {
            // Acquire: pairs with the exchange that published what the word points at.
            *word = Word::new(table.bucket(hash).load(Ordering::Acquire));
            prefetch(word.first());
        }
        // The entry that is likely to be the key's, so that what follows takes no branch that
        // cannot be predicted.
        let mut likely: [Option<NonNull<Entry<K, V>>>; GROUP] = [None; GROUP];
        for ((&hash, word), likely) in hashes[..len].iter().zip(words).zip(&mut likely) {
            // SAFETY: read under the guard.
            *likely = unsafe { word.likely(hash) };
            if let Some(entry) = likely {
                prefetch(entry.as_ptr());
            }
        }
        for (((key, hash), word), likely) in keys.zip(hashes).zip(words).zip(likely) {
            // SAFETY: read under the guard: a word lives no longer than its entries.
            let likely = likely.map(|entry| unsafe { entry.as_ref() });
            let entry = match likely {
                Some(entry) if entry.key.borrow() == key => {
                    entry.read();
                    likely
                }
                _ if word.is_uninit() || word.is_moved() => self.find(hash, key, guard),
                // SAFETY: read under the guard.
                _ => unsafe { word.find(hash, |entry| entry.borrow() == key) },
            };
            f(hash, entry);
        }
    }

    /// Returns the entry of a key.
    #[inline(always)]
    pub(crate) fn find<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let table = self.table(guard);
        // Acquire: pairs with the exchange that published what the word points at.
        let mut word = Word::new(table.bucket(hash).load(Ordering::Acquire));
        if word.is_uninit() || word.is_moved() {
            word = self.elsewhere(hash, guard);
        }
        let is_key = |entry: &K| entry.borrow() == key;
        if table.mask() < CACHED {
            // SAFETY: read under the guard.
            return unsafe { word.find_unguessed(hash, is_key) };
        }
        // SAFETY: read under the guard.
        unsafe { word.find(hash, is_key) }
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// Returns the entry of a key, if it is not dead. A thread that kills an entry to take its
    /// place has put its own there before. So an entry that is found dead twice was not replaced.
    /// `is_dead` must see what came before the killing.
    #[inline(always)]
    pub(crate) fn find_live<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        is_dead: impl Fn(&V) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut found = self.find(hash, key, guard)?;
        while is_dead(&found.value) {
            let again = self.find(hash, key, guard);
            found = again.filter(|next| !core::ptr::eq(*next, found))?;
        }
        Some(found)
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Fetches the bucket of a hash.
    #[inline]
    pub(crate) fn fetch_bucket(&self, hash: usize, guard: &Guard) {
        prefetch(self.table(guard).bucket(hash));
    }

    /// Fetches what that bucket points at.
    #[inline]
    pub(crate) fn fetch_entry(&self, hash: usize, guard: &Guard) {
        // Relaxed: nothing is read there.
        let word = self.table(guard).bucket(hash).load(Ordering::Relaxed);
        prefetch(Word::<K, V>::new(word).first());
    }

    /// Finds an entry by its hash, of which only the bits of `known` are given, and by its value.
    /// Returns it with the whole hash.
    ///
    /// No table may have more buckets than the bits distinguish.
    pub(crate) fn find_by<'g>(
        &'g self,
        hash: usize,
        known: usize,
        is_it: impl Fn(&V) -> bool,
        guard: &'g Guard,
    ) -> Option<(usize, &'g Entry<K, V>)> {
        let mut word = self.elsewhere(hash, guard);
        loop {
            let mut single = None;
            // SAFETY: read under the guard.
            let items = unsafe { word.items(&mut single) };
            let alike = items.iter().filter(|item| item.hash & known == hash & known);
            let found = alike.into_iter().find_map(|item| {
                // SAFETY: read under the guard; of a block, whose bucket is the hash's.
                let entry = unsafe { item.entry.as_ref() };
                entry.read();
                is_it(&entry.value).then_some((item.hash, entry))
            });
            if found.is_some() {
                return found;
            }
            // The hash of a retired entry may be gone: then another word is there.
            let again = self.elsewhere(hash, guard);
            if again.0 == word.0 {
                return None;
            }
            word = again;
        }
    }

    /// Returns the word that decides about a hash, while tables are replaced.
    #[cold]
    #[inline(never)]
    fn elsewhere<'g>(&'g self, hash: usize, guard: &'g Guard) -> Word<K, V> {
        loop {
            let word = self.table(guard).word(hash);
            if !word.is_moved() {
                return word;
            }
            // The table is an old one. The thread that moved the word had seen a newer one, and so
            // will this one.
        }
    }
}

impl<K, V> Table<'_, K, V> {
    /// Returns the word that decides about a hash: here, or in the table before if it has not come
    /// here yet. It is moved only if this table is an old one itself.
    pub(super) fn word(self, hash: usize) -> Word<K, V> {
        // Acquire: pairs with the exchange that published what the word points at.
        let word = Word::new(self.bucket(hash).load(Ordering::Acquire));
        if !word.is_uninit() {
            return word;
        }
        // Acquire: pairs with the end of the migration, which every bucket's coming precedes.
        let before = self.before.load(Ordering::Acquire);
        if let Some(before) = NonNull::new(before) {
            // SAFETY: retired only after it was unlinked here: alive under the caller's guard.
            let before = unsafe { Table::new(before) };
            before.read();
            // Acquire: as for a word of this table, or with its moving, which its coming precedes.
            let source = Word::new(before.bucket(hash).load(Ordering::Acquire));
            if !source.is_moved() {
                return source;
            }
        }
        // Acquire, beyond loom: as above. It has come meanwhile. Mostly the thread that moved the
        // source filled it, too, and that load has given the same order. With another thread in
        // between it takes three threads and more interruptions than the models can afford.
        Word::new(self.bucket(hash).load(Ordering::Acquire))
    }
}
