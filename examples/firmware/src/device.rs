//! The state of the device, in one `static`, and what its timer's interrupt does with it.

use core::cell::RefCell;
use core::time::Duration;

use critical_section::Mutex;
use tidegate_core::bucket::{LocalSet, Unit};
use tidegate_core::flight::LocalSlot;
use tidegate_core::registry::WhenFull;
use tidegate_core::{FixedRegistry, Instant, LocalBucketTable, Plan, Quota, SeededState, Ttl};

use crate::ledger::Ledger;

/// Sets for 256 keys, in 9.25 KiB. Empty sets are zeros, so the image does not hold them.
pub const SETS: usize = LocalSet::for_keys(256);

/// A rate limiter by device number.
pub type Limiter = LocalBucketTable<&'static mut [LocalSet]>;

/// What the main loop and the interrupt share.
pub struct Device {
    /// The time of the main loop's last step. The interrupt uses it, too, so that the limiter's
    /// times never go back.
    pub now: Instant,
    /// Charged by the main loop and by the interrupt, each for keys of its own.
    pub limiter: Limiter,
    /// Which number each service has. Only the main loop uses it.
    pub services: FixedRegistry<u32, 8, 12>,
    /// Claimed for a step of an update. Only the main loop uses it.
    pub flash: LocalSlot<1>,
    /// Claimed by the main loop and by the interrupt, in turns.
    pub radio: LocalSlot<1>,
    /// Checks what the interrupt is answered.
    pub ledger: Ledger,
}

/// The device. A critical section is what the main loop and the interrupt exclude each other by.
pub static DEVICE: Mutex<RefCell<Device>> = {
    static mut MEMORY: [LocalSet; SETS] = [const { LocalSet::new() }; SETS];
    let memory = &raw mut MEMORY;
    // SAFETY: this is the only place that names the memory, and it is evaluated once.
    Mutex::new(RefCell::new(Device::over(unsafe { &mut *memory })))
};

impl Device {
    /// Creates a device that has not done anything yet, and whose limiter is over `sets`.
    pub const fn over(sets: &'static mut [LocalSet]) -> Self {
        // A product takes its seed from the hardware's random numbers, and makes its table at the
        // start. Here every run is to be the same.
        let seed = SeededState::new(0x5eed);
        Self {
            now: Instant::ORIGIN,
            limiter: LocalBucketTable::over(sets, Unit::NANOSECOND, seed),
            services: FixedRegistry::with(
                Ttl::For(Duration::from_secs(30)),
                WhenFull::EvictSoonest,
            ),
            flash: LocalSlot::new(),
            radio: LocalSlot::new(),
            ledger: Ledger::new(),
        }
    }
}

/// Uses the device in a critical section.
pub fn with_device<R>(f: impl FnOnce(&mut Device) -> R) -> R {
    critical_section::with(|cs| f(&mut DEVICE.borrow_ref_mut(cs)))
}

/// What the timer's interrupt does.
pub fn tick() {
    with_device(Ledger::tick);
}

/// Compiles a quota while the program is compiled, so that no image has to.
///
/// # Panics
///
/// Panics if the quota does not fit the unit.
pub const fn plan(cells: u64, seconds: u64, burst: u64, max_wait: Duration) -> Plan {
    let Ok(quota) = Quota::new(cells, Duration::from_secs(seconds)) else {
        panic!("the rate is representable")
    };
    let Ok(quota) = quota.burst(burst) else { panic!("the burst is representable") };
    match Unit::NANOSECOND.plan(quota.shape(max_wait)) {
        Ok(plan) => plan,
        Err(_) => panic!("the unit suits the quota"),
    }
}
