//! The word of a claim: which it is, whether it is held, and until when at least.

use core::time::Duration;

use crate::time::Instant;

/// Generation (30 bits), the lease's end (32 bits, in ticks), status (2 bits).
///
/// An end is compared by its difference to now, so it is right within 1.1 years of it; it is
/// rounded up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State(pub(super) u64);

const FREE: u64 = 0;
const HELD: u64 = 1;
const LEASED: u64 = 2;
const STATUS: u64 = 3;
const GENERATION: u32 = 34;

/// A tick is 2^24 nanoseconds, 16.8 ms.
const TICK: u32 = 24;
/// A lease of this many ticks or more, 208 days, never ends.
const LONGEST: u64 = 1 << 30;

impl State {
    /// Never claimed.
    pub(super) const NEW: Self = Self(FREE);

    pub(super) fn is_free(self) -> bool {
        self.0 & STATUS == FREE
    }

    /// Returns the number that distinguishes the claim from the next 2^30.
    pub(super) fn generation(self) -> u32 {
        (self.0 >> GENERATION) as u32
    }

    /// Returns the state of the claim that follows.
    pub(super) fn claimed(self, lease: Option<Duration>, now: Instant) -> Self {
        Self((self.0 >> GENERATION).wrapping_add(1) << GENERATION).leased(lease, now)
    }

    /// Returns the state of this claim with a lease from now on.
    pub(super) fn leased(self, lease: Option<Duration>, now: Instant) -> Self {
        let generation = self.0 >> GENERATION << GENERATION;
        let end = lease.map(|lease| (now + lease).as_nanos().div_ceil(1 << TICK));
        match end.filter(|end| end - (now.as_nanos() >> TICK) < LONGEST) {
            Some(end) => Self(generation | u64::from(end as u32) << 2 | LEASED),
            None => Self(generation | HELD),
        }
    }

    /// Returns the state of this claim when it is given back.
    pub(super) fn freed(self) -> Self {
        Self(self.0 >> GENERATION << GENERATION | FREE)
    }

    /// Returns how long until another caller may have the slot, or `None` if the lease never ends.
    pub(super) fn left(self, now: Instant) -> Option<Duration> {
        if self.0 & STATUS != LEASED {
            return None;
        }
        let (end, tick) = ((self.0 >> 2) as u32, (now.as_nanos() >> TICK) as u32);
        let ticks = u64::try_from(end.wrapping_sub(tick).cast_signed()).unwrap_or(0);
        let since_tick = now.as_nanos() & ((1 << TICK) - 1);
        Some(Duration::from_nanos((ticks << TICK).saturating_sub(since_tick)))
    }

    /// Returns whether another caller may have the slot.
    pub(super) fn is_lapsed(self, now: Instant) -> bool {
        let (end, now) = ((self.0 >> 2) as u32, (now.as_nanos() >> TICK) as u32);
        self.0 & STATUS == LEASED && now.wrapping_sub(end).cast_signed() >= 0
    }
}
