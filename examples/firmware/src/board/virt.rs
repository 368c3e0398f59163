//! QEMU's `virt`: a 32-bit RISC-V with a machine timer, with and without atomic instructions.

use riscv::interrupt::Interrupt;
use riscv::register::{mie, minstret};

use super::registers::{read, write};
use super::{handle, on_tick};

/// What the board is called.
pub const NAME: &str = "virt";

/// The machine timer of 10 MHz, and what it is compared with.
const MTIME: usize = 0x0200_bff8;
const MTIMECMP: usize = 0x0200_4000;
/// 25 µs
const PERIOD: u64 = 250;

fn now() -> u64 {
    loop {
        let high = read(MTIME + 4);
        let low = read(MTIME);
        if read(MTIME + 4) == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

fn set_next() {
    let next = now() + PERIOD;
    write(MTIMECMP + 4, u32::MAX); // no interrupt between the halves
    write(MTIMECMP, next as u32);
    write(MTIMECMP + 4, (next >> 32) as u32);
}

/// Does nothing: the processor counts its instructions from the start.
pub fn start_counter() {}

/// Returns the instructions since the start, each of which takes a nanosecond.
pub fn nanos() -> u64 {
    minstret::read64()
}

/// Makes the timer's interrupt call `handler` every 25 µs.
pub fn start_ticks(handler: fn()) {
    on_tick(handler);
    set_next();
    // SAFETY: the handler takes a critical section for what it shares, and none is open here.
    unsafe { mie::set_mtimer() };
    // SAFETY: as above.
    unsafe { riscv::interrupt::enable() };
}

/// Stops the timer's interrupt.
pub fn stop_ticks() {
    // SAFETY: nothing waits for the interrupt.
    unsafe { mie::clear_mtimer() };
}

#[riscv_rt::core_interrupt(Interrupt::MachineTimer)]
fn machine_timer() {
    set_next();
    handle();
}
