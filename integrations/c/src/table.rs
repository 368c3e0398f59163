//! The shared table, in the program's memory.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::time::Duration;

use tidegate_core::bucket::{Reservation, Set, TableLimit, check_all_into, reserve};
use tidegate_core::{
    BucketTable, Budget, Clock, Decision, Instant, ManualClock, Plan, SeededState, Sweep,
    TableSweep,
};

use crate::decision::{denied, hand_out, wanted};
use crate::error::call;
use crate::pointer::{bytes, memory, room, shared, slice, slots, unique};
use crate::quota::{compile, plan, policy, unit};
use crate::{DecisionBytes, Error, PlanBytes, QuotaFields};

/// The table behind a [`Table`].
pub(crate) type Inner = BucketTable<&'static [Set], SeededState>;

/// A table of buckets that any number of threads share. It is only ever used by address.
pub struct Table(#[expect(dead_code, reason = "a name for C")] Inner);

/// The alignment of the memory for a table, in bytes.
pub const TG_TABLE_ALIGN: usize = 128;
/// What a table needs besides its sets, in bytes.
pub const TG_TABLE_HEADER: usize = 1_280;
/// The size of a set, which serves 3.5 keys, in bytes.
pub const TG_SET_SIZE: usize = 128;
/// The most limits in one call.
pub const TG_MAX_LIMITS: usize = 16;

const _: () = assert!(TG_MAX_LIMITS == tidegate_core::bucket::MAX_LIMITS);
const _: () = assert!(size_of::<Inner>() <= TG_TABLE_HEADER);
const _: () = assert!(align_of::<Inner>() <= TG_TABLE_ALIGN);
const _: () = assert!(size_of::<Set>() == TG_SET_SIZE && align_of::<Set>() <= TG_TABLE_ALIGN);
const _: () = assert!(TG_TABLE_HEADER.is_multiple_of(TG_TABLE_ALIGN));

/// How a table is made. Zeros are the defaults, but for `keys` and `seed`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TableSettings {
    /// The keys that the table is for at a time.
    pub keys: usize,
    /// The seed of the keys' hashes: a secret random number. A shared file that is there keeps its
    /// own.
    pub seed: u64,
    /// The quotas that the unit of time is to suit, and how many: at most 16.
    pub quotas: *const QuotaFields,
    /// The number of quotas.
    pub quota_count: usize,
    /// What a full table answers new keys: `TG_DENY`, `TG_ADMIT` or `TG_SHARED`.
    pub on_full: u32,
    /// 1: a shared file that holds another table is refused. 0: it starts empty.
    pub refuse_other: u32,
    /// How far apart the clocks of two threads may be, in nanoseconds. 0: 10 ms.
    pub grace_ns: u64,
}

/// One key of a burst, or one of several limits.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The key's bytes.
    pub key: *const c_void,
    /// How many there are.
    pub key_len: usize,
    /// The plan, of this table.
    pub plan: *const PlanBytes,
    /// The cells to be charged.
    pub cost: u64,
}

/// What a step of a sweep did.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SweptCounts {
    /// Slots that were looked at.
    pub visited: usize,
    /// Buckets that were given up, because they were full.
    pub removed: usize,
    /// 1 if the step reached the end of the table, otherwise 0.
    pub wrapped: u32,
}

/// Where a sweep is.
#[repr(C)]
pub struct SweepBytes {
    /// Not for the program.
    pub opaque: [u64; 2],
}

/// An estimate that was charged. It must stay where it is until it is settled.
#[repr(C)]
pub struct ReservationBytes {
    /// Not for the program.
    pub opaque: [u64; 32],
}

type Sweeping = TableSweep<&'static Inner>;

/// A reservation, and the clock that it asks when it is settled.
struct Reserved {
    clock: ManualClock,
    reservation:
        MaybeUninit<Reservation<TableLimit<'static, &'static [Set], SeededState, ManualClock>>>,
}

const _: () = assert!(size_of::<Sweeping>() <= size_of::<SweepBytes>());
const _: () = assert!(size_of::<Reserved>() <= size_of::<ReservationBytes>());
const _: () = assert!(align_of::<Reserved>() <= align_of::<ReservationBytes>());

