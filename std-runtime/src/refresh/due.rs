//! When a value is due for renewal: arithmetic.

use std::time::Duration;

use tidegate_core::Instant;

use crate::config::ConfigError;

/// A whole, in parts per million.
pub(super) const WHOLE: u32 = 1_000_000;

/// How early a value is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Early {
    /// At this part of its life.
    pub(super) part: u32,
    /// Earlier by up to this part.
    pub(super) jitter: u32,
    /// At the latest this long before its end, or at half its life if that is later.
    pub(super) floor: Duration,
}

impl Early {
    pub(super) fn check(self) -> Result<Self, ConfigError> {
        for (field, parts) in [("refresh_at", self.part), ("jitter", self.jitter)] {
            if parts > WHOLE {
                return Err(ConfigError::new(field, "must be at most 1,000,000 parts per million"));
            }
        }
        Ok(self)
    }

    /// When a value is due for renewal: never if it never ends. `chance` is a part per million of the
    /// jitter.
    pub(super) fn due(
        self,
        issued: Instant,
        expires: Option<Instant>,
        chance: u32,
    ) -> Option<Instant> {
        let expires = expires?;
        let life = expires.since(issued).as_nanos();
        let jitter = u64::from(self.jitter) * u64::from(chance.min(WHOLE)) / u64::from(WHOLE);
        let part = u64::from(self.part).saturating_sub(jitter);
        let after = (life * u128::from(part) / u128::from(WHOLE)) as u64;
        let early = issued + Duration::from_nanos(after);
        // A margin above half the life would have a short-lived value renewed again and again.
        let margin = self.floor.min(expires.since(issued) / 2);
        Some(early.min(expires - margin).max(issued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_c23_when_a_value_is_due() {
        let floor = Duration::from_secs(30);
        let usual = Early { part: 800_000, jitter: 0, floor };
        let jittery = Early { jitter: 200_000, ..usual };
        let at_once = Early { part: 0, ..usual };
        let cases = [
            (usual, Some(1_000), 0, Some(800)),
            (usual, Some(100), 0, Some(70)), // the floor
            (jittery, Some(1_000), WHOLE, Some(600)),
            (jittery, Some(1_000), 0, Some(800)),
            (jittery, Some(1_000), WHOLE / 2, Some(700)),
            (at_once, Some(1_000), 0, Some(0)),
            (Early { part: 100_000, ..jittery }, Some(1_000), WHOLE, Some(0)),
            (usual, None, 0, None),
            (usual, Some(60), 0, Some(30)),
            // No longer than the floor: half the life, and not at once.
            (usual, Some(50), 0, Some(25)),
            (usual, Some(30), 0, Some(15)),
            (usual, Some(20), 0, Some(10)),
            (usual, Some(0), 0, Some(0)),
        ];
        let issued = Instant::from_secs(5_000);
        for (early, life, chance, due) in cases {
            let at = |secs| issued + Duration::from_secs(secs);
            assert_eq!(early.due(issued, life.map(at), chance), due.map(at), "{early:?} {life:?}");
        }
        let far = usual.due(Instant::ORIGIN, Some(Instant::MAX), 0);
        assert_eq!(far, Some(Instant::from_nanos((u128::from(u64::MAX) * 8 / 10) as u64)));
        assert_eq!(Early { part: WHOLE + 1, ..usual }.check().unwrap_err().field(), "refresh_at");
        assert_eq!(Early { jitter: WHOLE + 1, ..usual }.check().unwrap_err().field(), "jitter");
    }
}
