//! From C's pointers to references.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use crate::Error;

#[inline(always)]
pub(crate) fn aligned<T>(pointer: *const T) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(Error::TgNull);
    }
    if pointer.is_aligned() { Ok(()) } else { Err(Error::TgMisaligned) }
}

/// # Safety
///
/// If not null and aligned, the pointer points to a `T` that lives, and is not changed but by
/// atomics, for `'a`.
#[inline(always)]
pub(crate) unsafe fn shared<'a, T>(pointer: *const T) -> Result<&'a T, Error> {
    aligned(pointer)?;
    // SAFETY: the caller answers for the rest.
    Ok(unsafe { &*pointer })
}

/// # Safety
///
/// As for [`shared`], and nothing else uses the value for `'a`.
#[inline(always)]
pub(crate) unsafe fn unique<'a, T>(pointer: *mut T) -> Result<&'a mut T, Error> {
    aligned(pointer)?;
    // SAFETY: the caller answers for the rest.
    Ok(unsafe { &mut *pointer })
}

/// # Safety
///
/// If not null and aligned, the pointer points to memory for a `T` that nothing else uses for `'a`.
#[inline(always)]
pub(crate) unsafe fn memory<'a, T>(pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, Error> {
    aligned(pointer)?;
    // SAFETY: the caller answers for the rest.
    Ok(unsafe { &mut *pointer.cast() })
}

/// Returns the first byte of memory for a table, if that is aligned and has the `needed` bytes.
pub(crate) fn room(
    memory: *mut c_void,
    size: usize,
    align: usize,
    needed: usize,
) -> Result<*mut u8, Error> {
    if memory.is_null() {
        return Err(Error::TgNull);
    }
    if !memory.addr().is_multiple_of(align) {
        return Err(Error::TgMisaligned);
    }
    if needed > isize::MAX as usize {
        return Err(Error::TgTooManyKeys);
    }
    if size < needed { Err(Error::TgTooSmall) } else { Ok(memory.cast()) }
}

/// # Safety
///
/// If not null, the pointer points to `len` bytes that do not change for `'a`.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(Error::TgNull);
    }
    if len > isize::MAX as usize {
        return Err(Error::TgTooMany);
    }
    // SAFETY: not null; the caller answers for the rest.
    Ok(unsafe { core::slice::from_raw_parts(pointer.cast(), len) })
}

/// # Safety
///
/// If not null and aligned, the pointer points to `len` values as for [`shared`].
#[inline(always)]
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    aligned(pointer)?;
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Error::TgTooMany);
    }
    // SAFETY: the caller answers for the rest.
    Ok(unsafe { core::slice::from_raw_parts(pointer, len) })
}

/// # Safety
///
/// If not null and aligned, the pointer points to memory for `len` values that nothing else uses
/// for `'a`.
#[cfg(target_has_atomic = "64")]
#[inline(always)]
pub(crate) unsafe fn slots<'a, T>(
    pointer: *mut T,
    len: usize,
) -> Result<&'a mut [MaybeUninit<T>], Error> {
    if len == 0 {
        return Ok(&mut []);
    }
    aligned(pointer)?;
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Error::TgTooMany);
    }
    // SAFETY: the caller answers for the rest.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer.cast(), len) })
}
