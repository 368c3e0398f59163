//! Pressure that the kernel announces, instead of being asked: stalls on memory, and events of a
//! group.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::pressure::Unknown;

use super::cgroup::{Directory, Version, directory};
use super::psi::{self, Stall};
use super::root::{Failure, Root};
use crate::runtime::engine::Thread;
use crate::runtime::engine::{StartError, Stop};
use crate::runtime::status::Health;
use crate::runtime::task::is_in_a_run;

/// An alarm that goes off when tasks have waited for memory, or when a control group has hit a
/// limit.
#[derive(Debug)]
pub struct Alarm {
    file: File,
    /// Whether the file is one of events, which must be read again each time.
    is_of_events: bool,
    detail: String,
}

/// Why there is no [`Alarm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAlarm {
    /// Denied, or unsupported.
    pub why: Unknown,
    /// Which file said so, and what it said.
    pub detail: String,
}

impl std::fmt::Display for NoAlarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for NoAlarm {}

impl From<Failure> for NoAlarm {
    fn from(Failure { why, detail }: Failure) -> Self {
        Self { why, detail }
    }
}

impl Alarm {
    /// Creates an alarm for stalls: tasks have waited for memory for `waited` within a `window`.
    ///
    /// The tasks are those of the process's control group (version 2), or else of the machine.
    /// Without privileges the window must be a multiple of two seconds.
    ///
    /// # Errors
    ///
    /// Fails with [`NoAlarm`] if the kernel does not announce stalls to this process: the file is
    /// read-only in many containers. See [`of_events`](Self::of_events).
    pub fn of_stalls(
        root: &Root,
        stall: Stall,
        waited: Duration,
        window: Duration,
    ) -> Result<Self, NoAlarm> {
        let group = psi::of_group(root).ok();
        let paths = group.iter().map(String::as_str).chain([psi::MACHINE]);
        let mut failure = None;
        for path in paths {
            match Self::trigger(root, path, stall, waited, window) {
                Ok(alarm) => return Ok(alarm),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::new(Unknown::Unsupported, psi::MACHINE)).into())
    }

    fn trigger(
        root: &Root,
        path: &str,
        stall: Stall,
        waited: Duration,
        window: Duration,
    ) -> Result<Self, Failure> {
        let fails = |error: std::io::Error| Failure::of(path, &error);
        let open = std::fs::OpenOptions::new().read(true).write(true).open(root.path(path));
        let mut file = open.map_err(fails)?;
        let who = match stall {
            Stall::Some => "some",
            Stall::Full => "full",
        };
        // The kernel overwrites the last byte.
        let (waited, window) = (waited.as_micros(), window.as_micros());
        let trigger = format!("{who} {waited} {window}\0");
        file.write_all(trigger.as_bytes()).map_err(|error| match error.kind() {
            // The window needs privileges, or the kernel knows no triggers.
            std::io::ErrorKind::InvalidInput => {
                Failure::new(Unknown::Unsupported, format!("{path}: {error}"))
            }
            _ => fails(error),
        })?;
        Ok(Self { file, is_of_events: false, detail: path.to_owned() })
    }

    /// Creates an alarm [for stalls](Self::of_stalls) if that may be had here, with a tenth of a
    /// second waited within two. Otherwise creates one [for events](Self::of_events).
    ///
    /// # Errors
    ///
    /// Fails with [`NoAlarm`] if neither may be had. It says why there is none for stalls.
    pub fn of_pressure(root: &Root) -> Result<Self, NoAlarm> {
        let (waited, window) = (Duration::from_millis(100), Duration::from_secs(2));
        Self::of_stalls(root, Stall::Some, waited, window)
            .or_else(|why_not| Self::of_events(root).map_err(|_| why_not))
    }

