//! Checking many keys at once.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::{BucketTable, Charge, Decision, Place, Plan, Set};
use crate::sync::prefetch;
use crate::time::Instant;

/// Keys whose cache lines are on their way at a time. Enough to cover a miss, few enough for the
/// processor's queue of outstanding ones and for the stack.
const CHUNK: usize = 32;

impl<M: Deref<Target = [Set]>, S: BuildHasher> BucketTable<M, S> {
    /// Checks each `(key, plan, cost)` as [`check_n`](Self::check_n) would, in order, and puts the
    /// answers into `decisions`. The cache misses of a chunk of 32 overlap instead of adding up.
    ///
    /// ```
    /// use tidegate_core::{BucketTable, Decision, Instant, Quota, SeededState};
    ///
    /// let quota = Quota::per_second(1_000_000)?; // bytes
    /// let table = BucketTable::boxed(quota, 1_000, SeededState::new(0x5eed))?;
    /// let plan = table.plan(quota)?;
    ///
    /// let packets = [("10.0.0.1", &plan, 1_500), ("10.0.0.2", &plan, 64), ("10.0.0.1", &plan, 9_000)];
    /// let mut decisions = [Decision::CLOSED; 3];
    /// table.check_burst(&packets, Instant::from_secs(1), &mut decisions);
    /// assert!(decisions.iter().all(Decision::is_admitted));
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the slices differ in length, or a plan was compiled for another unit: programming errors.
    #[inline]
    pub fn check_burst<K: Hash>(
        &self,
        requests: &[(K, &Plan, u64)],
        now: Instant,
        decisions: &mut [Decision],
    ) {
        assert_eq!(requests.len(), decisions.len(), "one decision for each request");
        let units = self.unit.scale().units(now.as_nanos());
        let Some(&(_, plan, cost)) = requests.first() else {
            return;
        };
        self.scale(plan);
        let mut terms = Terms { plan, cost, charge: plan.charge(cost, units) };
        for (requests, decisions) in requests.chunks(CHUNK).zip(decisions.chunks_mut(CHUNK)) {
            let found: [_; CHUNK] = core::array::from_fn(|at| {
                let Some((key, _, _)) = requests.get(at) else {
                    return (None, 0);
                };
                let place = Place::of(key, &self.hasher);
                let line = self.line(place);
                if let Some(line) = line {
                    prefetch(line);
                }
                (line, place.fingerprint)
            });
            for ((decision, (key, plan, cost)), &(line, fingerprint)) in
                decisions.iter_mut().zip(requests).zip(&found)
            {
                if !terms.are(plan, *cost) {
                    self.scale(plan);
                    terms = Terms { plan, cost: *cost, charge: plan.charge(*cost, units) };
                }
                let hit = match (line, terms.charge) {
                    (Some(line), Some(charge)) => Self::hit(line, fingerprint, charge),
                    _ => None,
                };
                let verdict = match hit {
                    Some(verdict) => verdict,
                    None => self.decide(Place::of(key, &self.hasher), plan, *cost, now),
                };
                decision.set(plan, now, verdict, 0);
            }
        }
    }
}

/// What the last request of a burst was charged. The next one's is mostly the same.
struct Terms<'a> {
    plan: &'a Plan,
    cost: u64,
    charge: Option<Charge>,
}

impl Terms<'_> {
    #[inline(always)]
    fn are(&self, plan: &Plan, cost: u64) -> bool {
        core::ptr::eq(self.plan, plan) && self.cost == cost
    }
}
