//! A thread that asks a source, so that only this thread hangs if the source does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_core::pressure::Unknown;

use super::source::{Medium, Sample, Source};
use crate::panics::{Foreign, contained};

/// Asks one source. Dropping it does not wait for an answer: a thread that hangs ends when its
/// source does.
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
    /// How many times the source was to be asked, and how many times it was.
    asked: u64,
    answered: u64,
    /// Whether no caller waits for the answer any more: when it comes, it is of another time.
    is_late: bool,
    sample: Option<Sample>,
    is_closed: bool,
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the source is to be asked. Returns `false` once no caller will ask any more.
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
        state.is_late = false;
        drop(state);
        self.changed.notify_all();
    }
}

impl Sampler {
    pub(super) fn start(source: impl Source + 'static) -> std::io::Result<Self> {
        let channel =
            Arc::new(Channel { state: Mutex::new(State::default()), changed: Condvar::new() });
        // These run the source's code, too, and so does its destructor, wherever it is dropped.
        let mut source = Foreign::new(source);
        let named = contained(|| (source.name(), source.medium()));
        let panicked = || std::io::Error::other("the source panicked when asked what it measures");
        let (name, medium) = named.ok_or_else(panicked)?;
        let asked = Arc::clone(&channel);
        std::thread::Builder::new().name("tidegate-source".to_owned()).spawn(move || {
            while asked.wait_until_asked() {
                let sample = contained(|| source.sample());
                let panicked = || Sample::unknown(Unknown::Stale, "the source panicked");
                asked.answer(sample.unwrap_or_else(panicked));
            }
        })?;
        Ok(Self { channel, name, medium })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn medium(&self) -> Medium {
        self.medium
    }

    /// Asks the source, and waits for the answer while `goes_on`. An answer to an earlier question
    /// that was not waited for to the end does not count: the source is asked again.
    pub(super) fn sample(&self, timeout: Duration, goes_on: impl Fn() -> bool) -> Sample {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.channel.state();
        let mut ours = None;
        loop {
            if state.answered == state.asked {
                if ours == Some(state.answered) {
                    break;
                }
                state.asked += 1;
                self.channel.changed.notify_all();
            }
            if !state.is_late {
                ours = Some(state.asked);
            }
            let left =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() || !goes_on() {
                state.is_late = true;
                let detail = format!("the source has not answered within {timeout:?}");
                return Sample::unknown(Unknown::Stale, detail);
            }
            let woken = self.channel.changed.wait_timeout(state, left.min(LOOK));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let nothing = || Sample::unknown(Unknown::Stale, "the source gave no answer");
        state.sample.clone().unwrap_or_else(nothing)
    }
}

/// How often a waiting caller looks whether to continue.
const LOOK: Duration = Duration::from_millis(50);

/// A source that answers in time. [`within`] makes it.
pub struct Within {
    sampler: Sampler,
    timeout: Duration,
}

/// Makes a source that is asked on a thread of its own, and waited for no longer than `timeout`.
/// After that its reading is unknown. A [`Pressure`](super::Pressure) does that with its source in
/// any case.
///
/// # Errors
///
/// Fails if the system cannot start a thread, or the source panics when it is asked for its name
/// and medium.
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
        self.sampler.sample(self.timeout, || true)
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
