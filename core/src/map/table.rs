//! One array of buckets, and the one before it while it fills.

use alloc::alloc::dealloc;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::{Deref, Range};
use core::ptr::{NonNull, null_mut};

use super::farewell::Farewell;
use super::node::Item;
use super::word::{TABLE, TAGS, Word};
use crate::reclaim::{Header, Kind, OutOfMemory, allocate};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, init_null};

/// A map has no fewer buckets than this.
pub(super) const SMALLEST: usize = if cfg!(loom) { 1 } else { 8 };

/// A table that is alive for `'g`, in the form in which it is passed around. Its buckets follow its
/// head in memory, so a reference to the head would not reach them.
pub(super) struct Table<'g, K, V>(NonNull<Head<K, V>>, PhantomData<&'g Head<K, V>>);

impl<K, V> Clone for Table<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<'_, K, V> {}

impl<K, V> Deref for Table<'_, K, V> {
    type Target = Head<K, V>;

    #[inline(always)]
    fn deref(&self) -> &Head<K, V> {
        // SAFETY: alive for `'g`.
        unsafe { self.0.as_ref() }
    }
}

/// The head of a table. Its buckets follow, and their number is a power of two.
#[repr(C)]
pub(super) struct Head<K, V> {
    header: Header,
    mask: usize,
    /// The table whose content comes here, until all of it has.
    pub(super) before: AtomicPtr<Head<K, V>>,
    /// The next unit of `before` to be handed out to a thread that helps.
    pub(super) handed_out: AtomicUsize,
    /// How many units, from the first on, have been seen to be moved.
    pub(super) verified: AtomicUsize,
    buckets: PhantomData<Word<K, V>>,
}

impl<K, V> Head<K, V> {
    const BUCKETS: usize = size_of::<Self>().next_multiple_of(align_of::<AtomicPtr<Header>>());

    fn layout(len: usize) -> Option<Layout> {
        let buckets = Layout::array::<AtomicPtr<Header>>(len).ok()?;
        Some(Layout::new::<Self>().extend(buckets).ok()?.0)
    }

    /// Makes a table of `len` buckets, a power of two, to be [cleared](Self::clear) before it is
    /// published.
    pub(super) fn uncleared(len: usize) -> Result<NonNull<Self>, OutOfMemory> {
        debug_assert!(len.is_power_of_two());
        let layout = Self::layout(len).ok_or(OutOfMemory)?;
        let table = allocate(layout)?.cast::<Self>();
        let content = Self {
            header: Header::new(0),
            mask: len - 1,
            before: AtomicPtr::new(null_mut()),
            handed_out: AtomicUsize::new(0),
            verified: AtomicUsize::new(0),
            buckets: PhantomData,
        };
        // SAFETY: freshly allocated for this.
        unsafe { table.write(content) };
        Ok(table)
    }

    /// Makes buckets such that nothing has come to them.
    ///
    /// # Safety
    ///
    /// The table is the caller's alone, and has these buckets.
    pub(super) unsafe fn clear(table: NonNull<Self>, buckets: Range<usize>) {
        let first = table.as_ptr().wrapping_byte_add(Self::BUCKETS).cast::<AtomicPtr<Header>>();
        // SAFETY: by the caller's promise.
        unsafe { init_null(first.wrapping_add(buckets.start), buckets.len()) };
    }

    /// Makes a table of `len` buckets, to none of which anything has come.
    pub(super) fn new(len: usize) -> Result<NonNull<Self>, OutOfMemory> {
        let table = Self::uncleared(len)?;
        // SAFETY: freshly made with so many.
        unsafe { Self::clear(table, 0..len) };
        Ok(table)
    }

