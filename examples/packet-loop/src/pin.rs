//! One thread for each processor.

use std::io;

/// Binds the calling thread to the `index`th of the processors that it may run on, counted round and round.
///
/// # Errors
///
/// If the system refuses.
pub fn to_processor(index: usize) -> io::Result<()> {
    // SAFETY: an array of bits, of which all zeros is a value.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is of the size that is named.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: each place is within the set.
    let processors: Vec<_> =
        (0..bits).filter(|&at| unsafe { libc::CPU_ISSET(at, &allowed) }).collect();
    let Some(&processor) = processors.get(index % processors.len().max(1)) else {
        return Err(io::Error::other("this thread may run on no processor"));
    };
    // SAFETY: as above.
    let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the place is within the set.
    unsafe { libc::CPU_SET(processor, &mut only) };
    // SAFETY: the set is of the size that is named.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
