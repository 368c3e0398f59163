//! What the tests under `--cfg stress` share: histories of calls on real threads, which must be
//! linearizable, and threads that are stopped at every atomic operation.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant as Timer};

use super::books::Booked;
use tidegate_core::{Budget, Domain, Guard, Instant, Worker, stress};

pub(crate) const NOW: Instant = Instant::from_secs(1_000);

/// The number that an environment variable asks for.
pub(crate) fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A domain in which guards stay. Under this cfg the light half of the barrier is a whole fence, so that
/// the other half may be one, too.
pub(crate) fn domain() -> Domain {
    // SAFETY: as said above: a thread that pins passes a fence of its own between saying so and
    // looking.
    unsafe { Domain::builder().barrier(|| std::sync::atomic::fence(Ordering::SeqCst)) }.build()
}

/// A call, with its answer, and when it began and ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<O> {
    pub(crate) answered: O,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The calls that a thread has made.
pub(crate) struct Calls<O> {
    clock: Arc<AtomicU64>,
    made: Vec<(u64, Call<O>)>,
}

impl<O: Copy> Calls<O> {
    /// Makes a call that is about `key`.
    pub(crate) fn call<T>(&mut self, key: u64, call: impl FnOnce() -> (O, T)) -> T {
        // SeqCst: the order of these numbers is what "before" means.
        let from = self.clock.fetch_add(1, Ordering::SeqCst);
        let (answered, rest) = call();
        let to = self.clock.fetch_add(1, Ordering::SeqCst);
        self.made.push((key, Call { answered, from, to }));
        rest
    }

    /// Adds another effect of the last call, which need not come at the same moment.
    pub(crate) fn also(&mut self, effect: O) {
        let (key, Call { from, to, .. }) = *self.made.last().expect("a call");
        self.made.push((key, Call { answered: effect, from, to }));
    }
}

/// Whether the calls, all of one key that began as `start`, can be put in an order that respects time
/// and in which one thread would have got the same answers (Wing and Gong; Lowe). `after` returns what
/// the key may be after a call that was answered so, and nothing if it is never answered so.
pub(crate) fn is_linearizable<O, S: Copy + Eq + Hash>(
    calls: &[Call<O>],
    start: S,
    after: &dyn Fn(S, &O) -> Vec<S>,
) -> bool {
    fn go<O, S: Copy + Eq + Hash>(
        calls: &[Call<O>],
        done: u64,
        state: S,
        after: &dyn Fn(S, &O) -> Vec<S>,
        seen: &mut HashSet<(u64, S)>,
    ) -> bool {
        if done.count_ones() as usize == calls.len() {
            return true;
        }
        if !seen.insert((done, state)) {
            return false;
        }
        let pending = || (0..calls.len()).filter(|&index| done & (1 << index) == 0);
        // Whatever comes next must have begun before the first of the others ended.
        let first_end = pending().map(|index| calls[index].to).min().unwrap_or(u64::MAX);
        pending().filter(|&index| calls[index].from < first_end).any(|index| {
            let next = after(state, &calls[index].answered);
            next.into_iter().any(|next| go(calls, done | 1 << index, next, after, seen))
        })
    }
    assert!(calls.len() < 64);
    go(calls, 0, start, after, &mut HashSet::new())
}

/// A structure whose histories are looked at.
pub(crate) struct Histories<W, O, S> {
    /// Makes the structure, by a number that differs each time.
    pub(crate) make: fn(&Domain, u64) -> W,
    /// Calls the structure with a key, and a value that no other call has.
    pub(crate) act: fn(&W, &Guard, u8, (u64, u64), &mut Calls<O>),
    /// Does what may be done at any time, between the calls of the first thread.
    pub(crate) disturb: fn(&W, &Guard, &mut fastrand::Rng),
    pub(crate) start: S,
    pub(crate) after: fn(S, &O) -> Vec<S>,
}

