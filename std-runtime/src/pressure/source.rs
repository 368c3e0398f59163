//! What a source is, and what it answers.

use std::fmt;
use std::time::Duration;

use tidegate_core::pressure::{Reading, Unknown};

/// Where something is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Medium {
    /// The machine's memory.
    #[default]
    Host,
    /// The memory of an accelerator, by the number that sources and caches of this process give it.
    Device(u32),
}

/// What a reading counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Bytes.
    #[default]
    Bytes,
    /// Parts of something else, of time for instance. The same part of what can be evicted is asked
    /// for.
    Share,
}

/// The answer of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How much is used of how much.
    pub reading: Reading,
    /// What the reading counts.
    pub measure: Measure,
    /// Where the reading comes from, or why it is unknown: for people.
    pub detail: String,
    /// How long it takes until the source shows what an eviction did. At least for this long, no
    /// other eviction follows.
    pub lag: Duration,
    /// What each member of a source made of several said; empty for any other source.
    pub members: Vec<Member>,
}

/// What a member of a source made of several said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of the member.
    pub source: String,
    /// The answer of the member.
    pub sample: Sample,
}

impl Sample {
    /// Creates a sample of `used` bytes of `total`.
    pub fn bytes(used: u64, total: u64, detail: impl Into<String>) -> Self {
        Self::of(Reading::new(used, total), Measure::Bytes, detail)
    }

    /// Creates a sample of a part, in parts per million.
    pub fn share(parts: u32, detail: impl Into<String>) -> Self {
        Self::of(Reading::new(parts.into(), 1_000_000), Measure::Share, detail)
    }

    /// Creates a sample that is unknown.
    pub fn unknown(why: Unknown, detail: impl Into<String>) -> Self {
        Self::of(Reading::Unknown(why), Measure::Bytes, detail)
    }

    pub(super) fn of(reading: Reading, measure: Measure, detail: impl Into<String>) -> Self {
        Self { reading, measure, detail: detail.into(), lag: Duration::ZERO, members: Vec::new() }
    }

    /// Creates a sample of `used` bytes of a bound that may be exceeded.
    pub(super) fn beside(used: u64, total: u64, detail: impl Into<String>) -> Self {
        // There is no part of nothing.
        let reading =
            if total == 0 { Reading::new(used, total) } else { Reading::Known { used, total } };
        Self::of(reading, Measure::Bytes, detail)
    }

    /// Returns the state of the sample's source.
    pub fn state(&self) -> State {
        match self.reading {
            Reading::Known { .. } => State::Available,
            Reading::Unknown(Unknown::Denied) => State::Denied,
            Reading::Unknown(Unknown::Unsupported) => State::Unsupported,
            Reading::Unknown(Unknown::Stale) => State::Stale,
        }
    }
}

/// The state of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The source was read.
    Available,
    /// There is such a source, but this process may not read it.
    Denied,
    /// There is no such source here, or none that can be understood.
    Unsupported,
    /// The source has no answer now: it failed, was too late, or gave impossible figures.
    Stale,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Available => "available",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Stale => "stale",
        })
    }
}

/// A source that says how much memory is used.
///
/// It is asked on a thread of its own. It may take its time, fail, and even panic or hang: only its
/// reading is lost.
pub trait Source: Send {
    /// Returns the name of the source.
    fn name(&self) -> String;

    /// Returns the medium that it measures: only what is held there is evicted for it.
    fn medium(&self) -> Medium {
        Medium::Host
    }

    /// Returns the use of memory at this moment.
    fn sample(&mut self) -> Sample;
}

impl<T: Source + ?Sized> Source for Box<T> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn medium(&self) -> Medium {
        (**self).medium()
    }

    fn sample(&mut self) -> Sample {
        (**self).sample()
    }
}
