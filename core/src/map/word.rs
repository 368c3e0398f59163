//! The word that is a bucket.
//!
//! | word | |
//! |---|---|
//! | `null` | not migrated yet: what belongs here is still in the table before |
//! | `null`, `BLOCK` | empty |
//! | an entry | the one entry there is |
//! | a block, `BLOCK` | its entries |
//! | any but the first, `FROZEN` | the same content, for good: it is being migrated |
//! | `null`, `FROZEN` | moved: all of it is in the table after |

use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

use super::farewell::Farewell;
use super::node::{Block, Entry, Item};
use crate::reclaim::{Header, OutOfMemory};

const FROZEN: usize = 0b001;
const BLOCK: usize = 0b010;
/// Distinguishes tables among what is retired; never in a bucket.
pub(super) const TABLE: usize = 0b100;
pub(super) const TAGS: usize = 0b111;

const _: () = assert!(align_of::<Header>() > TAGS);

/// What a bucket's word held.
pub(super) struct Word<K, V>(pub(super) *mut Header, PhantomData<*const Entry<K, V>>);

impl<K, V> Clone for Word<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Word<K, V> {}

impl<K, V> Word<K, V> {
    pub(super) const EMPTY: Self = Self::new(null_mut::<Header>().wrapping_byte_add(BLOCK));
    pub(super) const MOVED: Self = Self::new(null_mut::<Header>().wrapping_byte_add(FROZEN));

    #[inline(always)]
    pub(super) const fn new(word: *mut Header) -> Self {
        Self(word, PhantomData)
    }

    pub(super) fn single(entry: NonNull<Entry<K, V>>) -> Self {
        Self::new(Entry::header(entry))
    }

    /// Makes a word for `len` entries.
    pub(super) fn gather(
        len: usize,
        mut items: impl Iterator<Item = Item<K, V>>,
    ) -> Result<Self, OutOfMemory> {
        match len {
            0 => Ok(Self::EMPTY),
            1 => Ok(items.next().map_or(Self::EMPTY, |item| Self::single(item.entry))),
            _ => {
                let block = Block::new(len, items)?.as_ptr().cast::<Header>();
                Ok(Self::new(block.map_addr(|address| address | BLOCK)))
            }
        }
    }

    #[inline(always)]
    pub(super) fn is_uninit(self) -> bool {
        self.0.is_null()
    }

    pub(super) fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    #[inline(always)]
    pub(super) fn is_moved(self) -> bool {
        self.0.addr() == FROZEN
    }

    pub(super) fn frozen(self) -> Self {
        Self::new(self.0.map_addr(|address| address | FROZEN))
    }

    #[inline(always)]
    fn is_block(self) -> bool {
        self.0.addr() & BLOCK != 0
    }

    #[inline(always)]
    fn target(self) -> *mut Header {
        self.0.map_addr(|address| address & !TAGS)
    }

    /// Returns whether the word points at nothing.
    #[inline]
    pub(super) fn is_vacant(self) -> bool {
        self.target().is_null()
    }

    /// Returns the address that is read first: of the entry, where there is just one, or of the
    /// block. It takes no branch, because none could be predicted.
    #[inline(always)]
    pub(super) fn first(self) -> *const u8 {
        let single = usize::from(!self.is_block());
        self.target().cast::<u8>().wrapping_sub(single * Entry::<K, V>::HEADER)
    }

    /// Returns the entry, if there is just one.
    #[inline(always)]
    pub(super) fn as_single(self) -> Option<NonNull<Entry<K, V>>> {
        if self.is_block() { None } else { Entry::of_header(self.target()) }
    }

    #[inline(always)]
    pub(super) fn as_block(self) -> Option<NonNull<Block<K, V>>> {
        if self.is_block() { NonNull::new(self.target().cast()) } else { None }
    }

    /// Returns what the word points at and is to be retired with it. It is never an entry.
    pub(super) fn block(self) -> Option<*mut Header> {
        self.as_block().map(|block| block.as_ptr().cast::<Header>().map_addr(|at| at | BLOCK))
    }

    /// Returns all items listed. `single` lends room for a word without a block.
    ///
    /// # Safety
    ///
    /// The word was read under a guard that outlives the answer.
    pub(super) unsafe fn items(self, single: &mut Option<Item<K, V>>) -> &[Item<K, V>] {
        if let Some(block) = self.as_block() {
            // SAFETY: by the caller's promise.
            return unsafe { Block::items(block) };
        }
        *single = self.as_single().map(Item::of);
        single.as_slice()
    }