impl<W, O, S> Histories<W, O, S>
where
    W: Booked,
    O: Copy + Debug + Send + 'static,
    S: Copy + Eq + Hash + Send + 'static,
{
    /// Records `histories` histories of four threads and three keys, and checks each.
    pub(crate) fn check(&self, histories: u64) {
        const THREADS: u64 = 4;
        // A few structures, each for many histories of fresh keys, so that tables grow, shrink and churn.
        let each = 500;
        let mut overlaps = 0;
        for round in 0..histories.div_ceil(each) {
            let domain = domain();
            let world = Arc::new((self.make)(&domain, round));
            let clock = Arc::new(AtomicU64::new(0));
            let barrier = Arc::new(Barrier::new(THREADS as usize));
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (world, clock) = (Arc::clone(&world), Arc::clone(&clock));
                    let (barrier, mut worker) = (Arc::clone(&barrier), domain.worker());
                    let (act, disturb) = (self.act, self.disturb);
                    std::thread::spawn(move || {
                        stress::yields(round * THREADS + thread + 1);
                        let mut random = fastrand::Rng::with_seed(round * THREADS + thread);
                        let mut calls = Calls { clock, made: Vec::new() };
                        for history in 0..each {
                            worker.offline(|| barrier.wait());
                            for call in 0..7 {
                                let key = history * 3 + random.u64(0..3);
                                let value = (history * THREADS + thread) * 10 + call;
                                let guard = worker.quiescent(NOW);
                                if thread == 0 && random.u8(0..4) == 0 {
                                    disturb(&world, guard, &mut random);
                                }
                                act(&world, guard, random.u8(..), (key, value), &mut calls);
                            }
                            if thread == 1 {
                                worker.collect(NOW, Budget::entries(64));
                            }
                        }
                        calls.made
                    })
                })
                .collect();
            let mut by_key: HashMap<u64, Vec<Call<O>>> = HashMap::new();
            for thread in threads {
                for (key, call) in thread.join().expect("no panic") {
                    by_key.entry(key).or_default().push(call);
                }
            }
            for mut calls in by_key.into_values() {
                calls.sort_unstable_by_key(|call| call.from);
                overlaps += calls.windows(2).filter(|two| two[1].from < two[0].to).count() as u64;
                assert!(is_linearizable(&calls, self.start, &self.after), "{calls:#?}");
            }
            world.close(&mut domain.worker());
        }
        println!("{histories} histories, {overlaps} overlaps");
        assert!(overlaps > histories / 10, "{overlaps} overlaps: the threads hardly met");
    }
}

/// A structure whose threads are stopped.
pub(crate) struct Stops<W> {
    pub(crate) make: fn(&Domain) -> W,
    /// Does a bit of everything, with numbers from `base` on: so much that a thread which does it comes
    /// by every step there is.
    pub(crate) everything: fn(&W, &mut Worker, u64),
    /// What another thread does at a step of its own meanwhile, with numbers of its own.
    pub(crate) other: fn(&W, &mut Worker, u64, u64),
}

impl<W: Booked> Stops<W> {
    /// Stops a thread at each of its steps, of which there are `least` or more. Meanwhile two others
    /// carry out `steps` operations each, and must come to their end.
    pub(crate) fn check(&self, least: usize, steps: u64) {
        let places = {
            let domain = domain();
            let world = (self.make)(&domain);
            let mut worker = domain.worker();
            stress::note_places();
            for round in 0..4 {
                (self.everything)(&world, &mut worker, round * 100);
            }
            stress::places()
        };
        assert!(places.len() >= least, "{} steps", places.len());
        let (mut stopped, mut most) = (0, 0);
        for &place in &places {
            let domain = domain();
            let world = Arc::new((self.make)(&domain));
            let over = Arc::new(AtomicBool::new(false));
            let victim = {
                let (world, over) = (Arc::clone(&world), Arc::clone(&over));
                let (everything, mut worker) = (self.everything, domain.worker());
                std::thread::spawn(move || {
                    stress::stop_at(place);
                    let mut round = 0;
                    while !over.load(Ordering::SeqCst) {
                        everything(&world, &mut worker, 1_000_000 + round % 8 * 100);
                        round += 1;
                    }
                })
            };
            let patience = Timer::now() + Duration::from_secs(2);
            while !stress::is_stopped() && Timer::now() < patience {
                std::thread::yield_now();
            }
            stopped += usize::from(stress::is_stopped());
            let others: Vec<_> = (0..2)
                .map(|thread| {
                    let (world, mut worker) = (Arc::clone(&world), domain.worker());
                    let other = self.other;
                    std::thread::spawn(move || {
                        let limit = Timer::now() + Duration::from_secs(120);
                        for step in 0..steps {
                            other(&world, &mut worker, thread, step);
                            if step % 64 == 0 {
                                worker.collect(NOW, Budget::entries(128));
                                assert!(Timer::now() < limit, "stuck behind {place:?}");
                            }
                        }
                    })
                })
                .collect();
            for other in others {
                other.join().unwrap_or_else(|_| panic!("beside one that stopped at {place:?}"));
            }
            most = most.max(domain.gauges(NOW).garbage());
            over.store(true, Ordering::SeqCst);
            while !victim.is_finished() {
                // It may come to the place only now.
                stress::release();
                std::thread::yield_now();
            }
            victim.join().expect("no panic");
            let mut worker = domain.worker();
            world.close(&mut worker);
            let alive = world.alive().clone();
            drop(world);
            // What it held back is freed once it is gone.
            worker.offline(|| ());
            for _ in 0..10_000 {
                if domain.gauges(NOW).garbage() == 0 {
                    break;
                }
                worker.collect(NOW, Budget::UNLIMITED);
            }
            assert_eq!(domain.gauges(NOW).garbage(), 0, "after {place:?}");
            assert_eq!(alive.count(), 0, "each value is dropped once, after {place:?}");
        }
        println!("{stopped} of {} steps, at most {most} objects held back", places.len());
        assert!(stopped * 10 >= places.len() * 9, "only {stopped} of {} steps", places.len());
    }
}
