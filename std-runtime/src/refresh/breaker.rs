//! A circuit breaker: whether it is worth trying. Pure.

use std::time::Duration;

use tidegate_core::Instant;

/// Whether renewals are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// They are; so many have failed in a row.
    Closed(u32),
    /// They are not, until then.
    Open(Instant),
    /// One is being tried. Nobody else does until that has ended.
    HalfOpen,
}

/// After how many failures it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fuse {
    pub(super) threshold: u32,
    pub(super) cooldown: Duration,
}

/// May be tried: as one of many, or as the one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Freely,
    AsProbe,
}

impl Breaker {
    /// Whether to try now; or when it may be worth it.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admitted, Option<Instant>> {
        match *self {
            Self::Closed(_) => Ok(Admitted::Freely),
            Self::Open(until) if now >= until => {
                *self = Self::HalfOpen;
                Ok(Admitted::AsProbe)
            }
            Self::Open(until) => Err(Some(until)),
            Self::HalfOpen => Err(None),
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::Closed(0);
    }

    pub(super) fn failed(&mut self, now: Instant, fuse: Fuse) {
        *self = match *self {
            Self::Closed(failures) if failures.saturating_add(1) < fuse.threshold => {
                Self::Closed(failures + 1)
            }
            _ => Self::Open(now + fuse.cooldown),
        };
    }

    /// Whoever tried is gone, and nothing is known: another probe, later.
    pub(super) fn abandoned(&mut self, admitted: Admitted, now: Instant, fuse: Fuse) {
        if admitted == Admitted::AsProbe {
            *self = Self::Open(now + fuse.cooldown);
        }
    }

    /// Whether they differ in more than a count.
    pub(super) fn differs(self, other: Self) -> bool {
        !matches!((self, other), (Self::Closed(_), Self::Closed(_))) && self != other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUSE: Fuse = Fuse { threshold: 3, cooldown: Duration::from_secs(30) };
    const NOW: Instant = Instant::from_secs(100);
    const LATER: Instant = Instant::from_secs(130);

    #[test]
    fn i_c32_states_and_what_leads_from_one_to_another() {
        let mut breaker = Breaker::Open(NOW);
        assert_eq!((breaker.admit(NOW), breaker), (Ok(Admitted::AsProbe), Breaker::HalfOpen));
        let mut breaker = Breaker::Closed(2);
        breaker.failed(NOW, FUSE);
        assert_eq!(breaker, Breaker::Open(LATER));
        let mut breaker = Breaker::HalfOpen;
        breaker.failed(NOW, FUSE);
        assert_eq!(breaker, Breaker::Open(LATER));

        let mut breaker = Breaker::Closed(0);
        breaker.failed(NOW, FUSE);
        assert_eq!((breaker.admit(NOW), breaker), (Ok(Admitted::Freely), Breaker::Closed(1)));
        breaker.succeeded();
        assert_eq!(breaker, Breaker::Closed(0));
        let mut breaker = Breaker::Open(LATER);
        assert_eq!((breaker.admit(NOW), breaker), (Err(Some(LATER)), Breaker::Open(LATER)));
    }

    /// I-B6: a probe is one, and one that is cancelled opens it again.
    #[test]
    fn i12_one_probe_at_a_time_and_a_cancelled_one_is_no_answer() {
        let mut breaker = Breaker::Open(NOW);
        assert_eq!(breaker.admit(NOW), Ok(Admitted::AsProbe));
        assert_eq!(breaker.admit(NOW), Err(None));
        assert_eq!(breaker.admit(LATER), Err(None));
        breaker.abandoned(Admitted::AsProbe, NOW, FUSE);
        assert_eq!(breaker, Breaker::Open(LATER));
        let mut breaker = Breaker::Closed(1);
        breaker.abandoned(Admitted::Freely, NOW, FUSE);
        assert_eq!(breaker, Breaker::Closed(1));
    }
}
