//! Printing and ending by semihosting, which every one of QEMU's boards has.

use core::fmt::Arguments;

use semihosting::io::Write as _;

/// Prints to the terminal that QEMU runs in.
pub fn print(text: Arguments<'_>) {
    if let Ok(mut out) = semihosting::io::stdout() {
        // An error cannot be reported: this is the only output.
        _ = out.write_fmt(text);
    }
}

/// Prints to the terminal that QEMU runs in, without formatting.
pub fn write(bytes: &[u8]) {
    if let Ok(mut out) = semihosting::io::stdout() {
        // An error cannot be reported: this is the only output.
        _ = out.write_all(bytes);
    }
}

/// Ends QEMU: with status 0, or with 1.
pub fn exit(is_well: bool) -> ! {
    semihosting::process::exit(i32::from(!is_well))
}
