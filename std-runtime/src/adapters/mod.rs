//! Sweeps of maps that people already have. For anything else there is
//! [`sweep::from_fn`](tidegate_core::sweep::from_fn).

#[cfg(feature = "flurry")]
mod flurry;

#[cfg(feature = "flurry")]
pub use self::flurry::FlurrySweep;
