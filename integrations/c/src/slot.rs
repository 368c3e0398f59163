//! A claim on one thing.

use core::mem::MaybeUninit;
use core::time::Duration;

use tidegate_core::Instant;
use tidegate_core::flight::{Caller, Claim, ClaimError, Slot};

use crate::Error;
use crate::error::call;
use crate::pointer::{aligned, memory, shared, unique};

type Inner = Slot<0>;
type Held = Claim<'static, 0>;

/// What one caller at a time may claim. Any number of threads share it.
#[repr(C)]
pub struct SlotBytes {
    /// Not for the program.
    pub opaque: [u64; 2],
}

/// A claim on a slot.
#[repr(C)]
pub struct ClaimBytes {
    /// Not for the program.
    pub opaque: [u64; 2],
}

const _: () = assert!(size_of::<Inner>() <= size_of::<SlotBytes>());
const _: () = assert!(align_of::<Inner>() <= align_of::<SlotBytes>());
const _: () = assert!(size_of::<Held>() <= size_of::<ClaimBytes>());

/// Makes a slot that is free.
///
/// # Safety
///
/// `slot` is memory for a slot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_slot_init(slot: *mut SlotBytes) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        unsafe { memory(slot.cast::<Inner>()) }?.write(Inner::new());
        Ok(Error::TgOk)
    })
}

fn lease(nanos: u64) -> Option<Duration> {
    (nanos != 0).then(|| Duration::from_nanos(nanos))
}

/// Claims the slot until it is released, or for `lease_ns` nanoseconds if that is not 0, after
/// which others may have it. Returns `TG_DENIED` if another caller has it, and `TG_REENTRANT` if
/// `caller` has it already.
///
/// # Safety
///
/// `slot` was made and lives as long as the claim; `claim` is memory for a claim.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_slot_claim(
    slot: *const SlotBytes,
    caller: u32,
    lease_ns: u64,
    now_ns: u64,
    claim: *mut ClaimBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let slot: &'static Inner = unsafe { shared(slot.cast()) }?;
        // SAFETY: as above.
        let to: &mut MaybeUninit<Held> = unsafe { memory(claim.cast()) }?;
        match slot.claim(Caller(caller), lease(lease_ns), Instant::from_nanos(now_ns)) {
            Ok(claim) => {
                to.write(claim);
                Ok(Error::TgOk)
            }
            Err(ClaimError::Held(_)) => Ok(Error::TgDenied),
            Err(ClaimError::Reentrant) => Err(Error::TgReentrant),
        }
    })
}

/// Begins the lease of a claim anew. Returns `TG_DENIED` if another caller has the slot by now.
///
/// # Safety
///
/// `claim` was made, and not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_claim_renew(
    claim: *mut ClaimBytes,
    lease_ns: u64,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let claim = unsafe { unique(claim.cast::<Held>()) }?;
        let renewed = claim.renew(lease(lease_ns), Instant::from_nanos(now_ns));
        Ok(if renewed.is_ok() { Error::TgOk } else { Error::TgDenied })
    })
}

/// Gives the slot back. Returns `TG_DENIED` if another caller has the slot by now.
///
/// # Safety
///
/// `claim` was made, and not released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_claim_release(claim: *mut ClaimBytes) -> Error {
    call(|| {
        aligned(claim.cast::<Held>())?;
        // SAFETY: the caller answers for it; a claim that is released twice is one that has ended.
        let claim = unsafe { claim.cast::<Held>().read() };
        Ok(if claim.release().is_ok() { Error::TgOk } else { Error::TgDenied })
    })
}
