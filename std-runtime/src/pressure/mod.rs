//! Memory pressure: the sources on this machine, and caches that give up entries.
//!
//! | source | reads |
//! |---|---|
//! | [`Meminfo`] | `/proc/meminfo`: what the machine has left |
//! | [`Cgroup`] | the tightest limit of the process's control group and all above it, version 1 or 2 |
//! | [`Psi`] | how long tasks wait for memory, on the machine or in the control group |
//! | [`Resident`] | what this process holds, beside a budget |
//! | `Gpu` (feature `nvml`), [`NvidiaSmi`] | a device's memory |
//! | [`from_fn`] | whatever a closure says |
//! | [`max_of`] | the tightest of several; [`any_of`] is its other name |
//! | [`Noop`] | nothing |
//!
//! A source that cannot be read is [`Unknown`], with the reason: never 0, and never *no pressure*.
//!
//! A [`Pressure`] samples a source on a thread that may hang without stopping anything else. It
//! evicts from a [`Pool`] of caches what the [`Controller`] asks for.

mod alarm;
mod cgroup;
mod check;
mod compose;
#[cfg_attr(
    not(feature = "nvml"),
    expect(dead_code, reason = "instances of devices are for the library")
)]
mod device;
mod meminfo;
mod monitor;
mod noop;
mod nvidia_smi;
#[cfg(feature = "nvml")]
mod nvml;
mod observe;
mod pool;
mod psi;
mod resident;
mod root;
mod sampler;
mod source;

#[doc(inline)]
pub use tidegate_core::pressure::{
    Controller, Outcome, PressureError, Reading, Request, Rules, Skip, Target, Unknown, Watermarks,
};

pub use self::alarm::{Alarm, NoAlarm};
pub use self::cgroup::{Cgroup, Reckoning};
pub use self::check::Check;
pub use self::compose::{FromFn, Several, any_of, from_fn, max_of};
pub use self::meminfo::Meminfo;
pub use self::monitor::{Builder, Pressure, Status};
pub use self::noop::Noop;
pub use self::nvidia_smi::NvidiaSmi;
#[cfg(feature = "nvml")]
pub use self::nvml::Gpu;
pub use self::pool::{Pool, PoolBudget, Priority};
pub use self::psi::{Psi, Stall, Window};
pub use self::resident::Resident;
pub use self::root::Root;
pub use self::sampler::{Within, within};
pub use self::source::{Measure, Medium, Member, Sample, Source, State};

/// Returns every source that there may be on this machine, readable or not, as `tidegate pressure`
/// shows them. The first is the tightest of the control group's limit and the machine's memory.
pub fn survey(root: &Root) -> Vec<Box<dyn Source>> {
    let memory: Vec<Box<dyn Source>> =
        vec![Box::new(Cgroup::new(root.clone())), Box::new(Meminfo::new(root.clone()))];
    let memory = max_of(memory).expect("two sources of one medium");
    let mut sources: Vec<Box<dyn Source>> = vec![
        Box::new(memory),
        Box::new(Psi::of_machine(root.clone(), Stall::Some, Window::TenSeconds)),
        Box::new(Psi::of_cgroup(root.clone(), Stall::Some, Window::TenSeconds)),
        Box::new(Resident::new(root.clone(), None)),
    ];
    #[cfg(feature = "nvml")]
    sources.extend(nvml::all());
    sources.extend(nvidia_smi::all());
    sources
}

/// Gives free memory of the heap back to the system, if the allocator is glibc's. The call holds
/// each of its arenas for a while, milliseconds for a gigabyte.
pub fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number; it locks what it touches.
    unsafe {
        libc::malloc_trim(0)
    };
}
