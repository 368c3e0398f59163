//! The smallest useful image: a table of 256 keys, checked and swept, and what a check costs.
//!
//! It prints how many nanoseconds a check and a visit of the sweep take, which are instructions
//! under QEMU's `-icount shift=0`.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::cell::RefCell;
use core::time::Duration;

use critical_section::Mutex;
use tidegate_core::bucket::{LocalSet, Unit};
use tidegate_core::{Budget, Instant, LocalBucketTable, LocalSweep, Plan, SeededState};
use tidegate_firmware::device::{Limiter, SETS, plan};
use tidegate_firmware::{board, stack};

static LIMITER: Mutex<RefCell<Limiter>> = {
    static mut MEMORY: [LocalSet; SETS] = [const { LocalSet::new() }; SETS];
    let memory = &raw mut MEMORY;
    // SAFETY: this is the only place that names the memory, and it is evaluated once.
    let sets = unsafe { &mut *memory };
    Mutex::new(RefCell::new(LocalBucketTable::over(
        sets,
        Unit::NANOSECOND,
        // With this seed every key finds a slot, whichever the width of a word.
        SeededState::new(0x51ed),
    )))
};

const PLAN: Plan = plan(10, 1, 2, Duration::ZERO);
const KEYS: u32 = 256;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    stack::paint();
    board::start_counter();
    let now = Instant::from_secs(1);
    // The first check of a key takes a slot, the second charges it, and the third is denied.
    let mut is_well = true;
    for (what, admitted) in [("new", KEYS), ("check", KEYS), ("denied", 0)] {
        let start = board::nanos();
        let count = check_all(now);
        report(what, (board::nanos() - start) as u32 / KEYS);
        is_well &= count == admitted;
    }

    let mut sweep = LocalSweep::default();
    let start = board::nanos();
    let swept = sweep_all(&mut sweep, now + Duration::from_secs(1));
    report("visit", (board::nanos() - start) as u32 / (SETS * 10) as u32);
    let (used, _) = stack::used();
    report("stack", used as u32);
    board::exit(is_well && swept == KEYS as usize)
}

/// Checks every key once, each in a critical section. Returns how many were admitted.
fn check_all(now: Instant) -> u32 {
    let mut admitted = 0;
    for key in 0..KEYS {
        let decision =
            critical_section::with(|cs| LIMITER.borrow_ref_mut(cs).check(&key, &PLAN, now));
        admitted += u32::from(decision.is_admitted());
    }
    admitted
}

/// Sweeps the table in steps of 32 slots, each in a critical section. Returns how many buckets were
/// given up.
fn sweep_all(sweep: &mut LocalSweep, now: Instant) -> usize {
    let mut removed = 0;
    loop {
        let swept = critical_section::with(|cs| {
            sweep.step(&mut LIMITER.borrow_ref_mut(cs), now, Budget::entries(32))
        });
        removed += swept.removed;
        if swept.wrapped {
            return removed;
        }
    }
}

/// Prints a name and a number, without the library's formatting, which is larger than the limiter.
fn report(what: &str, mut number: u32) {
    let mut digits = *b"           \n";
    let mut place = digits.len() - 1;
    loop {
        place -= 1;
        digits[place] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || place == 0 {
            break;
        }
    }
    board::write(what.as_bytes());
    board::write(&digits);
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    board::exit(false)
}
