//! The thread that keeps a [`CachedClock`] fresh.

use std::time::Duration;

use tidegate_core::Clock;

use super::engine::{Engine, ON_DROP, StartError, deadline};
use super::schedule::Schedule;
use super::task::Task;
use crate::clock::{CachedClock, clock};

impl CachedClock {
    /// Starts a clock that shows the time of [the process's clock](clock()), refreshed every
    /// `interval` by a thread that stops when the returned [`ClockHandle`] is dropped.
    ///
    /// # Errors
    ///
    /// If the interval is below 100 us or above 366 days, or the system cannot start a thread.
    pub fn start(interval: Duration) -> std::io::Result<(Self, ClockHandle)> {
        let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let every = Schedule::every(interval).map_err(invalid)?;
        let source = clock();
        let clock = Self::new(move || source.now());
        let refreshed = clock.clone();
        let engine = Engine::new("tidegate-clock".to_owned());
        let refresh = Box::new(move || {
            refreshed.refresh();
            Ok(Some(()))
        });
        engine
            .shared()
            .add(Task::new("clock".to_owned(), every, refresh).untold())
            .map_err(invalid)?;
        match engine.shared().start() {
            Ok(()) => Ok((clock, ClockHandle(engine))),
            Err(StartError::Thread(error)) => Err(error),
            Err(other) => Err(std::io::Error::other(other)),
        }
    }
}

/// Keeps a [`CachedClock`] fresh until this handle is dropped.
#[derive(Debug)]
#[must_use = "dropping it stops the clock"]
pub struct ClockHandle(Engine<()>);

impl Drop for ClockHandle {
    fn drop(&mut self) {
        self.0.shared().ask_to_stop();
        _ = self.0.shared().wait_until_stopped(deadline(ON_DROP));
    }
}
