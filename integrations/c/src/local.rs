//! The table of one owner, in the program's memory: on every target.

use core::ffi::c_void;
use core::time::Duration;

use tidegate_core::bucket::LocalSet;
use tidegate_core::{Budget, Decision, Instant, LocalBucketTable, LocalSweep, Plan, SeededState};

use crate::decision::{hand_out, wanted};
use crate::error::call;
use crate::pointer::{bytes, memory, room, shared, unique};
use crate::quota::{compile, plan, policy, unit};
use crate::{DecisionBytes, Error, PlanBytes, QuotaFields};

type Inner = LocalBucketTable<&'static mut [LocalSet], SeededState>;

/// A table, and where its sweep is.
struct Owned {
    table: Inner,
    sweep: LocalSweep,
}

/// A table of buckets that one thread uses at a time. It is only ever used by address.
pub struct Local(#[expect(dead_code, reason = "a name for C")] Owned);

/// The alignment of the memory for a local table, in bytes.
pub const TG_LOCAL_ALIGN: usize = 64;
/// What a local table needs besides its sets, in bytes.
pub const TG_LOCAL_HEADER: usize = 704;
/// The size of a local set, which serves 3.5 keys, in bytes.
pub const TG_LOCAL_SET_SIZE: usize = 128;

const _: () = assert!(size_of::<Owned>() <= TG_LOCAL_HEADER);
const _: () = assert!(align_of::<Owned>() <= TG_LOCAL_ALIGN);
const _: () = assert!(size_of::<LocalSet>() == TG_LOCAL_SET_SIZE);
const _: () = assert!(align_of::<LocalSet>() <= TG_LOCAL_ALIGN);
const _: () = assert!(TG_LOCAL_HEADER.is_multiple_of(TG_LOCAL_ALIGN));

/// How a local table is made. Zeros are the defaults, but for `keys` and `seed`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LocalSettings {
    /// The keys that the table is for at a time.
    pub keys: usize,
    /// The seed of the keys' hashes: a secret random number.
    pub seed: u64,
    /// The quotas that the unit of time is to suit, and how many: at most 16.
    pub quotas: *const QuotaFields,
    /// The number of quotas.
    pub quota_count: usize,
    /// What a full table answers new keys: `TG_DENY`, `TG_ADMIT` or `TG_SHARED`.
    pub on_full: u32,
}

/// # Safety
///
/// As for [`unique`]: a table that was made and lives.
#[inline(always)]
unsafe fn of<'a>(table: *mut Local) -> Result<&'a mut Owned, Error> {
    // SAFETY: the caller answers for it.
    unsafe { unique(table.cast()) }
}

/// Reads what a call for one key names.
///
/// # Safety
///
/// As for [`of`], [`bytes`] and [`plan`].
#[inline(always)]
unsafe fn asked<'a>(
    table: *mut Local,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
) -> Result<(&'a mut Owned, &'a [u8], &'a Plan), Error> {
    // SAFETY: the caller answers for it.
    let owned = unsafe { of(table) }?;
    // SAFETY: as above.
    let key = unsafe { bytes(key, key_len) }?;
    // SAFETY: as above.
    let plan = unsafe { plan(plan_of, owned.table.unit()) }?;
    Ok((owned, key, plan))
}

/// Returns the size of the memory for a local table of `keys` keys, in bytes. Returns `SIZE_MAX` if
/// there is no such memory. `TG_LOCAL_SIZE(keys)` is the same number as a constant.
#[unsafe(no_mangle)]
pub extern "C" fn tg_local_size(keys: usize) -> usize {
    let sets = LocalSet::for_keys(keys).checked_mul(TG_LOCAL_SET_SIZE);
    sets.and_then(|bytes| bytes.checked_add(TG_LOCAL_HEADER)).unwrap_or(usize::MAX)
}

