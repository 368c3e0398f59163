//! A circuit breaker: whether a renewal is tried, and how long the pauses are. Pure.

use std::time::Duration;

use tidegate_core::Instant;

/// Says whether renewals are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// Renewals are tried. This many renewals have failed in a row.
    Closed(u32),
    /// No renewal is tried before this instant.
    Open(Instant),
    /// One renewal is being tried. No other is tried until it has ended.
    HalfOpen,
}

impl Breaker {
    /// Whether two states differ in more than a count.
    pub(super) fn differs(self, other: Self) -> bool {
        !matches!((self, other), (Self::Closed(_), Self::Closed(_))) && self != other
    }
}

/// After how many failures the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fuse {
    pub(super) threshold: u32,
    /// The first pause. Each probe that fails doubles it.
    pub(super) cooldown: Duration,
    /// No pause is longer than this, unless the first one is.
    pub(super) longest: Duration,
}

impl Fuse {
    /// The pause after the breaker has opened `before` times in a row.
    fn pause(self, before: u32) -> Duration {
        doubled(self.cooldown, before).min(self.longest.max(self.cooldown))
    }
}

/// `duration`, doubled `times` times; the longest duration if that is too long to represent.
pub(super) fn doubled(duration: Duration, times: u32) -> Duration {
    duration.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
}

/// How a renewal was admitted: as one of many, or as the one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Freely,
    AsProbe,
}

/// The breaker, and how often it has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Circuit {
    pub(super) state: Breaker,
    /// How many times in a row the breaker has opened after a failure.
    opened: u32,
}

impl Circuit {
    pub(super) const CLOSED: Self = Self { state: Breaker::Closed(0), opened: 0 };

    /// Admits a renewal, or says until when none is tried: `None` while a probe is in progress.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admitted, Option<Instant>> {
        match self.state {
            Breaker::Closed(_) => Ok(Admitted::Freely),
            Breaker::Open(until) if now >= until => {
                self.state = Breaker::HalfOpen;
                Ok(Admitted::AsProbe)
            }
            Breaker::Open(until) => Err(Some(until)),
            Breaker::HalfOpen => Err(None),
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::CLOSED;
    }

    /// Counts a failure. A pause that follows ends at `latest` at the latest.
    pub(super) fn failed(&mut self, now: Instant, fuse: Fuse, latest: Instant) {
        match self.state {
            Breaker::Closed(failures) if failures.saturating_add(1) < fuse.threshold => {
                self.state = Breaker::Closed(failures + 1);
            }
            _ => {
                self.state = Breaker::Open((now + fuse.pause(self.opened)).min(latest));
                self.opened = self.opened.saturating_add(1);
            }
        }
    }

    /// Ends a renewal of which nothing is known. After a probe there is another pause, as long as
    /// the last one.
    pub(super) fn abandoned(
        &mut self,
        admitted: Admitted,
        now: Instant,
        fuse: Fuse,
        latest: Instant,
    ) {
        if admitted == Admitted::AsProbe {
            let pause = fuse.pause(self.opened.saturating_sub(1));
            self.state = Breaker::Open((now + pause).min(latest));
        }
    }

    /// Has a pause end at `latest` at the latest.
    pub(super) fn limit(&mut self, latest: Instant) {
        if let Breaker::Open(until) = &mut self.state {
            *until = latest.min(*until);
        }
    }

    /// Makes the next pause a first one.
    pub(super) fn shorten(&mut self) {
        self.opened = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUSE: Fuse =
        Fuse { threshold: 3, cooldown: Duration::from_secs(30), longest: Duration::from_secs(100) };
    const NOW: Instant = Instant::from_secs(100);
    const LATER: Instant = Instant::from_secs(130);

    fn circuit(state: Breaker) -> Circuit {
        Circuit { state, opened: 0 }
    }

    #[test]
    fn i_c32_states_and_what_leads_from_one_to_another() {
        let mut breaker = circuit(Breaker::Open(NOW));
        assert_eq!((breaker.admit(NOW), breaker.state), (Ok(Admitted::AsProbe), Breaker::HalfOpen));
        let mut breaker = circuit(Breaker::Closed(2));
        breaker.failed(NOW, FUSE, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Open(LATER));
        let mut breaker = circuit(Breaker::HalfOpen);
        breaker.failed(NOW, FUSE, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Open(LATER));

        let mut breaker = Circuit::CLOSED;
        breaker.failed(NOW, FUSE, Instant::MAX);
        let admitted = breaker.admit(NOW);
        assert_eq!((admitted, breaker.state), (Ok(Admitted::Freely), Breaker::Closed(1)));
        breaker.succeeded();
        assert_eq!(breaker, Circuit::CLOSED);
        let mut breaker = circuit(Breaker::Open(LATER));
        assert_eq!((breaker.admit(NOW), breaker.state), (Err(Some(LATER)), Breaker::Open(LATER)));
    }

    /// I-B6: a probe is one, and one that is cancelled opens the breaker again.
    #[test]
    fn i12_one_probe_at_a_time_and_a_cancelled_one_is_no_answer() {
        let mut breaker = circuit(Breaker::Open(NOW));
        assert_eq!(breaker.admit(NOW), Ok(Admitted::AsProbe));
        assert_eq!(breaker.admit(NOW), Err(None));
        assert_eq!(breaker.admit(LATER), Err(None));
        breaker.abandoned(Admitted::AsProbe, NOW, FUSE, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Open(LATER));
        let mut breaker = circuit(Breaker::Closed(1));
        breaker.abandoned(Admitted::Freely, NOW, FUSE, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Closed(1));
    }

    #[test]
    fn e1_pauses_grow_to_the_longest_and_begin_anew() {
        let mut breaker = circuit(Breaker::Closed(2));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            breaker.failed(NOW, FUSE, Instant::MAX);
            let Breaker::Open(until) = breaker.state else { panic!("{breaker:?}") };
            pauses.push(until.since(NOW).as_secs());
            // A probe that is cancelled does not count.
            assert_eq!(breaker.admit(until), Ok(Admitted::AsProbe));
            breaker.abandoned(Admitted::AsProbe, NOW, FUSE, Instant::MAX);
            assert_eq!(breaker.state, Breaker::Open(until));
        }
        assert_eq!(pauses, [30, 60, 100, 100]);
        breaker.shorten();
        breaker.failed(NOW, FUSE, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Open(LATER));
        // No pause outlasts what it is told.
        breaker.failed(NOW, FUSE, Instant::from_secs(107));
        assert_eq!(breaker.state, Breaker::Open(Instant::from_secs(107)));
        // A first pause above the longest is kept.
        let fuse = Fuse { longest: Duration::ZERO, ..FUSE };
        breaker.failed(NOW, fuse, Instant::MAX);
        assert_eq!(breaker.state, Breaker::Open(LATER));
    }
}