    /// Creates an alarm for events: the process's control group (version 2) has hit `memory.high`,
    /// `memory.max`, or was short of memory. It goes off late, but every process may have it.
    ///
    /// # Errors
    ///
    /// Fails with [`NoAlarm`].
    pub fn of_events(root: &Root) -> Result<Self, NoAlarm> {
        let Directory { version, mount, below } = directory(root)?;
        if version == Version::One {
            let detail = "control groups of version 1 have no memory.events";
            return Err(Failure::new(Unknown::Unsupported, detail).into());
        }
        let path = format!("{mount}{below}/memory.events");
        let fails = |error: std::io::Error| Failure::of(&path, &error);
        let mut file = File::open(root.path(&path)).map_err(fails)?;
        // The file says what is new since it was read.
        std::io::copy(&mut file, &mut std::io::sink()).map_err(fails)?;
        Ok(Self { file, is_of_events: true, detail: path })
    }

    /// Returns which file the alarm comes from.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Waits until the alarm goes off, or `wakes` is written to, and returns whether it went off.
    /// Fails if there is nothing to wait for any more.
    fn wait(&mut self, wakes: &OwnedFd) -> std::io::Result<bool> {
        let mut fds = [
            libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLPRI, revents: 0 },
            libc::pollfd { fd: wakes.as_raw_fd(), events: libc::POLLIN, revents: 0 },
        ];
        // SAFETY: two valid entries, of files that are open.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) };
        if ready < 0 {
            let error = std::io::Error::last_os_error();
            return if error.kind() == std::io::ErrorKind::Interrupted {
                Ok(false)
            } else {
                Err(error)
            };
        }
        if fds[1].revents != 0 {
            return Ok(false);
        }
        let (pri, err) = (libc::POLLPRI, libc::POLLERR | libc::POLLNVAL);
        if fds[0].revents & pri != 0 {
            if self.is_of_events {
                // The file reports POLLERR with it, and must be read again; that of a group that is
                // gone cannot be.
                self.file.rewind()?;
                std::io::copy(&mut self.file, &mut std::io::sink())?;
            } else if fds[0].revents & err != 0 {
                return Err(std::io::Error::other("the group is gone"));
            }
            return Ok(true);
        }
        if fds[0].revents & err != 0 {
            return Err(std::io::Error::other("the group is gone"));
        }
        Ok(false)
    }
}

/// The least time between two checks for an alarm that goes off again and again.
const REST: Duration = Duration::from_millis(100);

/// A thread that waits for an alarm.
pub(super) struct AlarmThread {
    watch: Arc<Watch>,
}

struct Watch {
    alarm: Mutex<Alarm>,
    goes_off: Box<dyn Fn() + Send + Sync>,
    phase: Mutex<Phase>,
    changed: Condvar,
}

/// What wakes the thread; `None` while it does not run.
#[derive(Default)]
struct Phase {
    wakes: Option<Arc<OwnedFd>>,
    is_stopping: bool,
    /// Whether there was nothing to wait for any more.
    has_failed: bool,
}

impl AlarmThread {
    pub(super) fn new(alarm: Alarm, goes_off: impl Fn() + Send + Sync + 'static) -> Self {
        let (alarm, goes_off) = (Mutex::new(alarm), Box::new(goes_off));
        let (phase, changed) = (Mutex::new(Phase::default()), Condvar::new());
        Self { watch: Arc::new(Watch { alarm, goes_off, phase, changed }) }
    }
}

impl Watch {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, wakes: &OwnedFd) {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.phase().is_stopping {
            match alarm.wait(wakes) {
                Ok(true) => {
                    (self.goes_off)();
                    let phase = self.phase();
                    if !phase.is_stopping {
                        let rested = self.changed.wait_timeout(phase, REST);
                        drop(rested.unwrap_or_else(PoisonError::into_inner));
                    }
                }
                Ok(false) => {}
                // Checks continue at their interval.
                Err(_) => {
                    self.phase().has_failed = true;
                    break;
                }
            }
        }
    }
}