/// Makes an empty table in `memory`, which is `size` bytes and belongs to the table from now on.
/// Writes the table's address, which is that of the memory. There is nothing to be released.
///
/// # Safety
///
/// `memory` is `size` bytes that nothing else uses, `settings` is valid, `table` is memory for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_init(
    memory_at: *mut c_void,
    size: usize,
    settings: *const LocalSettings,
    table: *mut *mut Local,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let settings = unsafe { shared(settings) }?;
        // SAFETY: as above.
        let table = unsafe { memory(table) }?;
        let start = room(memory_at, size, TG_LOCAL_ALIGN, tg_local_size(settings.keys))?;
        let policy = policy(settings.on_full)?;
        // SAFETY: as above.
        let unit = unsafe { unit(settings.quotas, settings.quota_count) }?;
        // SAFETY: within the memory.
        let sets: *mut LocalSet = unsafe { start.add(TG_LOCAL_HEADER) }.cast();
        let count = LocalSet::for_keys(settings.keys);
        for at in 0..count {
            // SAFETY: the memory has room for `count` sets.
            let set = unsafe { sets.add(at) };
            // SAFETY: as above.
            unsafe { set.write(LocalSet::new()) };
        }
        // SAFETY: written just now; the memory is the table's as long as that is used.
        let sets: &'static mut [LocalSet] = unsafe { core::slice::from_raw_parts_mut(sets, count) };
        let made = Inner::over(sets, unit, SeededState::new(settings.seed))
            .on_full(policy)
            .grace(Duration::ZERO);
        // SAFETY: the memory begins with room for it, and is aligned.
        unsafe { start.cast::<Owned>().write(Owned { table: made, sweep: LocalSweep::default() }) };
        table.write(start.cast());
        Ok(Error::TgOk)
    })
}

/// Compiles a quota for a table.
///
/// # Safety
///
/// `table` is a table, `quota` is valid, `plan` is memory for a plan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_plan(
    table: *mut Local,
    quota: *const QuotaFields,
    plan: *mut PlanBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let owned = unsafe { of(table) }?;
        // SAFETY: as above.
        let quota = unsafe { shared(quota) }?;
        // SAFETY: as above.
        let plan = unsafe { memory(plan) }?;
        compile(owned.table.unit(), quota, plan)
    })
}

/// Charges `cost` cells to the key's bucket if the plan admits them, all or none. Returns `TG_OK`
/// if the request is admitted and `TG_DENIED` if it is not. `decision` may be null.
///
/// # Safety
///
/// `table` is a table that no other thread uses, `key` is `key_len` bytes, `plan` was compiled,
/// `decision` is null or memory for a decision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_check(
    table: *mut Local,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
    cost: u64,
    now_ns: u64,
    decision: *mut DecisionBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let (owned, key, plan) = unsafe { asked(table, key, key_len, plan_of) }?;
        // SAFETY: as above.
        let to = unsafe { wanted(decision) }?;
        Ok(hand_out(owned.table.check_n(key, plan, cost, Instant::from_nanos(now_ns)), to))
    })
}

/// Writes what a check of one cell would answer. Charges nothing.
///
/// # Safety
///
/// As for `tg_local_check`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_peek(
    table: *mut Local,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
    now_ns: u64,
    decision: *mut DecisionBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let (owned, key, plan) = unsafe { asked(table, key, key_len, plan_of) }?;
        // SAFETY: as above.
        let to = unsafe { wanted(decision) }?;
        Ok(hand_out(owned.table.peek(key, plan, Instant::from_nanos(now_ns)), to))
    })
}

/// Gives back up to `cells` cells of a charge that was admitted and not used, as far as that is
/// safe. A decision is to be refunded once.
///
/// # Safety
///
/// As for `tg_local_check`; `decision` holds what a check of this table wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_refund(
    table: *mut Local,
    key: *const c_void,
    key_len: usize,
    decision: *const DecisionBytes,
    cells: u64,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let owned = unsafe { of(table) }?;
        // SAFETY: as above.
        let key = unsafe { bytes(key, key_len) }?;
        // SAFETY: as above.
        let decision = unsafe { shared(decision.cast::<Decision>()) }?;
        if !decision.is_for(owned.table.unit()) {
            return Err(Error::TgWrongUnit);
        }
        owned.table.refund(key, decision, cells, Instant::from_nanos(now_ns));
        Ok(Error::TgOk)
    })
}

/// Looks at the next `budget` slots, and gives up the buckets that are full. After the last slot
/// the sweep begins again. `removed` may be null; it is how many buckets were given up.
///
/// # Safety
///
/// `table` is a table that no other thread uses; `removed` is null or memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_local_sweep(
    table: *mut Local,
    now_ns: u64,
    budget: usize,
    removed: *mut usize,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let Owned { table, sweep } = unsafe { of(table) }?;
        let to =
            // SAFETY: as above.
            if removed.is_null() { None } else { Some(unsafe { memory(removed) }?) };
        let done = sweep.step(table, Instant::from_nanos(now_ns), Budget::entries(budget));
        if let Some(to) = to {
            to.write(done.removed);
        }
        Ok(Error::TgOk)
    })
}
