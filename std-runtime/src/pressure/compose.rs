//! Sources made of others, and of closures.

use super::{Medium, Sample, Source, Unknown};
use crate::config::ConfigError;
use crate::panics::contained;

/// A source that asks a closure: [`from_fn`].
#[derive(Clone, Debug)]
pub struct FromFn<F> {
    name: String,
    medium: Medium,
    f: F,
}

/// Asks a closure for used and total, or whatever else a sample can be. What cannot be, more used than there
/// is or a total of 0, is not known.
///
/// ```
/// use tidegate::pressure::{Medium, Sample, Source, State, from_fn};
///
/// let mut source = from_fn("arena", Medium::Host, || Sample::bytes(75, 100, "the arena's counters"));
/// assert_eq!(source.sample().state(), State::Available);
/// let mut broken = from_fn("arena", Medium::Host, || Sample::bytes(101, 100, "not possible"));
/// assert_eq!(broken.sample().state(), State::Stale);
/// ```
pub fn from_fn<F: FnMut() -> Sample + Send>(
    name: impl Into<String>,
    medium: Medium,
    f: F,
) -> FromFn<F> {
    FromFn { name: name.into(), medium, f }
}

impl<F: FnMut() -> Sample + Send> Source for FromFn<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn sample(&mut self) -> Sample {
        (self.f)()
    }
}

/// The tightest of several sources: [`max_of`], [`any_of`].
pub struct Several {
    sources: Vec<Box<dyn Source>>,
    medium: Medium,
    is_strict: bool,
}

/// The source of which the largest part is used. Not known as long as one of them is not: that might be it.
///
/// # Errors
///
/// If there are none, or they do not measure the same medium.
pub fn max_of(sources: Vec<Box<dyn Source>>) -> Result<Several, ConfigError> {
    Several::new(sources, true)
}

/// The source of which the largest part is used, of those that are known: for sources some of which there may
/// be none of, where one is enough. One that may hang keeps the others waiting, here as in [`max_of`]: put it
/// [`within`](super::within) a time.
///
/// # Errors
///
/// If there are none, or they do not measure the same medium.
pub fn any_of(sources: Vec<Box<dyn Source>>) -> Result<Several, ConfigError> {
    Several::new(sources, false)
}

impl Several {
    fn new(sources: Vec<Box<dyn Source>>, is_strict: bool) -> Result<Self, ConfigError> {
        let Some(medium) = sources.first().map(|source| source.medium()) else {
            return Err(ConfigError::new("sources", "must be at least one"));
        };
        if sources.iter().any(|source| source.medium() != medium) {
            return Err(ConfigError::new("sources", "must all measure the same medium"));
        }
        Ok(Self { sources, medium, is_strict })
    }
}

impl Source for Several {
    fn name(&self) -> String {
        let names: Vec<_> = self.sources.iter().map(|source| source.name()).collect();
        format!("{}({})", if self.is_strict { "max" } else { "any" }, names.join(", "))
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn sample(&mut self) -> Sample {
        let mut tightest: Option<Sample> = None;
        let mut unknown: Option<Sample> = None;
        for source in &mut self.sources {
            let panicked = || Sample::unknown(Unknown::Stale, "the source panicked");
            let mut sample = contained(|| source.sample()).unwrap_or_else(panicked);
            sample.detail = format!("{}: {}", source.name(), sample.detail);
            let share = sample.reading.share();
            let place = if share.is_some() { &mut tightest } else { &mut unknown };
            if place.as_ref().is_none_or(|other| share > other.reading.share()) {
                *place = Some(sample);
            }
        }
        let (first, second) =
            if self.is_strict { (unknown, tightest) } else { (tightest, unknown) };
        first.or(second).expect("there is at least one")
    }
}

impl std::fmt::Debug for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Several").field("name", &self.name()).finish()
    }
}
