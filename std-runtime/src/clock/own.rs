//! The clock of a structure of the face.

use std::any::Any;
use std::sync::Arc;

use tidegate_core::{Clock, Instant};

use super::{BootClock, CachedClock, CounterClock, SharedClock, clock};
use crate::panics::Foreign;

/// Shares a clock that a builder was given. A clock that is shared by then stays the same one.
pub(crate) fn shared(clock: impl Clock + Send + Sync + 'static) -> SharedClock {
    let given: &dyn Any = &clock;
    if let Some(shared) = given.downcast_ref::<SharedClock>() {
        return Arc::clone(shared);
    }
    Arc::new(clock)
}

/// The clock of a structure of the face: that of the process, or one that its builder was given. Cloning that of the
/// process touches no shared memory.
#[derive(Clone)]
pub(crate) enum OwnClock {
    Boot(BootClock),
    Counter(CounterClock),
    /// Held as what it is: a call through a table would cost as much as its read.
    Cached(CachedClock),
    Given(Foreign<SharedClock>),
}

impl OwnClock {
    /// Takes over a clock that a builder was given.
    pub(crate) fn given(clock: impl Clock + Send + Sync + 'static) -> Self {
        let given: &dyn Any = &clock;
        if let Some(clock) = given.downcast_ref::<BootClock>() {
            return Self::Boot(*clock);
        }
        if let Some(clock) = given.downcast_ref::<CounterClock>() {
            return Self::Counter(*clock);
        }
        if let Some(clock) = given.downcast_ref::<CachedClock>() {
            return Self::Cached(clock.clone());
        }
        Self::Given(Foreign::new(shared(clock)))
    }
}

impl Default for OwnClock {
    fn default() -> Self {
        Self::Boot(clock())
    }
}

impl Clock for OwnClock {
    #[inline(always)]
    fn now(&self) -> Instant {
        match self {
            Self::Boot(clock) => clock.now(),
            Self::Counter(clock) => clock.now(),
            Self::Cached(clock) => clock.now(),
            Self::Given(clock) => clock.now(),
        }
    }
}
