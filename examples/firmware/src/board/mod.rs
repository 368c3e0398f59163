//! The boards: a counter, a timer whose interrupt calls a function, and a way to print and to end.
//!
//! Under QEMU's `-icount shift=0` an instruction takes a nanosecond, so a counter of time counts
//! instructions.

#[cfg(not(target_os = "none"))]
mod host;
#[cfg(board = "microbit")]
mod microbit;
#[cfg(board = "mps2")]
mod mps2;
#[cfg(any(board = "microbit", board = "virt"))]
mod registers;
#[cfg(target_os = "none")]
mod semihosted;
#[cfg(board = "virt")]
mod virt;

#[cfg(not(target_os = "none"))]
pub use self::host::*;
#[cfg(board = "microbit")]
pub use self::microbit::*;
#[cfg(board = "mps2")]
pub use self::mps2::*;
#[cfg(target_os = "none")]
pub use self::semihosted::{exit, print, write};
#[cfg(board = "virt")]
pub use self::virt::*;

/// The function that the timer's interrupt calls.
#[cfg(target_os = "none")]
static HANDLER: critical_section::Mutex<core::cell::Cell<fn()>> =
    critical_section::Mutex::new(core::cell::Cell::new(nothing));

#[cfg(target_os = "none")]
fn nothing() {}

#[cfg(target_os = "none")]
fn on_tick(handler: fn()) {
    critical_section::with(|cs| HANDLER.borrow(cs).set(handler));
}

#[cfg(target_os = "none")]
fn handle() {
    critical_section::with(|cs| HANDLER.borrow(cs).get())();
}
