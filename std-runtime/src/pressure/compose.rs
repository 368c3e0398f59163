//! Sources made of others, and of closures.

use tidegate_core::pressure::Unknown;

use super::source::{Medium, Member, Sample, Source, State};
use crate::config::ConfigError;
use crate::panics::{Foreign, contained};

/// A source that asks a closure. [`from_fn`] makes it.
#[derive(Clone, Debug)]
pub struct FromFn<F> {
    name: String,
    medium: Medium,
    f: F,
}

/// Makes a source of a closure, which returns used and total, or any other kind of sample. An
/// impossible answer, more used than there is or a total of 0, is unknown.
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

/// A source made of several. [`max_of`] makes it.
///
/// Its reading is that of the member of which the largest part is used. [`Sample::members`] has
/// what each member said. A member that is not there, or has no limit here, is absent
/// ([`State::Unsupported`]). Any other unknown member makes the whole reading unknown, because it
/// might be the tightest; the detail names it.
pub struct Several {
    how: &'static str,
    members: Vec<(String, Foreign<Box<dyn Source>>)>,
    medium: Medium,
    skipped: Vec<State>,
}

/// Returns a source that reads the tightest of the sources that are there: see [`Several`].
///
/// # Errors
///
/// Fails if there are no sources, if they do not measure the same medium, or if one panics when it
/// is asked for its name and medium.
///
/// ```
/// use tidegate::pressure::{Cgroup, Meminfo, Root, max_of};
///
/// // The container's limit if there is one, and the machine's memory.
/// let root = Root::system();
/// let memory = max_of(vec![Box::new(Cgroup::new(root.clone())), Box::new(Meminfo::new(root))])?;
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub fn max_of(sources: Vec<Box<dyn Source>>) -> Result<Several, ConfigError> {
    Several::new(sources)
}

/// Returns the source that [`max_of`] returns, under another name: `any(a, b)` for `max(a, b)`. Its
/// readings are the same, because both pass over absent members, and over no others. Use
/// [`max_of`], unless a dashboard or a configuration knows the source as `any`.
///
/// # Errors
///
/// Fails as [`max_of`] does.
///
/// ```
/// use tidegate::pressure::{Medium, Noop, Source, any_of, max_of};
///
/// let noop = || vec![Box::new(Noop::new(Medium::Host)) as Box<dyn Source>];
/// let (mut any, mut max) = (any_of(noop())?, max_of(noop())?);
/// assert_eq!((any.name(), max.name()), ("any(noop)".to_owned(), "max(noop)".to_owned()));
/// assert_eq!(any.sample(), max.sample());
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub fn any_of(sources: Vec<Box<dyn Source>>) -> Result<Several, ConfigError> {
    max_of(sources).map(|several| Several { how: "any", ..several })
}

impl Several {
    fn new(sources: Vec<Box<dyn Source>>) -> Result<Self, ConfigError> {
        let mut members = Vec::with_capacity(sources.len());
        let mut media = Vec::with_capacity(sources.len());
        let sources: Vec<_> = sources.into_iter().map(Foreign::new).collect();
        for source in sources {
            let asked = contained(|| (source.name(), source.medium()));
            let panicked =
                || ConfigError::new("sources", "one panicked when asked what it measures");
            let (name, medium) = asked.ok_or_else(panicked)?;
            members.push((name, source));
            media.push(medium);
        }
        let Some(&medium) = media.first() else {
            return Err(ConfigError::new("sources", "must be at least one"));
        };
        if media.iter().any(|&other| other != medium) {
            return Err(ConfigError::new("sources", "must all measure the same medium"));
        }
        Ok(Self { how: "max", members, medium, skipped: vec![State::Unsupported] })
    }

    /// Skips members in this state, too. What they measure is not watched while they are in it.
    ///
    /// ```
    /// use tidegate::pressure::{Medium, Sample, Source, State, Unknown, from_fn, max_of};
    ///
    /// let denied = || Sample::unknown(Unknown::Denied, "not for this process");
    /// let known = || Sample::bytes(50, 100, "a counter");
    /// let sources = || -> Vec<Box<dyn Source>> {
    ///     vec![
    ///         Box::new(from_fn("denied", Medium::Host, denied)),
    ///         Box::new(from_fn("known", Medium::Host, known)),
    ///     ]
    /// };
    /// assert_eq!(max_of(sources())?.sample().state(), State::Denied);
    /// assert_eq!(max_of(sources())?.skipping(State::Denied).sample().state(), State::Available);
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn skipping(mut self, state: State) -> Self {
        self.skipped.push(state);
        self
    }
}

impl Source for Several {
    fn name(&self) -> String {
        let names: Vec<_> = self.members.iter().map(|(name, _)| name.as_str()).collect();
        format!("{}({})", self.how, names.join(", "))
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    /// Asks one member after the other. A member that hangs keeps the others waiting: put one that
    /// may hang [`within`](super::within) a time.
    fn sample(&mut self) -> Sample {
        let ask = |(name, source): &mut (String, Foreign<Box<dyn Source>>)| {
            let panicked = || Sample::unknown(Unknown::Stale, "the source panicked");
            let sample = contained(|| source.sample()).unwrap_or_else(panicked);
            Member { source: name.clone(), sample }
        };
        let members: Vec<_> = self.members.iter_mut().map(ask).collect();
        let state = |member: &&Member| member.sample.state();
        let is_known = |member: &&Member| state(member) == State::Available;
        let decides =
            |member: &&Member| !is_known(member) && !self.skipped.contains(&state(member));
        let tightest = members.iter().filter(is_known).reduce(|tightest, other| {
            let is_tighter = other.sample.reading.share() > tightest.sample.reading.share();
            if is_tighter { other } else { tightest }
        });
        // If all members are skipped, one that is there says more than one that is not.
        let is_there = |member: &&Member| state(member) != State::Unsupported;
        let chosen = members.iter().find(decides).or(tightest);
        let chosen = chosen.or_else(|| members.iter().find(is_there)).or(members.first());
        let Some(Member { source, sample }) = chosen else {
            return Sample::unknown(Unknown::Unsupported, "no sources");
        };
        let (detail, sample) = (format!("{source}: {}", sample.detail), sample.clone());
        Sample { detail, members, ..sample }
    }
}

impl std::fmt::Debug for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Several").field("name", &self.name()).finish_non_exhaustive()
    }
}
