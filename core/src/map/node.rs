//! What a bucket is made of: entries, and blocks that list several entries.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;

use crate::reclaim::{Header, OutOfMemory};

/// A key and its value. Its address never changes; while it is in the map, its header's word is the
/// key's hash.
///
/// The header comes last, because a reader needs key and value only. Where those are small they are
/// then on one cache line, however the allocator places them.
#[repr(C)]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    header: Header,
}

impl<K, V> Entry<K, V> {
    /// Where in an entry its header is.
    pub(super) const HEADER: usize = offset_of!(Self, header);

    pub(super) fn new(hash: usize, key: K, value: V) -> Self {
        Self { key, value, header: Header::new(hash) }
    }

    pub(super) fn into_parts(self) -> (K, V) {
        (self.key, self.value)
    }

    /// Returns the address of an entry's header, which words and retirement deal with.
    pub(super) fn header(entry: NonNull<Self>) -> *mut Header {
        entry.as_ptr().wrapping_byte_add(Self::HEADER).cast()
    }

    /// Returns the entry of a header, unless the header is null.
    #[inline(always)]
    pub(super) fn of_header(header: *mut Header) -> Option<NonNull<Self>> {
        let header = NonNull::new(header)?;
        // SAFETY: within the entry, whose header it is.
        Some(unsafe { header.byte_sub(Self::HEADER) }.cast())
    }

    /// Returns the key's hash, or anything at all once the entry was retired.
    pub(crate) fn hash(&self) -> usize {
        self.header.value()
    }

    #[inline(always)]
    pub(super) fn read(&self) {
        self.header.read();
    }
}

/// An entry, as a block lists it.
pub(super) struct Item<K, V> {
    pub(super) hash: usize,
    pub(super) entry: NonNull<Entry<K, V>>,
}

impl<K, V> Clone for Item<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Item<K, V> {}

impl<K, V> Item<K, V> {
    pub(super) fn of(entry: NonNull<Entry<K, V>>) -> Self {
        // SAFETY: entries are freed under no guard, and a caller that deals with items holds one.
        Self { hash: unsafe { entry.as_ref() }.hash(), entry }
    }
}

/// Two entries or more, never changed once published. The items follow it in memory.
#[repr(C)]
pub(super) struct Block<K, V> {
    header: Header,
    len: usize,
    items: PhantomData<Item<K, V>>,
}

impl<K, V> Block<K, V> {
    const ITEMS: usize = size_of::<Self>().next_multiple_of(align_of::<Item<K, V>>());

    fn layout(len: usize) -> Option<Layout> {
        let items = Layout::array::<Item<K, V>>(len).ok()?;
        Some(Layout::new::<Self>().extend(items).ok()?.0)
    }

    /// Makes a block of the first `len` of `items`, which must have that many.
    pub(super) fn new(
        len: usize,
        items: impl Iterator<Item = Item<K, V>>,
    ) -> Result<NonNull<Self>, OutOfMemory> {
        debug_assert!(len >= 2);
        let layout = Self::layout(len).ok_or(OutOfMemory)?;
        // SAFETY: the layout holds a header at least.
        let block = NonNull::new(unsafe { alloc::alloc::alloc(layout) }).ok_or(OutOfMemory)?;
        let block = block.cast::<Self>();
        let mut written = 0;
        for item in items.take(len) {
            // SAFETY: within the block, which has `len` items.
            let at = unsafe { Self::item(block, written) };
            // SAFETY: within the block, which no other thread knows.
            unsafe { at.write(item) };
            written += 1;
        }
        // SAFETY: freshly allocated for this.
        unsafe { block.write(Self { header: Header::new(0), len: written, items: PhantomData }) };
        debug_assert_eq!(written, len);
        Ok(block)
    }

    /// Returns the address of item `index`.
    ///
    /// # Safety
    ///
    /// The block must have at least `index` items.
    #[inline(always)]
    unsafe fn item(block: NonNull<Self>, index: usize) -> NonNull<Item<K, V>> {
        // SAFETY: by the caller's promise, within the allocation.
        let items = unsafe { block.cast::<u8>().add(Self::ITEMS) }.cast::<Item<K, V>>();
        // SAFETY: by the caller's promise, within the allocation.
        unsafe { items.add(index) }
    }

    /// Returns the size of a block, in bytes.
    pub(super) fn measure(&self) -> usize {
        Self::ITEMS + self.len * size_of::<Item<K, V>>()
    }

    /// Tells the models that the block is read.
    #[inline(always)]
    pub(super) fn read(&self) {
        self.header.read();
    }

    /// Returns the address of the first item, if this is a block.
    #[inline(always)]
    pub(super) fn first(block: NonNull<Self>) -> *mut Item<K, V> {
        block.as_ptr().wrapping_byte_add(Self::ITEMS).cast()
    }

    /// Returns the items.
    ///
    /// # Safety
    ///
    /// `block` must be a block that is not freed within `'g`.
    #[inline(always)]
    pub(super) unsafe fn items<'g>(block: NonNull<Self>) -> &'g [Item<K, V>] {
        // SAFETY: by the caller's promise.
        let this = unsafe { block.as_ref() };
        this.read();
        // SAFETY: the first item is there even if there are none.
        let first = unsafe { Self::item(block, 0) };
        // SAFETY: `len` items were written before the block was published.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), this.len) }
    }

    /// Returns the first two items. Every block has at least two.
    ///
    /// # Safety
    ///
    /// The caller promises what [`items`](Self::items) asks for.
    #[inline(always)]
    pub(super) unsafe fn pair<'g>(block: NonNull<Self>) -> &'g [Item<K, V>; 2] {
        // SAFETY: by the caller's promise.
        unsafe { block.as_ref() }.read();
        // SAFETY: every block has two items.
        let first = unsafe { Self::item(block, 0) };
        // SAFETY: written before the block was published.
        unsafe { first.cast().as_ref() }
    }

    /// Frees a block, and none of its entries.
    ///
    /// # Safety
    ///
    /// The block was made by [`new`](Self::new), and is the caller's alone.
    pub(super) unsafe fn free(block: NonNull<Self>) {
        // SAFETY: by the caller's promise.
        let len = unsafe { block.as_ref() }.len;
        // SAFETY: by the caller's promise.
        unsafe { block.drop_in_place() };
        // If this layout did not exist, `new` would have made no block.
        if let Some(layout) = Self::layout(len) {
            // SAFETY: allocated with this layout; a debug build checks that `len` is what was
            // asked.
            unsafe { alloc::alloc::dealloc(block.cast().as_ptr(), layout) };
        }
    }
}
