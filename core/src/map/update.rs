//! Changing what a key stands for.

use core::borrow::Borrow;
use core::convert::Infallible;
use core::hash::{BuildHasher, Hash};
use core::ptr::NonNull;

use super::node::{Entry, Item};
use super::resize::CROWDED;
use super::table::Table;
use super::tail::{NO_TAIL, NewEntry, Tail};
use super::word::Word;
use super::{BLOCK_MAX, InsertError, Map, MapError};
use crate::reclaim::Guard;
use crate::sync::{Ordering, prefetch};

/// What happened to an entry that was to be inserted.
pub(crate) enum Upserted<'g, K, V, R> {
    /// It was not inserted, because the one that is there was accepted. This holds the rejected key
    /// and value.
    Kept(R, (K, V)),
    /// It was inserted, in place of another if there was one.
    Inserted(&'g Entry<K, V>, Option<&'g Entry<K, V>>),
}

/// A key and value on their way in, which come back whatever happens.
type Returned<K, V> = (MapError, NewEntry<K, V>);

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// Inserts a value, and returns the one it replaces. The call allocates: see [`Map`].
    ///
    /// # Errors
    ///
    /// Fails with any [`MapError`], and hands key and value back.
    pub fn insert<'g>(
        &'g self,
        key: K,
        value: V,
        guard: &'g Guard,
    ) -> Result<Option<&'g V>, InsertError<(K, V)>> {
        self.limbo.admit(guard);
        let hash = self.hash(&key);
        match self.upsert(hash, key, value, NO_TAIL, guard, |_, _| None::<Infallible>)? {
            Upserted::Inserted(_, replaced) => Ok(replaced.map(|entry| &entry.value)),
            Upserted::Kept(never, _) => match never {},
        }
    }

    /// Returns the value of a key, or inserts what `make` makes if there is none. If another thread
    /// inserts a value meanwhile, that is returned, and what was made is dropped.
    ///
    /// # Errors
    ///
    /// Fails with any [`MapError`], and hands the key back.
    pub fn get_or_insert_with<'g>(
        &'g self,
        key: K,
        make: impl FnOnce() -> V,
        guard: &'g Guard,
    ) -> Result<&'g V, InsertError<K>> {
        self.limbo.admit(guard);
        let hash = self.hash(&key);
        if let Some(entry) = self.find(hash, &key, guard) {
            return Ok(&entry.value);
        }
        match self.upsert(hash, key, make(), NO_TAIL, guard, |kept, _| kept) {
            Ok(Upserted::Kept(value, _)) => Ok(value),
            Ok(Upserted::Inserted(entry, _)) => Ok(&entry.value),
            Err(InsertError { error, value: (key, _) }) => Err(InsertError { error, value: key }),
        }
    }

    /// Replaces the value of a key by what `change` makes of it, and returns the new one. Returns
    /// `None` if there is none. `change` is called again if another thread changed the value
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Fails with any [`MapError`].
    pub fn update<'g, Q>(
        &'g self,
        key: &Q,
        mut change: impl FnMut(&V) -> V,
        guard: &'g Guard,
    ) -> Result<Option<&'g V>, MapError>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
    {
        self.limbo.admit(guard);
        let hash = self.hash(key);
        while let Some(old) = self.find(hash, key, guard) {
            let (key, value) = (old.key.clone(), change(&old.value));
            let new = NewEntry::new(hash, key, value, NO_TAIL, self.tail)
                .map_err(|_| MapError::OutOfMemory)?;
            // Only in place of the very one that was read.
            let is_old = |entry: &Entry<K, V>| core::ptr::eq(entry, old);
            if self.exchange(hash, is_old, Some(new.address()), guard)? {
                // SAFETY: published just now, under the guard.
                return Ok(Some(unsafe { &(*new.publish().as_ptr()).value }));
            }
        }
        Ok(None)
    }

    /// Removes a key, and returns its value. The call allocates a block if more than two entries
    /// share the bucket: see [`Map`].
    ///
    /// # Errors
    ///
    /// Fails with any [`MapError`]; the entry is then still there.
    pub fn remove<'g, Q>(&'g self, key: &Q, guard: &'g Guard) -> Result<Option<&'g V>, MapError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.remove_if(key, |_, _| true, guard)
    }

    /// Removes a key if `doomed` says so of its entry, and returns its value.
    ///
    /// The entry that is removed is the very one that `doomed` was shown. If values are changed in
    /// place, `doomed` must *kill* the value by one compare-exchange on the value's own word. After
    /// that, a thread that finds the value can tell that it is dead. `doomed` returns `true` if the
    /// value is dead already. Then no change can be lost between the answer and the removal.
    ///
    /// # Errors
    ///
    /// Fails with any [`MapError`]; the entry is then still there, killed or not.
    pub fn remove_if<'g, Q>(
        &'g self,
        key: &Q,
        mut doomed: impl FnMut(&K, &V) -> bool,
        guard: &'g Guard,
    ) -> Result<Option<&'g V>, MapError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.limbo.admit(guard);
        let hash = self.hash(key);
        loop {
            let table = self.table(guard);
            let word = self.settle(table, hash, guard)?;
            if word.is_frozen() {
                continue;
            }
            // SAFETY: read under the guard.
            let found = unsafe { word.find(hash, |held| held.borrow() == key) };
            let Some(entry) = found.filter(|entry| doomed(&entry.key, &entry.value)) else {
                return Ok(None);
            };
            let leaves = |held: NonNull<Entry<K, V>>| core::ptr::eq(held.as_ptr(), entry);
            if self.replace_word(table, hash, word, leaves, None, guard)? {
                self.help(table, guard);
                self.resize(table, self.count.sub(hash), false, guard);
                return Ok(Some(&entry.value));
            }
        }
    }

    /// Inserts an entry, unless `accept` prefers what is there. `accept` is shown the entry that is
    /// there, if any, and the newcomer. As many words of `tail` as the map has are put behind it.
    pub(crate) fn upsert<'g, R>(
        &'g self,
        hash: usize,
        key: K,
        value: V,
        tail: Tail,
        guard: &'g Guard,
        accept: impl FnMut(Option<&'g V>, &mut V) -> Option<R>,
    ) -> Result<Upserted<'g, K, V, R>, InsertError<(K, V)>> {
        // The bucket is being fetched while the entry is made.
        prefetch(self.table(guard).bucket(hash));
        let rejected = |error, value| InsertError { error, value };
        let entry = NewEntry::new(hash, key, value, tail, self.tail)
            .map_err(|parts| rejected(MapError::OutOfMemory, parts))?;
        self.place(hash, entry, guard, accept)
            .map_err(|(error, entry)| rejected(error, entry.into_parts()))
    }

    fn place<'g, R>(
        &'g self,
        hash: usize,
        mut new: NewEntry<K, V>,
        guard: &'g Guard,
        mut accept: impl FnMut(Option<&'g V>, &mut V) -> Option<R>,
    ) -> Result<Upserted<'g, K, V, R>, Returned<K, V>> {
        loop {
            let table = self.table(guard);
            let word = match self.settle(table, hash, guard) {
                Ok(word) => word,
                Err(error) => return Err((error, new)),
            };
            if word.is_frozen() {
                continue;
            }
            // SAFETY: read under the guard.
            let found = unsafe { word.find(hash, |held| *held == new.get().key) };
            let newcomer = &mut new.get_mut().value;
            if let Some(kept) = accept(found.map(|found| &found.value), newcomer) {
                return Ok(Upserted::Kept(kept, new.into_parts()));
            }
            let leaves = |held: NonNull<Entry<K, V>>| {
                found.is_some_and(|found| core::ptr::eq(held.as_ptr(), found))
            };
            match self.replace_word(table, hash, word, leaves, Some(new.address()), guard) {
                Ok(true) => {
                    // SAFETY: published just now, under the guard.
                    let entry: &'g Entry<K, V> = unsafe { new.publish().as_ref() };
                    if found.is_none() {
                        let crowded = word.is_crowded();
                        self.resize(table, self.count.add(hash), crowded, guard);
                    }
                    self.help(table, guard);
                    return Ok(Upserted::Inserted(entry, found));
                }
                Ok(false) => {}
                Err(error) => return Err((error, new)),
            }
        }
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Takes this very entry out, if it is still there. No code of the user's is called.
    pub(crate) fn remove_entry(
        &self,
        hash: usize,
        entry: &Entry<K, V>,
        guard: &Guard,
    ) -> Result<bool, MapError> {
        let removed = self.exchange(hash, |held| core::ptr::eq(held, entry), None, guard)?;
        if removed {
            self.resize(self.table(guard), self.count.sub(hash), false, guard);
        }
        Ok(removed)
    }

    /// Puts `new`, or nothing, in the place of an entry, if that is still there.
    fn exchange(
        &self,
        hash: usize,
        is_old: impl Fn(&Entry<K, V>) -> bool,
        new: Option<NonNull<Entry<K, V>>>,
        guard: &Guard,
    ) -> Result<bool, MapError> {
        loop {
            let table = self.table(guard);
            let word = self.settle(table, hash, guard)?;
            if word.is_frozen() {
                continue;
            }
            let mut single = None;
            // SAFETY: read under the guard.
            let items = unsafe { word.items(&mut single) };
            // SAFETY: read under the guard.
            let leaves = |held: NonNull<Entry<K, V>>| is_old(unsafe { held.as_ref() });
            if !items.iter().any(|item| leaves(item.entry)) {
                return Ok(false);
            }
            if self.replace_word(table, hash, word, leaves, new, guard)? {
                self.help(table, guard);
                return Ok(true);
            }
        }
    }

    /// Replaces a bucket's word by one without the entries that leave and with a new entry, and
    /// retires what is then in no word. Returns `false` if another thread was faster.
    ///
    /// The word is one that [`settle`](Self::settle) returned under this guard.
    #[inline]
    pub(super) fn replace_word(
        &self,
        table: Table<'_, K, V>,
        hash: usize,
        word: Word<K, V>,
        leaves: impl Fn(NonNull<Entry<K, V>>) -> bool,
        new: Option<NonNull<Entry<K, V>>>,
        guard: &Guard,
    ) -> Result<bool, MapError> {
        let single = word.as_single();
        if word.as_block().is_some() || single.is_some_and(|single| !leaves(single)) {
            return self.replace_several(table, hash, word, leaves, new, guard);
        }
        // Nothing stays, and neither word has a block, as in most buckets.
        let garbage = usize::from(single.is_some());
        self.limbo.reserve(garbage)?;
        let replacement = new.map_or(Word::EMPTY, Word::single);
        if !table.exchange_word(hash, word, replacement) {
            self.limbo.give_back(garbage);
            return Ok(false);
        }
        if let Some(old) = single {
            // SAFETY: reserved for. This thread took it out of its only word: `settle` ensured that
            // no word of the table before shows it any more.
            unsafe { self.limbo.retire([Entry::header(old)], guard) };
        }
        Ok(true)
    }

    /// Does what [`replace_word`](Self::replace_word) does, whatever stays.
    #[inline(never)]
    fn replace_several(
        &self,
        table: Table<'_, K, V>,
        hash: usize,
        word: Word<K, V>,
        leaves: impl Fn(NonNull<Entry<K, V>>) -> bool,
        new: Option<NonNull<Entry<K, V>>>,
        guard: &Guard,
    ) -> Result<bool, MapError> {
        let mut single = None;
        // SAFETY: read under the guard.
        let items = unsafe { word.items(&mut single) };
        let stays = || items.iter().filter(|item| !leaves(item.entry));
        let staying = stays().count();
        if new.is_some() && staying == items.len() && staying >= BLOCK_MAX {
            return Err(MapError::HashFlood);
        }
        let garbage = items.len() - staying + usize::from(word.block().is_some());
        self.limbo.reserve(garbage)?;
        let added = new.map(|entry| Item { hash, entry });
        let gathered =
            Word::gather(staying + usize::from(new.is_some()), stays().copied().chain(added));
        let replacement = match gathered {
            Ok(replacement) => replacement,
            Err(error) => {
                self.limbo.give_back(garbage);
                return Err(error.into());
            }
        };
        if !table.exchange_word(hash, word, replacement) {
            // SAFETY: not published.
            unsafe { replacement.discard() };
            self.limbo.give_back(garbage);
            return Ok(false);
        }
        let left = items.iter().filter(|item| leaves(item.entry));
        let left = left.map(|item| Entry::header(item.entry));
        // SAFETY: reserved for. This thread took them out of their only word: `settle` ensured that
        // no word of the table before shows them any more. `items` is not used after.
        unsafe { self.limbo.retire(left.chain(word.block()), guard) };
        Ok(true)
    }
}

impl<K, V> Table<'_, K, V> {
    /// Replaces a bucket's word, unless another thread was faster.
    #[inline]
    fn exchange_word(self, hash: usize, word: Word<K, V>, replacement: Word<K, V>) -> bool {
        // Release: publishes entry and block. Acquire: the word may have been another's in between
        // and then the same again. What came before the change that made it so is then seen, too,
        // even by a leader after another that it never met. A thread that read an entry's hash in
        // the meantime cannot have read the link that this exchange puts there. It would have read
        // it after this exchange, and before one that it follows. Relaxed: the word is loaded anew.
        let replaced = self.bucket(hash).compare_exchange(
            word.0,
            replacement.0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        replaced.is_ok()
    }
}

impl<K, V> Word<K, V> {
    /// Returns whether there are far more entries than a table of the right size would have.
    fn is_crowded(self) -> bool {
        let mut single = None;
        // SAFETY: read under the caller's guard, and a retired block is still there.
        unsafe { self.items(&mut single) }.len() >= CROWDED
    }
}
