//! The one clock that all processes of a machine read alike.

use tidegate_core::{Clock, Instant};

/// The kernel's `CLOCK_MONOTONIC`, as it is: it counts from the kernel's own origin, so that all
/// processes read the same time. It stands still while the machine is suspended. A process in a
/// time namespace with an offset reads another time, and must not share a table with those outside.
///
/// ```
/// use tidegate::Clock;
/// use tidegate::shared::KernelClock;
///
/// assert!(KernelClock.now() <= KernelClock.now());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> Instant {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes to `time` alone. It cannot fail for this clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        #[expect(clippy::cast_sign_loss, reason = "the clock counts from zero")]
        Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}
