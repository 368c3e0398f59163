//! Arm's MPS2 with the image AN386: a Cortex-M4 of 25 MHz.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

use super::{handle, on_tick};

/// What the board is called.
pub const NAME: &str = "mps2-an386";

const LAST: u32 = 0x00ff_ffff;
const NANOS: u64 = 40;

fn timer() -> SYST {
    // SAFETY: only this file uses the timer, and each function for a moment.
    let core = unsafe { cortex_m::Peripherals::steal() };
    core.SYST
}

fn start(reload: u32) -> SYST {
    let mut timer = timer();
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(reload);
    timer.clear_current();
    timer.enable_counter();
    timer
}

/// Starts the counter.
pub fn start_counter() {
    start(LAST);
}

/// Returns the nanoseconds since the counter was started. It wraps after 0.6 s.
pub fn nanos() -> u64 {
    u64::from(LAST - SYST::get_current()) * NANOS
}

/// Makes the timer's interrupt call `handler` every 25 µs. The counter ends.
pub fn start_ticks(handler: fn()) {
    on_tick(handler);
    start(624).enable_interrupt();
}

/// Stops the timer.
pub fn stop_ticks() {
    let mut timer = timer();
    timer.disable_interrupt();
    timer.disable_counter();
}

#[cortex_m_rt::exception]
fn SysTick() {
    handle();
}
