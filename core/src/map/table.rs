//! One array of buckets, and the one before it while it fills.

use alloc::alloc::dealloc;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::node::{Item, free_entry};
use super::word::{TABLE, TAGS, Word};
use crate::reclaim::{Header, OutOfMemory, zeroed};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, init_null};

/// A power of two of buckets. They follow it in memory.
#[repr(C)]
pub(super) struct Table<K, V> {
    header: Header,
    mask: usize,
    /// The table whose content comes here, until all of it has.
    pub(super) before: AtomicPtr<Table<K, V>>,
    /// The next unit of `before` to be handed out to whoever helps.
    pub(super) handed_out: AtomicUsize,
    /// So many units, from the first on, have been seen to be moved.
    pub(super) verified: AtomicUsize,
    buckets: PhantomData<Word<K, V>>,
}

impl<K, V> Table<K, V> {
    const BUCKETS: usize = size_of::<Self>().next_multiple_of(align_of::<AtomicPtr<Header>>());

    fn layout(len: usize) -> Option<Layout> {
        let buckets = Layout::array::<AtomicPtr<Header>>(len).ok()?;
        Some(Layout::new::<Self>().extend(buckets).ok()?.0)
    }

    /// A table of `len` buckets, a power of two, none of which is filled yet.
    pub(super) fn new(len: usize, before: *mut Self) -> Result<NonNull<Self>, OutOfMemory> {
        debug_assert!(len.is_power_of_two());
        let layout = Self::layout(len).ok_or(OutOfMemory)?;
        let table = zeroed(layout)?.cast::<Self>();
        let content = Self {
            header: Header::new(0),
            mask: len - 1,
            before: AtomicPtr::new(before),
            handed_out: AtomicUsize::new(0),
            verified: AtomicUsize::new(0),
            buckets: PhantomData,
        };
        // SAFETY: freshly allocated for this.
        unsafe { table.write(content) };
        // SAFETY: within the allocation.
        let first = unsafe { table.cast::<u8>().add(Self::BUCKETS) };
        // SAFETY: the allocation has room for `len` words, zeroed and not used yet.
        unsafe { init_null::<Header>(first.cast().as_ptr(), len) };
        Ok(table)
    }

    /// A table of `len` empty buckets.
    pub(super) fn empty(len: usize) -> Result<NonNull<Self>, OutOfMemory> {
        let table = Self::new(len, core::ptr::null_mut())?;
        for index in 0..len {
            // SAFETY: just made.
            let bucket = unsafe { table.as_ref() }.bucket(index);
            // Relaxed: published with the table.
            bucket.store(Word::<K, V>::EMPTY.0, Ordering::Relaxed);
        }
        Ok(table)
    }

    /// Tells the models that the table is read.
    #[inline(always)]
    pub(super) fn read(&self) {
        self.header.read();
    }

    #[inline(always)]
    pub(super) fn mask(&self) -> usize {
        self.mask
    }

    pub(super) fn len(&self) -> usize {
        self.mask + 1
    }

    /// The bucket at `index`, of which only the bits of the mask count.
    #[inline(always)]
    pub(super) fn bucket(&self, index: usize) -> &AtomicPtr<Header> {
        let table = core::ptr::from_ref(self).cast::<u8>();
        let first = table.wrapping_add(Self::BUCKETS).cast::<AtomicPtr<Header>>();
        // SAFETY: `mask + 1` buckets follow the table in its allocation, as long as it lives.
        unsafe { &*first.wrapping_add(index & self.mask) }
    }

    /// As it is retired.
    pub(super) fn retired(table: NonNull<Self>) -> *mut Header {
        table.as_ptr().cast::<Header>().map_addr(|address| address | TABLE)
    }

    /// Frees a table, and nothing in it.
    ///
    /// # Safety
    ///
    /// Made by [`new`](Self::new), and nobody's any more.
    pub(super) unsafe fn free(table: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let len = unsafe { table.as_ref() }.len();
        // SAFETY: as above.
        unsafe { table.drop_in_place() };
        // Had this layout not existed, `new` would have made no table.
        if let Some(layout) = Self::layout(len) {
            // SAFETY: allocated with this layout. Its words need no drop.
            unsafe { dealloc(table.cast().as_ptr(), layout) };
        }
    }

    /// Frees a table with all that is in it, and the one before with what is only there.
    ///
    /// # Safety
    ///
    /// Made by [`new`](Self::new), and nobody's any more.
    pub(super) unsafe fn free_all(table: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let this = unsafe { table.as_ref() };
        // Relaxed, here and below: the tables are ours alone.
        let before = this.before.load(Ordering::Relaxed);
        if let Some(before) = NonNull::new(before) {
            // SAFETY: not retired, since it is still linked.
            let source = unsafe { before.as_ref() };
            for index in 0..source.len() {
                let word = Word::<K, V>::new(source.bucket(index).load(Ordering::Relaxed));
                // SAFETY: the tables are ours alone; what has arrived in `table` is freed there.
                unsafe {
                    free_bucket(word, |item| {
                        this.bucket(item.hash).load(Ordering::Relaxed).is_null()
                    });
                };
            }
            // SAFETY: as above.
            unsafe { Self::free(before) };
        }
        for index in 0..this.len() {
            let word = Word::<K, V>::new(this.bucket(index).load(Ordering::Relaxed));
            // SAFETY: the table is ours alone.
            unsafe { free_bucket(word, |_| true) };
        }
        // SAFETY: as above.
        unsafe { Self::free(table) };
    }
}

/// Frees what a word points at, and those of its entries that `owns` says are there only.
///
/// # Safety
///
/// All of it is the caller's alone.
unsafe fn free_bucket<K, V>(word: Word<K, V>, owns: impl Fn(&Item<K, V>) -> bool) {
    let mut single = None;
    // SAFETY: by the caller's promise.
    for item in unsafe { word.items(&mut single) } {
        if owns(item) {
            // SAFETY: as above.
            unsafe { free_entry(item.entry) };
        }
    }
    // SAFETY: as above.
    unsafe { word.discard() };
}

/// Frees whatever a map retires.
///
/// # Safety
///
/// It was retired, and nobody can reach it any more.
pub(super) unsafe fn release<K, V>(object: *mut Header) {
    if object.addr() & TAGS == TABLE {
        let table = object.map_addr(|address| address & !TAGS).cast::<Table<K, V>>();
        if let Some(table) = NonNull::new(table) {
            // SAFETY: by the caller's promise.
            unsafe { Table::free(table) };
        }
    } else {
        // SAFETY: by the caller's promise.
        unsafe { super::word::free::<K, V>(object) };
    }
}
