//! The kernel's clocks that count from one moment to the next.

use super::source::TimeSource;

/// A clock of the kernel to which the processor's counter is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Stands still while the machine is suspended.
    Monotonic,
    /// Goes on while the machine is suspended.
    Boot,
}

/// There is a counter to read.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(loom)))]
impl Base {
    /// Reads the clock: by the counter where that can be, else from the kernel. Returns `None` if the
    /// kernel does not know the clock, or refuses it.
    #[inline(always)]
    pub(super) fn now(self) -> Option<u64> {
        super::counter::now(self)
    }

    /// Returns what the clock is read from now, and why.
    pub(super) fn source(self) -> TimeSource {
        super::counter::source(self)
    }
}

/// There is none, or the threads are a model's.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(loom)
)))]
impl Base {
    /// Reads the clock from the kernel. Returns `None` if it does not know the clock, or refuses it.
    pub(super) fn now(self) -> Option<u64> {
        self.kernel()
    }

    /// Returns what the clock is read from now, and why.
    pub(super) fn source(self) -> TimeSource {
        TimeSource::Kernel(super::source::Refusal::Unsupported)
    }
}

#[cfg(target_os = "linux")]
impl Base {
    /// Reads the clock from the kernel.
    #[inline]
    pub(super) fn kernel(self) -> Option<u64> {
        kernel(match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boot => libc::CLOCK_BOOTTIME,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl Base {
    /// No clock is known to have either meaning on every such system.
    pub(super) fn kernel(self) -> Option<u64> {
        None
    }
}

/// Reads the clock of the last scheduler tick.
#[inline]
pub(super) fn coarse() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return kernel(libc::CLOCK_MONOTONIC_COARSE);
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// Reads a clock; `None` if the system does not know it, or refuses it.
#[cfg(target_os = "linux")]
#[inline]
fn kernel(id: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid `timespec` to write to, and any `id` may be asked for.
    let failed = unsafe { libc::clock_gettime(id, &raw mut time) };
    (failed == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
