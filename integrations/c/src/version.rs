//! Versions.

use core::ffi::c_char;

/// The version of the functions, types and sizes in the header. A change that breaks a program that
/// was compiled with the header raises it.
pub const TG_ABI_VERSION: u32 = 1;

/// Returns the `TG_ABI_VERSION` that the library was built with. A program compares it with that of
/// the header it was compiled with.
#[unsafe(no_mangle)]
pub extern "C" fn tg_abi_version() -> u32 {
    TG_ABI_VERSION
}

/// Returns the library's version, such as "0.1.0". Never null.
#[unsafe(no_mangle)]
pub extern "C" fn tg_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