/// Records that the thread has left, in whatever way.
struct Left<'a>(&'a Watch);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let mut phase = self.0.phase();
        (phase.wakes, phase.is_stopping) = (None, false);
        drop(phase);
        self.0.changed.notify_all();
    }
}

impl Thread for AlarmThread {
    fn can_start(&self) -> bool {
        !self.watch.phase().is_stopping
    }

    fn start(&self) -> Result<(), StartError> {
        let mut phase = self.watch.phase();
        if phase.wakes.is_some() {
            return Ok(());
        }
        // SAFETY: takes two numbers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(StartError::Thread(std::io::Error::last_os_error()));
        }
        // SAFETY: just made, and owned here alone.
        let wakes = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
        let (watch, woken) = (Arc::clone(&self.watch), Arc::clone(&wakes));
        let thread = std::thread::Builder::new().name("tidegate-alarm".to_owned());
        let spawned = thread.spawn(move || {
            let _left = Left(&watch);
            watch.run(&woken);
        });
        spawned.map_err(StartError::Thread)?;
        phase.has_failed = false;
        phase.wakes = Some(wakes);
        Ok(())
    }

    fn ask_to_stop(&self) {
        let mut phase = self.watch.phase();
        let Some(wakes) = phase.wakes.clone() else { return };
        phase.is_stopping = true;
        drop(phase);
        self.watch.changed.notify_all();
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes, to a file that is open. A full one wakes all the same.
        unsafe { libc::write(wakes.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn wait_until_stopped(&self, deadline: Option<std::time::Instant>) -> Stop {
        let mut phase = self.watch.phase();
        while phase.is_stopping {
            let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
            if is_in_a_run() || left == Some(Duration::ZERO) {
                return Stop::TimedOut;
            }
            let left = left.unwrap_or(Duration::MAX);
            let woken = self.watch.changed.wait_timeout(phase, left);
            phase = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Stop::Stopped
    }

    fn worst(&self, _stalled_after: u32) -> Option<Health> {
        let failed = self.watch.phase().has_failed;
        failed.then_some(Health::Degraded { consecutive_errors: 1 })
    }
}

impl Drop for AlarmThread {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// What comes out of band on a connection is announced as the kernel announces pressure.
    #[test]
    fn it_goes_off_again_and_again_and_says_when_there_is_nothing_to_wait_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("ours");
        let (far, _) = listener.accept().expect("ours");
        let file = File::from(OwnedFd::from(near));
        let alarm = Alarm { file, is_of_events: false, detail: "a connection".to_owned() };
        let went_off = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&went_off);
        let thread = AlarmThread::new(alarm, move || {
            counts.fetch_add(1, Ordering::SeqCst);
        });
        thread.start().expect("a thread");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!((went_off.load(Ordering::SeqCst), thread.worst(3)), (0, None));
        // SAFETY: a byte, to a socket that is open.
        let sent = unsafe { libc::send(far.as_raw_fd(), [1_u8].as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        let start = std::time::Instant::now();
        while went_off.load(Ordering::SeqCst) < 2 {
            assert!(start.elapsed() < Duration::from_secs(20), "it never went off");
            std::thread::sleep(Duration::from_millis(5));
        }
        // It goes off no more often than it may.
        assert!(start.elapsed() >= REST);
        thread.ask_to_stop();
        let stopped =
            thread.wait_until_stopped(crate::runtime::engine::deadline(Duration::from_secs(20)));
        assert_eq!(stopped, Stop::Stopped);
        assert!(thread.can_start());
    }

    #[test]
    fn a_group_that_is_gone_ends_it_and_is_seen() {
        // A pipe whose other end is closed is in error.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let file = File::from(OwnedFd::from(writer));
        let alarm = Alarm { file, is_of_events: true, detail: "a pipe".to_owned() };
        let thread = AlarmThread::new(alarm, || panic!("it does not go off"));
        thread.start().expect("a thread");
        let start = std::time::Instant::now();
        while thread.worst(3).is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "nobody sees it");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
