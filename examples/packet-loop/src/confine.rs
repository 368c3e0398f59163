//! A thread that may not call the system.

use std::fmt;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The system refuses to confine a thread.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system does not confine the thread: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Lets the kernel kill the whole process, by SIGSYS, at the next system call of this thread. To end
/// a thread takes system calls, too: a confined thread spins when it is done, until the process exits.
///
/// # Errors
///
/// If the kernel has no seccomp filters, or does not allow them here.
pub fn no_system_calls() -> Result<(), Refused> {
    let refused = |error: &dyn fmt::Display| Refused(error.to_string());
    let kill = SeccompAction::KillProcess;
    let architecture = std::env::consts::ARCH.try_into().map_err(|error| refused(&error))?;
    // A filter must name a call: this one is killed as any other is.
    let calls = [(libc::SYS_getpid, Vec::new())].into_iter().collect();
    let filter = SeccompFilter::new(calls, kill, SeccompAction::Trap, architecture);
    let filter: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| refused(&error))?;
    seccompiler::apply_filter(&filter).map_err(|error| refused(&error))
}
