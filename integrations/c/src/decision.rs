//! The answer to a check.

use core::mem::MaybeUninit;

use tidegate_core::Decision;
use tidegate_core::bucket::Outcome;

use crate::Error;
use crate::pointer::shared;

/// The answer to a check. The figures are computed when they are asked for. There is one only after
/// `TG_OK` or `TG_DENIED`: until then, and after an error, these bytes say nothing.
#[repr(C)]
pub struct DecisionBytes {
    /// Not for the program.
    pub opaque: [u64; 8],
}

const _: () = assert!(size_of::<Decision>() <= size_of::<DecisionBytes>());
const _: () = assert!(align_of::<Decision>() <= align_of::<DecisionBytes>());

/// The figures of a decision.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// The burst, in cells.
    pub limit: u64,
    /// Cells that could be had at once after the check.
    pub remaining: u64,
    /// Cells that the check charged.
    pub charged: u64,
    /// How long until the same request would be admitted, in nanoseconds: 0 if it was admitted, and
    /// `UINT64_MAX` if it never can be.
    pub retry_after_ns: u64,
    /// How long until the bucket is full again, in nanoseconds.
    pub reset_after_ns: u64,
    /// How long the request must be delayed, in nanoseconds.
    pub delay_ns: u64,
    /// 1 if the request is admitted, otherwise 0.
    pub admitted: u32,
    /// 1 if the table had no slot for the key, otherwise 0.
    pub unplaced: u32,
}

/// Writes the figures of a decision.
///
/// # Safety
///
/// `decision` holds what a check wrote; `figures` is memory for the figures.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_decision_figures(
    decision: *const DecisionBytes,
    figures: *mut Figures,
) -> Error {
    crate::error::call(|| {
        // SAFETY: the caller answers for it.
        let decision = unsafe { shared(decision.cast::<Decision>()) }?;
        // SAFETY: as above.
        let figures = unsafe { crate::pointer::memory(figures) }?;
        let nanos =
            |duration: core::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        figures.write(Figures {
            limit: decision.limit(),
            remaining: decision.remaining(),
            charged: decision.charged(),
            retry_after_ns: decision.retry_after().map_or(u64::MAX, nanos),
            reset_after_ns: nanos(decision.reset_after()),
            delay_ns: nanos(decision.delay()),
            admitted: decision.is_admitted().into(),
            unplaced: decision.is_unplaced().into(),
        });
        Ok(Error::TgOk)
    })
}

/// Returns 1 if the request is admitted, otherwise 0. A null pointer is not admitted.
///
/// # Safety
///
/// `decision` is null or holds what a check wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_decision_is_admitted(decision: *const DecisionBytes) -> u32 {
    // SAFETY: the caller answers for it.
    let decision = unsafe { shared(decision.cast::<Decision>()) };
    decision.is_ok_and(Decision::is_admitted).into()
}

#[inline(always)]
pub(crate) fn code(decision: &Decision) -> Error {
    if matches!(decision.outcome(), Outcome::Admitted) { Error::TgOk } else { Error::TgDenied }
}

/// Returns the memory for a decision, if the program wants it.
///
/// # Safety
///
/// As for [`crate::pointer::memory`], but null is allowed.
#[inline(always)]
pub(crate) unsafe fn wanted<'a>(
    to: *mut DecisionBytes,
) -> Result<Option<&'a mut MaybeUninit<Decision>>, Error> {
    if to.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller answers for it.
    unsafe { crate::pointer::memory(to.cast()) }.map(Some)
}

/// Writes the decision if the program wants it.
#[inline(always)]
pub(crate) fn hand_out(decision: Decision, to: Option<&mut MaybeUninit<Decision>>) -> Error {
    let code = code(&decision);
    if let Some(to) = to {
        to.write(decision);
    }
    code
}

/// Makes memory for decisions hold decisions: all denied.
#[cfg(target_has_atomic = "64")]
#[inline(always)]
pub(crate) fn denied(memory: &mut [MaybeUninit<Decision>]) -> &mut [Decision] {
    for slot in memory.iter_mut() {
        slot.write(Decision::CLOSED);
    }
    // SAFETY: all are written.
    unsafe { &mut *(core::ptr::from_mut(memory) as *mut [Decision]) }
}
