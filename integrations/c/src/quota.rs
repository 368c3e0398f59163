//! Quotas and plans.

use core::mem::MaybeUninit;
use core::time::Duration;

use tidegate_core::bucket::Unit;
use tidegate_core::{OnFull, Plan, Quota};

use crate::Error;
use crate::pointer::slice;

/// How many cells a client gets. A quota of all zeros, but for the period, denies everything.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QuotaFields {
    /// Cells in every period.
    pub cells: u64,
    /// The period, in nanoseconds.
    pub period_ns: u64,
    /// Cells at once. 0: as many as `cells`.
    pub burst: u64,
    /// How long a request may be delayed instead of denied, in nanoseconds. 0: not at all.
    pub max_wait_ns: u64,
    /// Cells that settling a reservation may charge beyond an empty bucket.
    pub debt: u64,
}

/// A quota in the terms of one table. To be passed by address, and not changed.
#[repr(C)]
pub struct PlanBytes {
    /// Not for the program.
    pub opaque: [u64; 12],
}

const _: () = assert!(size_of::<Plan>() <= size_of::<PlanBytes>());
const _: () = assert!(align_of::<Plan>() <= align_of::<PlanBytes>());

impl QuotaFields {
    pub(crate) fn quota(&self) -> Result<Quota, Error> {
        if self.cells == 0 && self.burst == 0 && self.max_wait_ns == 0 && self.debt == 0 {
            return Ok(Quota::closed());
        }
        let mut quota = Quota::new(self.cells, Duration::from_nanos(self.period_ns))?;
        if self.burst != 0 {
            quota = quota.burst(self.burst)?;
        }
        if self.max_wait_ns != 0 {
            quota = quota.shape(Duration::from_nanos(self.max_wait_ns));
        }
        Ok(quota.debt(self.debt)?)
    }
}

/// The most quotas from which a unit is made.
const QUOTAS: usize = 16;

/// # Safety
///
/// As for [`slice`].
pub(crate) unsafe fn unit(quotas: *const QuotaFields, count: usize) -> Result<Unit, Error> {
    let mut made = [Quota::closed(); QUOTAS];
    let made = made.get_mut(..count).ok_or(Error::TgTooMany)?;
    // SAFETY: the caller answers for it.
    let quotas = unsafe { slice(quotas, count) }?;
    for (made, quota) in made.iter_mut().zip(quotas) {
        *made = quota.quota()?;
    }
    Ok(Unit::for_quotas(made)?)
}

pub(crate) fn policy(code: u32) -> Result<OnFull, Error> {
    match code {
        TG_DENY => Ok(OnFull::Deny),
        TG_ADMIT => Ok(OnFull::Admit),
        TG_SHARED => Ok(OnFull::Shared),
        _ => Err(Error::TgInvalid),
    }
}

/// A full table denies new keys.
pub const TG_DENY: u32 = 0;
/// A full table admits new keys without counting.
pub const TG_ADMIT: u32 = 1;
/// New keys of a full table share 64 buckets.
pub const TG_SHARED: u32 = 2;

/// Compiles a quota into the plan's memory.
pub(crate) fn compile(
    unit: Unit,
    quota: &QuotaFields,
    plan: &mut MaybeUninit<PlanBytes>,
) -> Result<Error, Error> {
    let compiled = unit.plan(quota.quota()?)?;
    // SAFETY: a plan fits, by the assertions above.
    unsafe { plan.as_mut_ptr().cast::<Plan>().write(compiled) };
    Ok(Error::TgOk)
}

/// Returns the plan if it is of this unit.
///
/// # Safety
///
/// As for [`crate::pointer::shared`], and the memory holds a plan.
#[inline(always)]
pub(crate) unsafe fn plan<'a>(plan: *const PlanBytes, unit: Unit) -> Result<&'a Plan, Error> {
    // SAFETY: the caller answers for it.
    let plan = unsafe { crate::pointer::shared(plan.cast::<Plan>()) }?;
    if plan.is_for(unit) { Ok(plan) } else { Err(Error::TgWrongUnit) }
}