/// A clock that the program gives, read where a charge must be rolled back.
struct CallerClock {
    now: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    context: *mut c_void,
    otherwise: Instant,
}

impl Clock for CallerClock {
    fn now(&self) -> Instant {
        match self.now {
            // SAFETY: the program gave the function with this context.
            Some(now) => Instant::from_nanos(unsafe { now(self.context) }),
            None => self.otherwise,
        }
    }
}

/// A key as its bytes. Rust programs that share a table use a byte slice.
#[derive(Clone, Copy, Hash)]
struct Key<'a>(&'a [u8]);

/// # Safety
///
/// As for [`shared`]: a table that was made and lives.
#[inline(always)]
unsafe fn of<'a>(table: *const Table) -> Result<&'a Inner, Error> {
    // SAFETY: the caller answers for it.
    unsafe { shared(table.cast()) }
}

/// Reads what a call for one key names.
///
/// # Safety
///
/// As for [`of`], [`bytes`] and [`plan`].
#[inline(always)]
unsafe fn asked<'a>(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
) -> Result<(&'a Inner, &'a [u8], &'a Plan), Error> {
    // SAFETY: the caller answers for it.
    let table = unsafe { of(table) }?;
    // SAFETY: as above.
    let key = unsafe { bytes(key, key_len) }?;
    // SAFETY: as above.
    let plan = unsafe { plan(plan_of, table.unit()) }?;
    Ok((table, key, plan))
}

/// Returns the size of the memory for a table of `keys` keys, in bytes. Returns `SIZE_MAX` if there
/// is no such memory. `TG_TABLE_SIZE(keys)` is the same number as a constant.
#[unsafe(no_mangle)]
pub extern "C" fn tg_table_size(keys: usize) -> usize {
    let sets = Set::for_keys(keys).checked_mul(TG_SET_SIZE);
    sets.and_then(|bytes| bytes.checked_add(TG_TABLE_HEADER)).unwrap_or(usize::MAX)
}

/// Makes an empty table in `memory`, which is `size` bytes and belongs to the table from now on.
/// Writes the table's address, which is that of the memory.
///
/// There is nothing to be released: the memory may be used for something else once no thread uses
/// the table any more.
///
/// # Safety
///
/// `memory` is `size` bytes that nothing else uses, `settings` is valid, `table` is memory for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_init(
    memory_at: *mut c_void,
    size: usize,
    settings: *const TableSettings,
    table: *mut *mut Table,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let settings = unsafe { shared(settings) }?;
        // SAFETY: as above.
        let table = unsafe { memory(table) }?;
        let start = room(memory_at, size, TG_TABLE_ALIGN, tg_table_size(settings.keys))?;
        let policy = policy(settings.on_full)?;
        // SAFETY: as above.
        let unit = unsafe { unit(settings.quotas, settings.quota_count) }?;
        // SAFETY: within the memory.
        let sets: *mut Set = unsafe { start.add(TG_TABLE_HEADER) }.cast();
        let count = Set::for_keys(settings.keys);
        // SAFETY: the memory has room for `count` sets, and zeros are empty sets.
        unsafe { sets.write_bytes(0, count) };
        // SAFETY: written just now; the memory is the table's as long as that is used.
        let sets: &'static [Set] = unsafe { core::slice::from_raw_parts(sets, count) };
        let made = Inner::over(sets, unit, SeededState::new(settings.seed)).on_full(policy);
        let made = match settings.grace_ns {
            0 => made,
            grace => made.grace(Duration::from_nanos(grace)),
        };
        // SAFETY: the memory begins with room for it, and is aligned.
        unsafe { start.cast::<Inner>().write(made) };
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
pub unsafe extern "C" fn tg_table_plan(
    table: *const Table,
    quota: *const QuotaFields,
    plan: *mut PlanBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let quota = unsafe { shared(quota) }?;
        // SAFETY: as above.
        let plan = unsafe { memory(plan) }?;
        compile(table.unit(), quota, plan)
    })
}