    /// Makes a table of `len` empty buckets.
    pub(super) fn empty(len: usize) -> Result<NonNull<Self>, OutOfMemory> {
        let table = Self::new(len)?;
        for index in 0..len {
            // SAFETY: just made.
            let table = unsafe { Table::new(table) };
            // Relaxed: published with the table.
            table.bucket(index).store(Word::<K, V>::EMPTY.0, Ordering::Relaxed);
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

    /// Returns the size of a table, in bytes.
    pub(super) fn measure(&self) -> usize {
        Self::BUCKETS + self.len() * size_of::<AtomicPtr<Header>>()
    }

    /// Returns the header by which the table is retired.
    pub(super) fn retired(table: NonNull<Self>) -> *mut Header {
        table.as_ptr().cast::<Header>().map_addr(|address| address | TABLE)
    }

    /// Frees a table, and nothing in it.
    ///
    /// # Safety
    ///
    /// The table was made by [`uncleared`](Self::uncleared), and is the caller's alone.
    pub(super) unsafe fn free(table: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let len = unsafe { table.as_ref() }.len();
        // SAFETY: by the caller's promise.
        unsafe { table.drop_in_place() };
        // If this layout did not exist, there would be no table.
        if let Some(layout) = Self::layout(len) {
            // SAFETY: allocated with this layout. Its words need no drop.
            unsafe { dealloc(table.cast().as_ptr(), layout) };
        }
    }

    /// Frees a table with all that is in it, and the one before with what is only there.
    ///
    /// # Safety
    ///
    /// The table was made by [`uncleared`](Self::uncleared), and is the caller's alone.
    pub(super) unsafe fn free_all<F: Farewell<K, V>>(table: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let this = unsafe { Table::new(table) };
        // Relaxed, here and below: the tables are owned here alone.
        let before = this.before.load(Ordering::Relaxed);
        if let Some(before) = NonNull::new(before) {
            // SAFETY: not retired, since it is still linked.
            let source = unsafe { Table::new(before) };
            for index in 0..source.len() {
                let word = Word::<K, V>::new(source.bucket(index).load(Ordering::Relaxed));
                // SAFETY: the tables are owned here alone; what has arrived in `table` is freed
                // there.
                unsafe {
                    free_bucket::<K, V, F>(word, |item| {
                        this.bucket(item.hash).load(Ordering::Relaxed).is_null()
                    });
                };
            }
            // SAFETY: the tables are owned here alone.
            unsafe { Self::free(before) };
        }
        for index in 0..this.len() {
            let word = Word::<K, V>::new(this.bucket(index).load(Ordering::Relaxed));
            // SAFETY: the table is owned here alone.
            unsafe { free_bucket::<K, V, F>(word, |_| true) };
        }
        // SAFETY: the table is owned here alone.
        unsafe { Self::free(table) };
    }
}

impl<'g, K, V> Table<'g, K, V> {
    /// Makes a table to be passed around.
    ///
    /// # Safety
    ///
    /// The head was made by [`Head::uncleared`], and is not freed within `'g`.
    #[inline(always)]
    pub(super) unsafe fn new(at: NonNull<Head<K, V>>) -> Self {
        Self(at, PhantomData)
    }

    /// Returns the table's address.
    pub(super) fn address(self) -> *mut Head<K, V> {
        self.0.as_ptr()
    }

    /// Returns the bucket at `index`, of which only the bits of the mask count.
    #[inline(always)]
    pub(super) fn bucket(self, index: usize) -> &'g AtomicPtr<Header> {
        let first = self.0.as_ptr().wrapping_byte_add(Head::<K, V>::BUCKETS);
        let first = first.cast::<AtomicPtr<Header>>();
        // SAFETY: `mask + 1` buckets follow the head in its allocation, which lives for `'g`.
        unsafe { &*first.wrapping_add(index & self.mask) }
    }
}

/// Frees what a word points at, and those of its entries that `owns` finds nowhere else.
///
/// # Safety
///
/// All of it is the caller's alone.
unsafe fn free_bucket<K, V, F>(word: Word<K, V>, owns: impl Fn(&Item<K, V>) -> bool)
where
    F: Farewell<K, V>,
{
    if word.is_vacant() {
        return;
    }
    let mut single = None;
    // SAFETY: by the caller's promise.
    for item in unsafe { word.items(&mut single) } {
        if owns(item) {
            // SAFETY: by the caller's promise.
            unsafe { F::part(item.entry) };
        }
    }
    // SAFETY: by the caller's promise.
    unsafe { word.discard() };
}

/// Returns how the objects that a map retires are measured and freed.
pub(super) fn kind<K, V, F: Farewell<K, V>>() -> Kind {
    Kind { measure: measure::<K, V, F>, release: release::<K, V, F> }
}

/// Returns the size of any object that a map retires.
///
/// # Safety
///
/// The object was retired or is about to be, and is not freed.
unsafe fn measure<K, V, F: Farewell<K, V>>(object: *mut Header) -> usize {
    if object.addr() & TAGS == TABLE {
        let table = object.map_addr(|address| address & !TAGS).cast::<Head<K, V>>();
        // SAFETY: by the caller's promise.
        unsafe { table.as_ref() }.map_or(0, Head::measure)
    } else {
        // SAFETY: by the caller's promise.
        unsafe { super::word::measure::<K, V, F>(object) }
    }
}

/// Frees any object that a map retires.
///
/// # Safety
///
/// The object was retired, and no thread can reach it any more.
unsafe fn release<K, V, F: Farewell<K, V>>(object: *mut Header, freed: &mut usize) {
    // SAFETY: by the caller's promise.
    *freed = freed.wrapping_add(unsafe { measure::<K, V, F>(object) });
    if object.addr() & TAGS == TABLE {
        let table = object.map_addr(|address| address & !TAGS).cast::<Head<K, V>>();
        if let Some(table) = NonNull::new(table) {
            // SAFETY: by the caller's promise.
            unsafe { Head::free(table) };
        }
    } else {
        // SAFETY: by the caller's promise.
        unsafe { super::word::free::<K, V, F>(object) };
    }
}