    /// Returns the entry of a key.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    pub(super) unsafe fn find<'g>(
        self,
        hash: usize,
        is_key: impl Fn(&K) -> bool,
    ) -> Option<&'g Entry<K, V>> {
        if let Some(entry) = self.as_single() {
            // SAFETY: by the caller's promise.
            let entry = unsafe { entry.as_ref() };
            entry.read();
            // The hash is not looked at: it may be gone, and the key is on the same line.
            return if is_key(&entry.key) { Some(entry) } else { None };
        }
        // SAFETY: by the caller's promise.
        let item = unsafe { self.candidate(hash) }?;
        // SAFETY: by the caller's promise.
        unsafe { self.verify(item, hash, is_key) }
    }

    /// Returns the entry of a key without guessing whether there is one entry or a block, which
    /// only the word can tell. Where everything is in the cache, a wrong guess costs more than
    /// waiting for the word.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    pub(super) unsafe fn find_unguessed<'g>(
        self,
        hash: usize,
        is_key: impl Fn(&K) -> bool,
    ) -> Option<&'g Entry<K, V>> {
        let target = NonNull::new(self.target())?;
        if let Some(block) = self.as_block() {
            // SAFETY: by the caller's promise.
            unsafe { block.as_ref() }.read();
        }
        // As if the entry were listed under the hash that is asked for.
        let entry = NonNull::new(self.first().cast_mut()).unwrap_or(NonNull::dangling());
        let single = Item { hash, entry: entry.cast() };
        let items = [&raw const single, Block::first(target.cast()).cast_const()];
        let item = items[usize::from(self.is_block())];
        // SAFETY: of the two, the one that is there; a block is by the caller's promise.
        let second = unsafe { (*item).hash } != hash;
        // SAFETY: as for `second`. It is not the only one, and every block has two.
        let item = unsafe { &*item.wrapping_add(usize::from(second)) };
        // SAFETY: by the caller's promise.
        unsafe { self.verify(item, hash, is_key) }
    }

    /// Returns the entry of a key: mostly that of the one item that is likely to be the key's.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    unsafe fn verify<'g>(
        self,
        item: &Item<K, V>,
        hash: usize,
        is_key: impl Fn(&K) -> bool,
    ) -> Option<&'g Entry<K, V>> {
        if item.hash == hash {
            // SAFETY: by the caller's promise: a block lives no longer than its entries.
            let entry = unsafe { item.entry.as_ref() };
            entry.read();
            if is_key(&entry.key) {
                return Some(entry);
            }
        }
        // SAFETY: by the caller's promise.
        unsafe { self.search(hash, is_key) }
    }

    /// Returns the item that is likely to be a hash's, where a block lists several.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    pub(super) unsafe fn candidate<'g>(self, hash: usize) -> Option<&'g Item<K, V>> {
        // SAFETY: by the caller's promise.
        let pair = unsafe { Block::pair(self.as_block()?) };
        // Of two items, the right one at once: no branch could be predicted.
        Some(&pair[usize::from(pair[0].hash != hash)])
    }

    /// Returns the entry that is likely to be a hash's.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    pub(super) unsafe fn likely(self, hash: usize) -> Option<NonNull<Entry<K, V>>> {
        self.as_single().or_else(|| {
            // SAFETY: by the caller's promise.
            let item = unsafe { self.candidate(hash) }?;
            (item.hash == hash).then_some(item.entry)
        })
    }

    /// Returns the entry of a key among all that a block lists.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(never)]
    unsafe fn search<'g>(
        self,
        hash: usize,
        is_key: impl Fn(&K) -> bool,
    ) -> Option<&'g Entry<K, V>> {
        // SAFETY: by the caller's promise.
        let items = unsafe { Block::items(self.as_block()?) };
        items.iter().filter(|item| item.hash == hash).find_map(|item| {
            // SAFETY: by the caller's promise: a block lives no longer than its entries.
            let entry = unsafe { item.entry.as_ref() };
            entry.read();
            is_key(&entry.key).then_some(entry)
        })
    }

    /// Frees what was made for a word that was not published.
    ///
    /// # Safety
    ///
    /// The word was made by [`gather`](Self::gather), and no other thread knows it.
    pub(super) unsafe fn discard(self) {
        if let Some(block) = self.as_block() {
            // SAFETY: by the caller's promise.
            unsafe { Block::free(block) };
        }
    }
}

/// Returns the size of an entry or block that a map retires.
///
/// # Safety
///
/// The object was retired or is about to be, and is not freed.
pub(super) unsafe fn measure<K, V, F: Farewell<K, V>>(object: *mut Header) -> usize {
    let word = Word::<K, V>::new(object);
    if let Some(block) = word.as_block() {
        // SAFETY: by the caller's promise.
        unsafe { block.as_ref() }.measure()
    } else if let Some(entry) = word.as_single() {
        // SAFETY: by the caller's promise.
        F::measure(unsafe { entry.as_ref() })
    } else {
        0
    }
}

/// Frees a retired entry or block.
///
/// # Safety
///
/// The object was retired, and no thread can reach it any more.
pub(super) unsafe fn free<K, V, F: Farewell<K, V>>(object: *mut Header) {
    let word = Word::<K, V>::new(object);
    if let Some(block) = word.as_block() {
        // SAFETY: by the caller's promise.
        unsafe { Block::free(block) };
    } else if let Some(entry) = word.as_single() {
        // SAFETY: by the caller's promise.
        unsafe { F::part(entry) };
    }
}
