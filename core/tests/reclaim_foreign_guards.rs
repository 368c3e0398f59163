//! Every public call of cache, flights and buckets refuses a guard or a worker of another domain
//! before it touches anything. The map's calls are in `map_known_bugs.rs`, the registry's in
//! `registry_guards.rs`.

use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_core::bucket::{Keep, Plan};
use tidegate_core::cache::{Ask, CacheSweep, Insert, Load, Tiers};
use tidegate_core::flight::{Caller, Group, Joined};
use tidegate_core::{
    BucketMap, Budget, Cache, Decision, Domain, Guard, Instant, Quota, SeededState, Sweep,
};

const NOW: Instant = Instant::from_secs(1);
const LATER: Instant = Instant::from_secs(100);

/// Whether `call` panics because the guard, or the worker, is of another domain.
fn refused(what: &str, call: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err(what);
    let message = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert_eq!(message, "the guard is of another domain than the structure", "{what}");
}

type Pages = Cache<u64, String, u8>;

/// A cache of four entries with a second to live, and how many removals its listener saw.
fn pages(domain: &Domain) -> (Pages, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let cache = Cache::builder(domain, SeededState::new(1))
        .listener(move |_, _: &String, _| _ = count.fetch_add(1, Ordering::Relaxed))
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    let brief = Insert::new().time_to_live(Duration::from_secs(1));
    for key in 0..4 {
        let value = format!("page {key}");
        cache.insert_with(key, value, brief, NOW, worker.quiescent(NOW)).expect("room");
    }
    (cache, told)
}

#[test]
fn a_cache_refuses_a_foreign_guard() {
    let (domain, other) = (Domain::new(), Domain::new());
    let (cache, told) = pages(&domain);
    let cache = Arc::new(cache);
    let mut stranger = other.worker();
    let guard = stranger.quiescent(NOW);
    let page = || String::from("page");
    refused("get", || _ = cache.get(&1, NOW, guard));
    refused("peek", || _ = cache.peek(&1, NOW, guard));
    refused("pin", || _ = cache.hold(&1, NOW, guard));
    refused("insert", || _ = cache.insert(9, page(), NOW, guard));
    refused("insert_with", || _ = cache.insert_with(9, page(), Insert::new(), NOW, guard));
    refused("invalidate", || _ = cache.invalidate(&1, NOW, guard));
    refused("invalidate_if", || _ = cache.invalidate_if(&1, |_| true, NOW, guard));
    refused("invalidate_all", || _ = cache.invalidate_all(NOW, guard));
    refused("iter", || _ = cache.iter(NOW, guard).count());
    refused("evict_bytes", || _ = cache.evict_bytes(1, Tiers::ALL, NOW, guard));
    refused("load", || _ = cache.load(&9, Caller(1), NOW, guard));
    refused("load_again", || _ = cache.load_again(&9, Caller(1), NOW, guard));

    let mut worker = domain.worker();
    let ours = worker.quiescent(NOW);
    let lead = |key| match cache.load(&key, Caller(1), NOW, ours) {
        Ok(Load::Lead(loading)) => loading,
        other => panic!("{other:?}"),
    };
    let loading = lead(10);
    refused("complete", || _ = loading.complete(page(), NOW, guard));
    let loading = lead(11);
    let kept = Insert::new();
    refused("complete_with", || _ = loading.complete_with(page(), kept, NOW, guard));
    let loading = lead(12);
    refused("fail", || _ = loading.fail(1, NOW, guard));
    let owned = |key| lead(key).into_owned(&cache);
    let loading = owned(13);
    refused("owned complete", || _ = loading.complete(page(), NOW, guard));
    let loading = owned(14);
    refused("owned complete_with", || _ = loading.complete_with(page(), kept, NOW, guard));
    let loading = owned(15);
    refused("owned fail", || _ = loading.fail(1, NOW, guard));
    refused("ask", || _ = cache.ask(&9, Ask::new(Caller(1), NOW), guard));
    assert_eq!(cache.loading(), 0, "a leader that was refused has left its flight");
    assert_eq!((cache.usage().entries, told.load(Ordering::Relaxed)), (4, 0));
}

