//! The BBC micro:bit: nRF51822, a Cortex-M0, which has no compare-and-swap and here no SysTick.

// For its critical section.
use cortex_m as _;

use super::registers::{read, write};
use super::{handle, on_tick};

/// What the board is called.
pub const NAME: &str = "microbit";

const TIMER0: usize = 0x4000_8000;
const TIMER0_IRQ: i16 = 8;
const START: usize = 0x000;
const STOP: usize = 0x004;
const CLEAR: usize = 0x00c;
const CAPTURE1: usize = 0x044;
const COMPARED0: usize = 0x140;
const SHORTS: usize = 0x200;
const INTENSET: usize = 0x304;
const BITMODE: usize = 0x508;
const PRESCALER: usize = 0x510;
const CC0: usize = 0x540;
const CC1: usize = 0x544;
const ISER: usize = 0xe000_e100;

/// The counter's ticks a nanosecond, as a fraction: 16 MHz.
const NANOS: (u64, u64) = (125, 2);

/// Starts the counter.
pub fn start_counter() {
    write(TIMER0 + BITMODE, 3); // 32 bits
    write(TIMER0 + PRESCALER, 0);
    write(TIMER0 + CLEAR, 1);
    write(TIMER0 + START, 1);
}

/// Returns the nanoseconds since the counter was started. It wraps after four minutes.
pub fn nanos() -> u64 {
    write(TIMER0 + CAPTURE1, 1);
    u64::from(read(TIMER0 + CC1)) * NANOS.0 / NANOS.1
}

/// Makes the timer's interrupt call `handler` every 25 µs. The counter ends.
pub fn start_ticks(handler: fn()) {
    on_tick(handler);
    write(TIMER0 + STOP, 1);
    write(TIMER0 + CLEAR, 1);
    write(TIMER0 + CC0, 400);
    write(TIMER0 + SHORTS, 1); // cleared when it compares equal
    write(TIMER0 + INTENSET, 1 << 16);
    write(ISER, 1 << TIMER0_IRQ);
    write(TIMER0 + START, 1);
}

/// Stops the timer.
pub fn stop_ticks() {
    write(TIMER0 + STOP, 1);
}

/// Every interrupt of a device; the timer's is the only one that is enabled.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) {
    if number == TIMER0_IRQ {
        write(TIMER0 + COMPARED0, 0);
        handle();
    }
}
