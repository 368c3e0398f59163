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

/// A table of up to so many buckets is taken to be in the cache, with most of what it points at.
const CACHED: usize = if cfg!(loom) { 1 } else { 1 << 16 };

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// The value of a key. Writes nothing.
    #[inline]
    pub fn get<'g, Q>(&'g self, key: &Q, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_key_value(key, guard).map(|(_, value)| value)
    }

    /// The same, with the key that the map holds.
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

    /// Whether there is a value for a key.
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key, guard).is_some()
    }

    /// The values of many keys, each as [`get`](Self::get) at some moment within the call. Faster
    /// than one by one where memory is the limit: what is needed for the next key is fetched while
    /// this one is looked at.
    ///
    /// # Panics
    ///
    /// If `values` is shorter than `keys`.
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

    /// Looks up to [`GROUP`] keys up side by side, and hands out each one's hash and entry in order.
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
        // Who is likely to be it: so that what follows asks nothing that nobody can foresee.
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

    /// The entry of a key.
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
        // SAFETY: as above.
        unsafe { word.find(hash, is_key) }
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// The entry of a key, if it is not dead. Whoever kills an entry whose place he has taken is there
    /// before it is dead, so one that is found dead twice was not replaced; `is_dead` must see what came
    /// before the killing.
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
    /// Has the bucket of a hash fetched.
    #[inline]
    pub(crate) fn fetch_bucket(&self, hash: usize, guard: &Guard) {
        prefetch(self.table(guard).bucket(hash));
    }

    /// Has what that bucket points at fetched.
    #[inline]
    pub(crate) fn fetch_entry(&self, hash: usize, guard: &Guard) {
        // Relaxed: nothing is read there.
        let word = self.table(guard).bucket(hash).load(Ordering::Relaxed);
        prefetch(Word::<K, V>::new(word).first());
    }

    /// An entry that is told by its hash, of which only the bits of `known` are, and its value; with the
    /// whole hash.
    ///
    /// No table may have more buckets than the bits tell apart.
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
                // SAFETY: as above; of a block, whose bucket is the hash's.
                let entry = unsafe { item.entry.as_ref() };
                entry.read();
                is_it(&entry.value).then_some((item.hash, entry))
            });
            if found.is_some() {
                return found;
            }
            // Of an entry that was retired the hash may be gone: then another word is there.
            let again = self.elsewhere(hash, guard);
            if again.0 == word.0 {
                return None;
            }
            word = again;
        }
    }

    /// The word that decides about a hash, while tables are replaced.
    #[cold]
    #[inline(never)]
    fn elsewhere<'g>(&'g self, hash: usize, guard: &'g Guard) -> Word<K, V> {
        loop {
            let word = self.table(guard).word(hash);
            if !word.is_moved() {
                return word;
            }
            // The table is an old one. Whoever moved the word had seen a newer, and so shall we.
        }
    }
}

impl<K, V> Table<'_, K, V> {
    /// The word that decides about a hash: here, or in the table before if it has not come here
    /// yet. Moved only if this table is an old one itself.
    pub(super) fn word(self, hash: usize) -> Word<K, V> {
        // Acquire: pairs with the exchange that published what the word points at.
        let word = Word::new(self.bucket(hash).load(Ordering::Acquire));
        if !word.is_uninit() {
            return word;
        }
        // Acquire: pairs with the end of the migration, which every bucket's coming precedes.
        let before = self.before.load(Ordering::Acquire);
        if let Some(before) = NonNull::new(before) {
            // SAFETY: retired only after it was unlinked here: alive under the guard of our caller.
            let before = unsafe { Table::new(before) };
            before.read();
            // Acquire: as for a word of this table, or with its moving, which its coming precedes.
            let source = Word::new(before.bucket(hash).load(Ordering::Acquire));
            if !source.is_moved() {
                return source;
            }
        }
        // Acquire, beyond loom: as above. It has come meanwhile. Mostly the one who moved the source
        // filled it, too, and that load has ordered the same; with another in between it takes three
        // threads and more interruptions than the models can afford.
        Word::new(self.bucket(hash).load(Ordering::Acquire))
    }
}
