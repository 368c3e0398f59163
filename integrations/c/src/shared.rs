//! A table in a file, shared by processes.

use core::ffi::{CStr, c_char};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use tidegate::Clock;
use tidegate::shared::{KernelClock, SharedError, SharedTable, WhenOther};

use crate::error::call;
use crate::pointer::{memory, shared, slice};
use crate::quota::policy;
use crate::{Error, Table, TableSettings};

/// A table in a file. On the heap: to be closed.
pub struct Shared(SharedTable);

impl From<SharedError> for Error {
    fn from(error: SharedError) -> Self {
        match error {
            SharedError::Quota(error) => error.into(),
            SharedError::Differs(_) => Self::TgDiffers,
            _ => Self::TgIo,
        }
    }
}

/// Opens the table in the file at `path`, which is created if it is not there, and writes its
/// address. All processes must open it with the same settings. Its times are those of `tg_now_ns`.
///
/// # Safety
///
/// `path` is a C string, `settings` is valid, `opened` is memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_shared_open(
    path: *const c_char,
    settings: *const TableSettings,
    opened: *mut *mut Shared,
) -> Error {
    call(|| {
        if path.is_null() {
            return Err(Error::TgNull);
        }
        // SAFETY: the caller answers for it.
        let path = OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes());
        // SAFETY: as above.
        let settings = unsafe { shared(settings) }?;
        // SAFETY: as above.
        let opened = unsafe { memory(opened) }?;
        // SAFETY: as above.
        let fields = unsafe { slice(settings.quotas, settings.quota_count) }?;
        let quotas: Result<Vec<_>, _> = fields.iter().map(crate::QuotaFields::quota).collect();
        let mut builder = SharedTable::builder(&quotas?, settings.keys)
            .on_full(policy(settings.on_full)?)
            .seed(settings.seed);
        builder = builder.when_other(match settings.refuse_other {
            0 => WhenOther::StartEmpty,
            1 => WhenOther::Refuse,
            _ => return Err(Error::TgInvalid),
        });
        if settings.grace_ns != 0 {
            builder = builder.grace(Duration::from_nanos(settings.grace_ns));
        }
        opened.write(Box::into_raw(Box::new(Shared(builder.open(path)?))));
        Ok(Error::TgOk)
    })
}

/// Returns the table, for all calls that take one; null if `opened` is null. It lives until
/// `tg_shared_close`.
///
/// # Safety
///
/// `opened` is null or was opened, and not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_shared_table(opened: *const Shared) -> *const Table {
    // SAFETY: the caller answers for it.
    match unsafe { shared(opened) } {
        Ok(opened) => core::ptr::from_ref(opened.0.lockfree()).cast(),
        Err(_) => core::ptr::null(),
    }
}

/// Closes the file. What was charged stays in it. Null is allowed.
///
/// # Safety
///
/// `opened` is null or was opened and not closed, and no thread uses its table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_shared_close(opened: *mut Shared) {
    if !opened.is_null() {
        call(|| {
            // SAFETY: it was made by `Box::into_raw`; the caller answers for the rest.
            drop(unsafe { Box::from_raw(opened) });
            Ok(Error::TgOk)
        });
    }
}

/// Returns the time of the kernel's `CLOCK_MONOTONIC`, in nanoseconds.
#[unsafe(no_mangle)]
pub extern "C" fn tg_now_ns() -> u64 {
    KernelClock.now().as_nanos()
}
