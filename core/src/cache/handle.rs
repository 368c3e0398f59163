//! What the order knows of an entry.

/// The handle of an entry: a part of its key's hash, a number that distinguishes it from other
/// entries of the key, and when it was put where it is. It keeps nothing alive: only looking for
/// the entry shows whether it still exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u64);

const HASH: u32 = 31;
const TAG: u32 = 8;
const TIME: u32 = 24;
/// Set so that no handle is a small number.
const HANDLE: u64 = 1 << 63;

const _: () = assert!(HASH + TAG + TIME == 63);

impl Handle {
    /// The bits of the hash that a handle knows.
    pub(super) const KNOWN: usize = (1 << HASH) - 1;
    /// The bits of a tag.
    pub(super) const TAGS: u32 = (1 << TAG) - 1;

    /// Makes the handle of an entry whose hash has these lowest bits. Of `tag` and `time` the
    /// lowest bits count.
    pub(super) fn new(hash: usize, tag: u32, time: Time) -> Self {
        let tag = u64::from(tag & Self::TAGS);
        Self(
            HANDLE | tag << (HASH + TIME) | u64::from(time.0) << HASH | (hash & Self::KNOWN) as u64,
        )
    }

    /// Restores a handle from its [number](Self::number).
    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number by which a queue holds the handle. It is large.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// Returns the handle of the same entry, put somewhere at another time.
    pub(super) fn at(self, time: Time) -> Self {
        let keep = !(u64::from(Time::MASK) << HASH);
        Self(self.0 & keep | u64::from(time.0) << HASH)
    }

    pub(super) fn hash(self) -> usize {
        self.0 as usize & Self::KNOWN
    }

    pub(super) fn tag(self) -> u32 {
        (self.0 >> (HASH + TIME)) as u32 & Self::TAGS
    }

    pub(super) fn time(self) -> Time {
        Time::new(self.0 >> HASH)
    }
}

/// A moment of an order's clock, which counts what came into the small queue. It wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(u32);

impl Time {
    const MASK: u32 = (1 << TIME) - 1;

    /// Makes a time of the lowest bits of a count.
    pub(super) fn new(count: u64) -> Self {
        Self(count as u32 & Self::MASK)
    }

    /// Returns the time as a number.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// Returns how long ago another time was.
    pub(super) fn since(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0) & Self::MASK
    }
}

#[cfg(test)]
mod tests {
    use super::{Handle, Time};

    #[test]
    fn a_handle_returns_what_it_was_made_of() {
        let handle = Handle::new(usize::MAX, 0x1ab, Time::new(0x1_2345_6789));
        assert_eq!(handle.hash(), Handle::KNOWN);
        assert_eq!(handle.tag(), 0xab);
        assert_eq!(handle.time(), Time::new(0x45_6789));
        let later = handle.at(Time::new(1));
        assert_eq!((later.hash(), later.tag()), (handle.hash(), handle.tag()));
        assert_eq!(later.time(), Time::new(1));
        assert_eq!(Handle::from_number(later.number()), later);
        assert!(Handle::new(0, 0, Time::new(0)).number() > u64::from(u32::MAX));
    }

    #[test]
    fn ages_survive_that_the_time_wraps_around() {
        let (before, after) = (Time::new(u64::from(Time::MASK) - 1), Time::new(3));
        assert_eq!(after.since(before), 5);
    }
}
