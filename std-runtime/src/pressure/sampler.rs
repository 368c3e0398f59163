//! A thread that asks a source, so that it may hang.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Medium, Sample, Source, Unknown};
use crate::panics::contained;

/// Asks one source. Dropping it does not wait for an answer: a thread that hangs ends when its source does.
pub(super) struct Sampler {
    channel: Arc<Channel>,
    name: String,
    medium: Medium,
}

struct Channel {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// So many times it was to be asked, and so many times it was.
    asked: u64,
    answered: u64,
    sample: Option<Sample>,
    is_closed: bool,
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    pub(super) fn start(mut source: impl Source + 'static) -> std::io::Result<Self> {
        let channel =
            Arc::new(Channel { state: Mutex::new(State::default()), changed: Condvar::new() });
        // These are its code, too.
        let name = contained(|| source.name()).unwrap_or_else(|| "?".to_owned());
        let medium = contained(|| source.medium()).unwrap_or_default();
        let asked = Arc::clone(&channel);
        std::thread::Builder::new().name("tidegate-source".to_owned()).spawn(move || {
            while asked.wait_until_asked() {
                let sample = contained(|| source.sample());
                let panicked = || Sample::unknown(Unknown::Stale, "the source panicked");
                asked.answer(sample.unwrap_or_else(panicked));
            }
            // Its destructor may panic.
            contained(|| drop(source));
        })?;
        Ok(Self { channel, name, medium })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn medium(&self) -> Medium {
        self.medium
    }

    /// Asks it; or, if it was asked before and has not answered, waits for that answer.
    pub(super) fn sample(&self, timeout: Duration) -> Sample {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.channel.state();
        if state.answered == state.asked {
            state.asked += 1;
            self.channel.changed.notify_all();
        }
        let ours = state.asked;
        while state.answered < ours {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let detail = format!("the source has not answered within {timeout:?}");
                return Sample::unknown(Unknown::Stale, detail);
            }
            let changed = &self.channel.changed;
            state = match left {
                Some(left) => {
                    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let nothing = || Sample::unknown(Unknown::Stale, "the source gave no answer");
        state.sample.clone().unwrap_or_else(nothing)
    }
}

impl Channel {
    /// False once nobody will ask any more.
    fn wait_until_asked(&self) -> bool {
        let mut state = self.state();
        while state.asked == state.answered && !state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_closed
    }

    fn answer(&self, sample: Sample) {
        let mut state = self.state();
        state.sample = Some(sample);
        state.answered = state.asked;
        drop(state);
        self.changed.notify_all();
    }
}

/// A source that answers in time: [`within`].
pub struct Within {
    sampler: Sampler,
    timeout: Duration,
}

/// Has a source asked on a thread of its own, and waits for it no longer than this; then its reading is not
/// known. A [`Pressure`](super::Pressure) does that with its source in any case.
///
/// # Errors
///
/// If the system cannot start a thread.
///
/// ```
/// use std::time::Duration;
/// use tidegate::pressure::{Medium, Sample, Source, State, from_fn, within};
///
/// let hangs = from_fn("hangs", Medium::Host, || loop {
///     std::thread::park();
/// });
/// let mut source = within(hangs, Duration::from_millis(5))?;
/// assert_eq!(source.sample().state(), State::Stale);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn within(source: impl Source + 'static, timeout: Duration) -> std::io::Result<Within> {
    Ok(Within { sampler: Sampler::start(source)?, timeout })
}

impl Source for Within {
    fn name(&self) -> String {
        self.sampler.name().to_owned()
    }

    fn medium(&self) -> Medium {
        self.sampler.medium()
    }

    fn sample(&mut self) -> Sample {
        self.sampler.sample(self.timeout)
    }
}

impl std::fmt::Debug for Within {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Within").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.channel.state().is_closed = true;
        self.channel.changed.notify_all();
    }
}
