//! The device: charges its limiter from a timer's interrupt and from the main loop, keeps services
//! under leases, claims its flash and its radio, and sweeps when it is idle.
//!
//! It prints a digest of the main loop's answers every 1,000 steps, and then what the interrupt
//! found. It ends with status 0 if the interrupt's ledger balances.

#![cfg_attr(target_os = "none", no_std, no_main)]

use core::time::Duration;

use tidegate_core::{Budget, Cadence, Instant, LocalSweep};
use tidegate_firmware::board;
use tidegate_firmware::device::with_device;
use tidegate_firmware::history::History;
use tidegate_firmware::ledger::Ledger;
use tidegate_firmware::{device, stack};

const STEPS: u32 = 100_000;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    stack::paint();
    board::start_ticks(device::tick);

    let mut history = History::new();
    let mut sweep = LocalSweep::default();
    let mut cadence = Cadence::new(Instant::ORIGIN, Duration::from_millis(200));
    let mut claim = None;
    for step in 1..=STEPS {
        with_device(|device| history.step(device));
        // The radio is held for a step, in which the interrupt may find it claimed.
        claim = with_device(|device| match claim.take() {
            Some(claim) => {
                Ledger::release(device, claim);
                None
            }
            None => Ledger::claim(device),
        });
        // Idle: a step of the sweep that is short enough for an interrupt to wait for.
        with_device(|device| {
            if cadence.due(device.now) {
                _ = sweep.step(&mut device.limiter, device.now, Budget::entries(32));
            }
        });
        if step % 1_000 == 0 {
            board::print(format_args!("{step:6} {:016x}\n", history.digest()));
        }
    }

    board::stop_ticks();
    let balances = with_device(|device| {
        let balances = Ledger::balances(device);
        let ledger = &device.ledger;
        board::print(format_args!(
            "interrupts {} admitted {} denied {} held {} faults {}\n",
            ledger.ticks, ledger.admitted, ledger.denied, ledger.held, ledger.faults
        ));
        balances && ledger.ticks > 0
    });
    let (used, size) = stack::used();
    board::print(format_args!("stack {used} of {size}\n"));
    board::exit(balances)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    board::print(format_args!("{info}\n"));
    board::exit(false)
}
