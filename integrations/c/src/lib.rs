#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]

mod decision;
mod error;
mod local;
mod pointer;
mod quota;
mod registry;
#[cfg(all(feature = "std", target_os = "linux"))]
mod shared;
#[cfg(target_has_atomic = "64")]
mod slot;
#[cfg(target_has_atomic = "64")]
mod table;
mod version;

pub use decision::*;
pub use error::*;
pub use local::*;
pub use quota::*;
pub use registry::*;
#[cfg(all(feature = "std", target_os = "linux"))]
pub use shared::*;
#[cfg(target_has_atomic = "64")]
pub use slot::*;
#[cfg(target_has_atomic = "64")]
pub use table::*;
pub use version::*;

#[cfg(all(feature = "panic-handler", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
