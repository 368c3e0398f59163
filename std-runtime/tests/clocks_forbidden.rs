//! A process that may not read the processor's counter: `PR_SET_TSC`.
//!
//! A read of the counter ends this program. So would the C library's `clock_gettime`, which reads the
//! counter, too; the one here, which the linker prefers, asks the kernel each time.

#![cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]

use std::time::Duration;

use tidegate::clock::{Refusal, TimeSource};
use tidegate::{Clock, clock};

/// Reads a clock as the C library's does.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the arguments are those of the call, whose caller promises that `time` can be written.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) };
    result as libc::c_int
}

#[test]
fn a_counter_that_the_process_may_not_read_is_not_read() {
    // SAFETY: the call changes what instructions this thread may execute, and it executes none of them.
    let refused = unsafe { libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV) };
    assert_eq!(refused, 0);
    let start = clock().now();
    assert_eq!(clock().source(), TimeSource::Kernel(Refusal::Forbidden));
    while clock().now().since(start) < Duration::from_millis(300) {}
    assert_eq!(clock().source(), TimeSource::Kernel(Refusal::Forbidden));
    // The thread's end may read it.
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_TSC, libc::PR_TSC_ENABLE) };
}
