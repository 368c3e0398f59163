//! The registry in fixed memory.

use core::ffi::c_char;
use core::time::Duration;

use tidegate_core::registry::{FixedError, FixedLease, WhenFull};
use tidegate_core::{FixedRegistry, Instant, Ttl};

use crate::Error;
use crate::error::call;
use crate::pointer::{bytes, memory, unique};

/// The most entries of a registry.
pub const TG_REGISTRY_ENTRIES: usize = 32;
/// The most bytes of an id.
pub const TG_REGISTRY_ID: usize = 32;

type Inner = FixedRegistry<u64, TG_REGISTRY_ENTRIES, TG_REGISTRY_ID>;

/// A registry of up to 32 entries: ids of up to 32 bytes of UTF-8, and a number or an address for
/// each. One thread uses it at a time.
#[repr(C)]
pub struct RegistryBytes {
    /// Not for the program.
    pub opaque: [u64; 420],
}

/// The right to renew and to withdraw one entry.
#[repr(C)]
pub struct LeaseBytes {
    /// Not for the program.
    pub opaque: [u64; 1],
}

const _: () = assert!(size_of::<Inner>() <= size_of::<RegistryBytes>());
const _: () = assert!(align_of::<Inner>() <= align_of::<RegistryBytes>());
const _: () = assert!(size_of::<FixedLease>() == size_of::<LeaseBytes>());

/// # Safety
///
/// As for [`unique`]: a registry that was made.
unsafe fn of<'a>(registry: *mut RegistryBytes) -> Result<&'a mut Inner, Error> {
    // SAFETY: the caller answers for it.
    unsafe { unique(registry.cast()) }
}

/// # Safety
///
/// As for [`bytes`].
unsafe fn id<'a>(id: *const c_char, len: usize) -> Result<&'a str, Error> {
    // SAFETY: the caller answers for it.
    let bytes = unsafe { bytes(id.cast(), len) }?;
    core::str::from_utf8(bytes).map_err(|_| Error::TgBadId)
}

/// Makes an empty registry. Its entries live for `ttl_ns` nanoseconds; `UINT64_MAX` is for ever. A
/// full one refuses a new entry if `evict` is 0, and otherwise removes the one that would expire
/// soonest.
///
/// # Safety
///
/// `registry` is memory for a registry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_init(
    registry: *mut RegistryBytes,
    ttl_ns: u64,
    evict: u32,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { memory(registry.cast::<Inner>()) }?;
        let ttl = match ttl_ns {
            u64::MAX => Ttl::Forever,
            ttl => Ttl::For(Duration::from_nanos(ttl)),
        };
        let when_full = if evict == 0 { WhenFull::Refuse } else { WhenFull::EvictSoonest };
        registry.write(Inner::with(ttl, when_full));
        Ok(Error::TgOk)
    })
}

/// Enters a value, in place of the id's if there is one, and writes the entry's lease.
///
/// # Safety
///
/// `registry` was made, `id` is `id_len` bytes, `lease` is memory for a lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_advertise(
    registry: *mut RegistryBytes,
    id_at: *const c_char,
    id_len: usize,
    value: u64,
    now_ns: u64,
    lease: *mut LeaseBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { of(registry) }?;
        // SAFETY: as above.
        let id = unsafe { id(id_at, id_len) }?;
        // SAFETY: as above.
        let lease = unsafe { memory(lease.cast::<FixedLease>()) }?;
        match registry.advertise(id, value, Instant::from_nanos(now_ns)) {
            Ok(entered) => {
                lease.write(entered.lease);
                Ok(Error::TgOk)
            }
            Err(FixedError::IdTooLong(_)) => Err(Error::TgBadId),
            Err(FixedError::Full(_)) => Err(Error::TgFull),
        }
    })
}

/// Writes the value that an id stands for. Returns `TG_DENIED` if there is none that lives.
///
/// # Safety
///
/// `registry` was made, `id` is `id_len` bytes, `value` is memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_resolve(
    registry: *mut RegistryBytes,
    id_at: *const c_char,
    id_len: usize,
    now_ns: u64,
    value: *mut u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { of(registry) }?;
        // SAFETY: as above.
        let id = unsafe { id(id_at, id_len) }?;
        // SAFETY: as above.
        let to = unsafe { memory(value) }?;
        Ok(match registry.resolve(id, Instant::from_nanos(now_ns)) {
            Some(&value) => {
                to.write(value);
                Error::TgOk
            }
            None => Error::TgDenied,
        })
    })
}

/// Renews the entry of a lease. Returns `TG_DENIED` if it has ended, was withdrawn or was replaced.
///
/// # Safety
///
/// `registry` was made, `lease` is of an entry of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_renew(
    registry: *mut RegistryBytes,
    lease: *const LeaseBytes,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { of(registry) }?;
        // SAFETY: as above.
        let lease = unsafe { crate::pointer::shared(lease.cast::<FixedLease>()) }?;
        let renewed = registry.renew(lease, Instant::from_nanos(now_ns));
        Ok(if renewed.is_ok() { Error::TgOk } else { Error::TgDenied })
    })
}

/// Removes the entry of a lease. Returns `TG_DENIED` if it has ended, was withdrawn or was
/// replaced.
///
/// # Safety
///
/// `registry` was made, `lease` is of an entry of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_withdraw(
    registry: *mut RegistryBytes,
    lease: *const LeaseBytes,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { of(registry) }?;
        crate::pointer::aligned(lease.cast::<FixedLease>())?;
        // SAFETY: as above. A lease is a number: withdrawing it twice removes nothing twice.
        let lease = unsafe { lease.cast::<FixedLease>().read() };
        let withdrawn = registry.withdraw(lease, Instant::from_nanos(now_ns));
        Ok(if withdrawn.is_some() { Error::TgOk } else { Error::TgDenied })
    })
}

/// Removes the entries that have ended. `pruned` may be null; it is how many there were.
///
/// # Safety
///
/// `registry` was made, `pruned` is null or memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_registry_prune(
    registry: *mut RegistryBytes,
    now_ns: u64,
    pruned: *mut usize,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let registry = unsafe { of(registry) }?;
        let to =
            // SAFETY: as above.
            if pruned.is_null() { None } else { Some(unsafe { memory(pruned) }?) };
        let count = registry.prune(|_, _| (), Instant::from_nanos(now_ns));
        if let Some(to) = to {
            to.write(count);
        }
        Ok(Error::TgOk)
    })
}