/// Charges `cost` cells to the key's bucket if the plan admits them, all or none. Returns `TG_OK`
/// if the request is admitted and `TG_DENIED` if it is not. `decision` may be null.
///
/// # Safety
///
/// `table` is a table, `key` is `key_len` bytes, `plan` was compiled, `decision` is null or memory for
/// a decision.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_check(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
    cost: u64,
    now_ns: u64,
    decision: *mut DecisionBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let (table, key, plan) = unsafe { asked(table, key, key_len, plan_of) }?;
        // SAFETY: as above.
        let to = unsafe { wanted(decision) }?;
        Ok(hand_out(table.check_n(key, plan, cost, Instant::from_nanos(now_ns)), to))
    })
}

/// Requests that are read at a time.
const CHUNK: usize = 32;

/// Checks each of `count` requests in order, and writes as many decisions. Returns `TG_OK` even if
/// requests are denied. After an error nothing is charged, but for `TG_PANICKED`.
///
/// # Safety
///
/// `table` is a table, `requests` are `count` valid requests, `decisions` is memory for as many
/// decisions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_check_burst(
    table: *const Table,
    requests: *const Request,
    count: usize,
    now_ns: u64,
    decisions: *mut DecisionBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let requests = unsafe { slice(requests, count) }?;
        // SAFETY: as above; a decision has the size of its bytes, as asserted below.
        let decisions = unsafe { slots(decisions.cast::<Decision>(), count) }?;
        let unit = table.unit();
        if count > CHUNK {
            // All are valid before the first is charged.
            for request in requests {
                // SAFETY: as above.
                unsafe { read(request, unit) }?;
            }
        }
        for (requests, decisions) in requests.chunks(CHUNK).zip(decisions.chunks_mut(CHUNK)) {
            let mut read_in: [MaybeUninit<(Key<'_>, &Plan, u64)>; CHUNK] =
                [const { MaybeUninit::uninit() }; CHUNK];
            for (to, request) in read_in.iter_mut().zip(requests) {
                // SAFETY: as above.
                to.write(unsafe { read(request, unit) }?);
            }
            let read_in = &read_in[..requests.len()];
            // SAFETY: as many were written as there are requests.
            let burst =
                unsafe { &*(core::ptr::from_ref(read_in) as *const [(Key<'_>, &Plan, u64)]) };
            table.check_burst(burst, Instant::from_nanos(now_ns), denied(decisions));
        }
        Ok(Error::TgOk)
    })
}

// On 64-bit machines, where tables are used in bursts.
const _: () = assert!(size_of::<Decision>() == size_of::<DecisionBytes>());

/// # Safety
///
/// The request is valid.
#[inline(always)]
unsafe fn read<'a>(
    request: &Request,
    unit: tidegate_core::bucket::Unit,
) -> Result<(Key<'a>, &'a Plan, u64), Error> {
    // SAFETY: the caller answers for it.
    let key = unsafe { bytes(request.key, request.key_len) }?;
    // SAFETY: as above.
    let plan = unsafe { plan(request.plan, unit) }?;
    Ok((Key(key), plan, request.cost))
}

/// Charges all of `count` limits, or none. Returns `TG_OK` if all admit the request and `TG_DENIED`
/// if one does not: `denied_by`, which may be null, is its index. `decisions` may be null.
///
/// `clock` is the clock that `now_ns` comes from, called with `context`. It is read only where a charge
/// must be rolled back, because another call came between. Null: `now_ns` stands for it, and a
/// rolled back charge gives back what flowed in meanwhile, too.
///
/// # Safety
///
/// `table` is a table, `requests` are `count` valid requests, `decisions` is null or memory for as many
/// decisions, `denied_by` is null or memory for a number, `clock` is null or a function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_check_all(
    table: *const Table,
    requests: *const Request,
    count: usize,
    now_ns: u64,
    clock: Option<unsafe extern "C" fn(*mut c_void) -> u64>,
    context: *mut c_void,
    decisions: *mut DecisionBytes,
    denied_by: *mut usize,
) -> Error {
    use tidegate_core::bucket::AllOutcome;
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let requests = unsafe { slice(requests, count) }?;
        if count > TG_MAX_LIMITS {
            return Err(Error::TgTooMany);
        }
        let mut unwanted = [const { MaybeUninit::uninit() }; TG_MAX_LIMITS];
        let decisions = if decisions.is_null() {
            &mut unwanted[..count]
        } else {
            // SAFETY: as above.
            unsafe { slots(decisions.cast::<Decision>(), count) }?
        };
        let denied_by =
            // SAFETY: as above.
            if denied_by.is_null() { None } else { Some(unsafe { memory(denied_by) }?) };
        let now = Instant::from_nanos(now_ns);
        let clock = CallerClock { now: clock, context, otherwise: now };
        let mut limits = [const { None }; TG_MAX_LIMITS];
        for (limit, request) in limits.iter_mut().zip(requests) {
            // SAFETY: as above.
            let (key, plan, cost) = unsafe { read(request, table.unit()) }?;
            *limit = Some(table.limit(key.0, plan, cost, now, &clock));
        }
        let outcome = check_some(&limits, count, denied(decisions));
        let by = match outcome {
            AllOutcome::Admitted => return Ok(Error::TgOk),
            AllOutcome::Denied { by } | AllOutcome::Never { by } | AllOutcome::Contended { by } => {
                by
            }
        };
        if let Some(denied_by) = denied_by {
            denied_by.write(by.into());
        }
        Ok(Error::TgDenied)
    })
}