#[test]
fn flights_refuse_a_foreign_guard() {
    let (domain, other) = (Domain::new(), Domain::new());
    let group: Group<u8, u8, u8> = Group::with(&domain, SeededState::new(1));
    let mut stranger = other.worker();
    let guard = stranger.quiescent(NOW);
    refused("join", || _ = group.join(1, Caller(1), None, NOW, guard));
    let mut worker = domain.worker();
    let ours = worker.quiescent(NOW);
    let lead = || match group.join(1, Caller(1), None, NOW, ours) {
        Ok(Joined::Leader(leader)) => leader,
        other => panic!("{other:?}"),
    };
    let leader = lead();
    refused("complete", || _ = leader.complete(1, guard));
    let leader = lead();
    refused("fail", || _ = leader.fail(1, guard));
    let leader = lead();
    refused("complete_until", || _ = leader.complete_until(1, Some(LATER), guard));
    refused("detach", || _ = group.detach(&1, guard));
    refused("detach_all", || _ = group.detach_all(guard));
    refused("sweeper", || _ = group.sweeper(other.worker()).sweep(NOW, Budget::UNLIMITED));
    assert_eq!(group.in_flight(), 0);
}

#[test]
fn buckets_refuse_a_foreign_guard() {
    let quota = Quota::per_second(2).expect("a quota");
    let (domain, other) = (Domain::new(), Domain::new());
    let clients: BucketMap<u64> =
        BucketMap::with(&domain, quota, SeededState::new(1)).expect("representable");
    let plan = clients.plan(quota).expect("representable");
    let mut worker = domain.worker();
    let check = |key: u64, plan: &Plan, guard: &Guard| clients.check(&key, plan, NOW, guard);
    assert!(check(1, &plan, worker.quiescent(NOW)).is_admitted());
    let mut stranger = other.worker();
    let guard = stranger.quiescent(NOW);
    let none = &mut [Decision::default()];
    refused("check", || _ = check(1, &plan, guard));
    refused("check_n", || _ = clients.check_n(&1, &plan, 2, NOW, guard));
    refused("check_burst", || clients.check_burst(&[(&1, &plan, 1)], NOW, none, guard));
    refused("peek", || _ = clients.peek(&1, &plan, NOW, guard));
    let charged = check(1, &plan, worker.quiescent(NOW));
    refused("refund", || clients.refund(&1, &charged, 1, NOW, guard));
    refused("reset", || clients.reset(&1, NOW, guard));
    refused("convert", || clients.convert(&1, &plan, &plan, Keep::Fresh, NOW, guard));
    let mut sweep = clients.sweeper(other.worker());
    refused("sweeper", || _ = sweep.sweep(LATER, Budget::UNLIMITED));
    assert_eq!((clients.len(), clients.counters().reclaimed), (1, 0));
}

/// A foreign worker's pin protects nothing in the cache's domain: were one entry read under it before
/// the refusal, another thread could have freed it.
#[test]
fn a_sweep_refuses_a_foreign_worker_before_it_tidies() {
    let (domain, other) = (Domain::new(), Domain::new());
    let (cache, told) = pages(&domain);
    let mut worker = domain.worker();
    // Handles whose entries are gone: with many of them the sweep's first act is to tidy.
    for key in 100..400 {
        cache.insert(key, String::new(), NOW, worker.quiescent(NOW)).expect("room");
    }
    for key in 100..400 {
        cache.invalidate(&key, NOW, worker.quiescent(NOW));
    }
    told.store(0, Ordering::Relaxed);
    let mut sweep = CacheSweep::new(&cache, other.worker());
    refused("sweep", || _ = sweep.sweep(LATER, Budget::entries(64)));
    assert_eq!(told.load(Ordering::Relaxed), 0, "the foreign guard was used");
}

/// Answers with one cache and then with another.
struct Changing<'a>(&'a Pages, &'a Pages, Cell<usize>);

impl Deref for Changing<'_> {
    type Target = Pages;

    fn deref(&self) -> &Pages {
        let looks = self.2.replace(self.2.get() + 1);
        if looks == 0 { self.0 } else { self.1 }
    }
}

#[test]
fn a_sweep_works_on_the_cache_whose_domain_it_has_checked() {
    let (domain, other) = (Domain::new(), Domain::new());
    let ((ours, _), (theirs, told)) = (pages(&domain), pages(&other));
    let mut sweep = CacheSweep::new(Changing(&ours, &theirs, Cell::new(0)), domain.worker());
    let step = sweep.sweep(LATER, Budget::UNLIMITED);
    assert_eq!((step.removed, ours.usage().entries), (4, 0));
    assert_eq!((told.load(Ordering::Relaxed), theirs.usage().entries), (0, 4));
    refused("sweep", || _ = sweep.sweep(LATER, Budget::UNLIMITED));
    assert_eq!(theirs.usage().entries, 4);
}
