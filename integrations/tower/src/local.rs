//! The backend of one process: a bucket table for each limit.

use std::array;
use std::fmt;
use std::future::Pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tidegate::lockfree::bucket::{
    AllOutcome, Counters, Set, ShadowLimit, Unit, Withheld, check_all,
};
use tidegate::lockfree::{BucketTable, SeededState};
use tidegate::{Clock, Decision, Limit, Plan, Quota, QuotaError};

use crate::backend::{Answer, Ask, Backend, Decided, LimitSpec, Standing, Standings, Step};
use crate::error::BuildError;

/// How often a request is tried again that others have overtaken between a look and a charge.
const ATTEMPTS: usize = 8;

/// Keeps limits in this process, in tables of fixed size.
///
/// A request takes no lock, and allocates nothing unless it is to be settled. It reads the clock once,
/// however many limits it has. There is nothing to sweep.
///
/// Keys are hashed with a secret of the process and not stored. Two keys share a bucket if they share a
/// set of the table and a fingerprint of 32 bits there.
pub struct Local {
    limits: Box<[Limiter]>,
    hasher: RandomState,
    clock: Arc<dyn Clock + Send + Sync>,
}

/// What was charged for the estimates of a request.
pub struct Held(Vec<Estimate>);

struct Limiter {
    table: BucketTable<Box<[Set]>, SeededState>,
    classes: Box<[Class]>,
    /// In shadow mode.
    withheld: Option<Withheld>,
}

struct Class {
    plan: Plan,
    /// What is used on top of an estimate is charged by this plan, whose burst is larger by the debt.
    into_debt: Plan,
}

struct Estimate {
    limit: usize,
    class: usize,
    digest: u64,
    cost: u64,
    decision: Decision,
}

impl Local {
    /// Builds the tables of these limits, with the clock of the process.
    ///
    /// # Errors
    ///
    /// If quotas cannot be represented, or there is no memory for a table.
    pub fn new(specs: &[LimitSpec]) -> Result<Self, BuildError> {
        Self::with_clock(specs, tidegate::clock())
    }

    /// Builds the tables of these limits, with a clock of the caller's.
    ///
    /// # Errors
    ///
    /// Fails as [`new`](Self::new) does.
    pub fn with_clock(
        specs: &[LimitSpec],
        clock: impl Clock + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        let limiter = |spec: &LimitSpec| {
            Limiter::new(spec)
                .map_err(|error| BuildError::Quota { policy: spec.name.clone(), error })
        };
        let limits = specs.iter().map(limiter).collect::<Result<_, _>>()?;
        Ok(Self { limits, hasher: RandomState::new(), clock: Arc::new(clock) })
    }

    /// Returns the counts of the keys of a limit that found no room, and of reclaimed buckets; `None`
    /// if there is no such limit.
    pub fn counters(&self, limit: usize) -> Option<Counters> {
        Some(self.limits.get(limit)?.table.counters())
    }

    /// Returns how many requests a limit in shadow mode would have denied: 0 for any other.
    pub fn shadow_denials(&self, limit: usize) -> u64 {
        let withheld = self.limits.get(limit).and_then(|limit| limit.withheld.as_ref());
        withheld.map_or(0, Withheld::count)
    }

    /// Charges all of `N` asks, or none.
    fn charge<const N: usize>(&self, asks: &[Ask<'_>]) -> Answer<Held> {
        let (clock, now) = (&*self.clock, self.clock.now());
        let digests: [u64; N] = array::from_fn(|at| self.hasher.hash_one(&asks[at].key));
        let limits: [_; N] = array::from_fn(|at| {
            let Limiter { table, classes, withheld } = &self.limits[asks[at].limit];
            let plan = &classes[asks[at].class].plan;
            let limit = table.limit(&digests[at], plan, asks[at].cost, now, clock);
            ShadowLimit::new(limit, withheld.as_ref())
        });
        let all = decide(&limits);
        let (decisions, denied_by) = (all.decisions(), all.denied_by());
        let mut standings = Standings::new();
        for decision in decisions {
            standings.push(standing(decision));
        }
        let charge = if denied_by.is_none() { Held::of(asks, &digests, decisions) } else { None };
        Answer { standings, denied_by, charge }
    }
}

/// Asks again as long as other requests come between.
fn decide<L: Limit, const N: usize>(limits: &[L; N]) -> tidegate::lockfree::bucket::AllDecision<N> {
    let mut all = check_all(limits);
    for _ in 1..ATTEMPTS {
        if !matches!(all.outcome(), AllOutcome::Contended { .. }) {
            break;
        }
        all = check_all(limits);
    }
    all
}

fn standing(decision: &Decision) -> Standing {
    Standing {
        is_admitted: decision.is_admitted(),
        is_shadowed: decision.is_shadowed(),
        remaining: decision.remaining(),
        reset_after: decision.reset_after(),
        retry_after: decision.retry_after(),
    }
}

impl Backend for Local {
    type Charge = Held;
    type Decide = Pending<Decided<Held>>;