type CallerLimit<'a> = TableLimit<'a, &'static [Set], SeededState, CallerClock>;

/// Charges the first `count` limits, which are there.
fn check_some(
    limits: &[Option<CallerLimit<'_>>; TG_MAX_LIMITS],
    count: usize,
    decisions: &mut [Decision],
) -> tidegate_core::bucket::AllOutcome {
    let Some(Some(first)) = limits.first() else {
        return tidegate_core::bucket::AllOutcome::Admitted;
    };
    // The places behind the last are never looked at.
    let limits: [&CallerLimit<'_>; TG_MAX_LIMITS] =
        core::array::from_fn(|at| limits[at].as_ref().unwrap_or(first));
    check_all_into(&limits[..count], decisions)
}

/// Writes what a check of one cell would answer. Charges nothing.
///
/// # Safety
///
/// As for `tg_table_check`, but `decision` is not null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_peek(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
    now_ns: u64,
    decision: *mut DecisionBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let (table, key, plan) = unsafe { asked(table, key, key_len, plan_of) }?;
        // SAFETY: as above.
        let to = unsafe { wanted(decision) }?;
        Ok(hand_out(table.peek(key, plan, Instant::from_nanos(now_ns)), to))
    })
}

/// Gives back up to `cells` cells of a charge that was admitted and not used, as far as that is
/// safe. A decision is to be refunded once.
///
/// # Safety
///
/// `table` is a table, `key` is `key_len` bytes, `decision` holds what a check of this table wrote.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_refund(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    decision: *const DecisionBytes,
    cells: u64,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let key = unsafe { bytes(key, key_len) }?;
        // SAFETY: as above.
        let decision = unsafe { shared(decision.cast::<Decision>()) }?;
        if !decision.is_for(table.unit()) {
            return Err(Error::TgWrongUnit);
        }
        table.refund(key, decision, cells, Instant::from_nanos(now_ns));
        Ok(Error::TgOk)
    })
}

/// Makes the key's bucket full.
///
/// # Safety
///
/// `table` is a table, `key` is `key_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_reset(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    now_ns: u64,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let key = unsafe { bytes(key, key_len) }?;
        table.reset(key, Instant::from_nanos(now_ns));
        Ok(Error::TgOk)
    })
}

/// Writes the number of buckets held. Looks at every set.
///
/// # Safety
///
/// `table` is a table, `len` is memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_len(table: *const Table, len: *mut usize) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let len = unsafe { memory(len) }?;
        len.write(table.len());
        Ok(Error::TgOk)
    })
}