    fn decide(&self, asks: &[Ask<'_>]) -> Step<Self> {
        Step::Now(Ok(match asks.len() {
            1 => self.charge::<1>(asks),
            2 => self.charge::<2>(asks),
            3 => self.charge::<3>(asks),
            4 => self.charge::<4>(asks),
            5 => self.charge::<5>(asks),
            6 => self.charge::<6>(asks),
            7 => self.charge::<7>(asks),
            _ => self.charge::<8>(asks),
        }))
    }

    fn settle(&self, charge: Held, used: &[u64]) {
        let now = self.clock.now();
        for (estimate, &used) in charge.0.iter().zip(used) {
            let Limiter { table, classes, .. } = &self.limits[estimate.limit];
            let Estimate { digest, cost, decision, .. } = estimate;
            if used < *cost {
                table.refund(digest, decision, cost - used, now);
            } else if used > *cost && decision.charged() > 0 {
                let plan = &classes[estimate.class].into_debt;
                // As much as the debt allows. What is beyond cannot be charged.
                let _ = table.take_up_to(digest, plan, used - cost, now);
            }
        }
    }
}

impl Held {
    /// Keeps what the estimates among `asks` need for their settlement.
    fn of(asks: &[Ask<'_>], digests: &[u64], decisions: &[Decision]) -> Option<Self> {
        if !asks.iter().any(|ask| ask.is_estimate) {
            return None;
        }
        let charged = asks.iter().zip(digests).zip(decisions);
        let estimates = charged.filter(|((ask, _), _)| ask.is_estimate);
        let held = estimates
            .map(|((ask, &digest), &decision)| Estimate {
                limit: ask.limit,
                class: ask.class,
                digest,
                cost: ask.cost,
                decision,
            })
            .collect();
        Some(Self(held))
    }
}

impl Limiter {
    fn new(spec: &LimitSpec) -> Result<Self, QuotaError> {
        let into_debt =
            spec.quotas.iter().copied().map(into_debt).collect::<Result<Vec<_>, _>>()?;
        let quotas: Vec<Quota> = spec.quotas.iter().chain(&into_debt).copied().collect();
        let unit = Unit::for_quotas(&quotas)?;
        let table = BucketTable::boxed_in_unit(unit, spec.keys, tidegate::random_state())?;
        let table = table.on_full(spec.on_full);
        let class = |(&quota, &into_debt): (&Quota, &Quota)| {
            Ok(Class { plan: table.plan(quota)?, into_debt: table.plan(into_debt)? })
        };
        let classes = spec.quotas.iter().zip(&into_debt).map(class).collect::<Result<_, _>>()?;
        let withheld = spec.is_shadow.then(Withheld::new);
        Ok(Self { table, classes, withheld })
    }
}

/// Returns `quota` with its debt added to the burst. A bucket of the one is a bucket of the other: its
/// time runs at the same rate, and the burst only says how far ahead it may be.
fn into_debt(quota: Quota) -> Result<Quota, QuotaError> {
    if quota.is_closed() {
        return Ok(quota);
    }
    let burst = quota.burst_cells().saturating_add(quota.max_debt());
    Quota::new(quota.cells(), quota.period())?.burst(burst)
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("limits", &self.limits.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("estimates", &self.0.len()).finish()
    }
}