/// Charges `cost` cells as an estimate, to be settled or cancelled once. Returns `TG_OK` if it was
/// charged; then the table, the plan and the reservation must stay where they are until it is
/// settled. Returns `TG_DENIED` if it was not; then there is nothing to settle.
///
/// # Safety
///
/// As for `tg_table_check`; `reservation` is memory for a reservation.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_table_reserve(
    table: *const Table,
    key: *const c_void,
    key_len: usize,
    plan_of: *const PlanBytes,
    cost: u64,
    now_ns: u64,
    reservation: *mut ReservationBytes,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let (table, key, plan) = unsafe { asked(table, key, key_len, plan_of) }?;
        // SAFETY: as above.
        let to = unsafe { memory(reservation.cast::<Reserved>()) }?;
        let now = Instant::from_nanos(now_ns);
        let reserved =
            to.write(Reserved { clock: ManualClock::new(), reservation: MaybeUninit::uninit() });
        reserved.clock.set(now);
        // SAFETY: the reservation stays where it is, and lives as long as it needs the clock.
        let clock: &'static ManualClock = unsafe { &*core::ptr::from_ref(&reserved.clock) };
        match reserve(table.limit(key, plan, cost, now, clock)) {
            Ok(made) => {
                reserved.reservation.write(made);
                Ok(Error::TgOk)
            }
            Err(_) => Ok(Error::TgDenied),
        }
    })
}

/// What became of a reservation that was settled, in cells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SettledCells {
    /// Cells of the estimate that were given back.
    pub given_back: u64,
    /// Cells that were charged on top of it.
    pub charged: u64,
    /// Cells that were used on top of it and could not be charged.
    pub unpaid: u64,
}

/// Settles a reservation once, of which `actual` cells were used. 0 cancels it. `settled` may be
/// null.
///
/// # Safety
///
/// `reservation` holds what `tg_table_reserve` wrote with `TG_OK`, and was not settled; `settled` is
/// null or memory for the cells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_reservation_settle(
    reservation: *mut ReservationBytes,
    actual: u64,
    now_ns: u64,
    settled: *mut SettledCells,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let reserved = unsafe { shared(reservation.cast_const().cast::<Reserved>()) }?;
        let to =
            // SAFETY: as above.
            if settled.is_null() { None } else { Some(unsafe { memory(settled) }?) };
        reserved.clock.set(Instant::from_nanos(now_ns));
        // SAFETY: it was written, and is read once.
        let made = unsafe { reserved.reservation.assume_init_read() };
        let settled = made.settle(actual);
        if let Some(to) = to {
            to.write(SettledCells {
                given_back: settled.given_back(),
                charged: settled.charged(),
                unpaid: settled.unpaid(),
            });
        }
        Ok(Error::TgOk)
    })
}

/// Begins a sweep at the table's first slot. There is nothing to be released.
///
/// # Safety
///
/// `table` is a table that lives as long as the sweep is used; `sweep` is memory for a sweep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_sweep_init(table: *const Table, sweep: *mut SweepBytes) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let table = unsafe { of(table) }?;
        // SAFETY: as above.
        let sweep = unsafe { memory(sweep.cast::<Sweeping>()) }?;
        sweep.write(table.sweeper());
        Ok(Error::TgOk)
    })
}

/// Looks at the next `budget` slots, and gives up the buckets that are full. After the last slot
/// the sweep begins again. `swept` may be null.
///
/// # Safety
///
/// `sweep` was begun, and no other thread uses it; `swept` is null or memory for the counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tg_sweep_step(
    sweep: *mut SweepBytes,
    now_ns: u64,
    budget: usize,
    swept: *mut SweptCounts,
) -> Error {
    call(|| {
        // SAFETY: the caller answers for it.
        let sweep = unsafe { unique(sweep.cast::<Sweeping>()) }?;
        let to =
            // SAFETY: as above.
            if swept.is_null() { None } else { Some(unsafe { memory(swept) }?) };
        let done = sweep.sweep(Instant::from_nanos(now_ns), Budget::entries(budget));
        if let Some(to) = to {
            to.write(SweptCounts {
                visited: done.visited,
                removed: done.removed,
                wrapped: done.wrapped.into(),
            });
        }
        Ok(Error::TgOk)
    })
}
