//! The registry beside the maps that people keep their leases in, with an end beside each value.
//!
//! What they do not do is left out: no hook, no bound, no renewal that could come too late.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate::lockfree::Registry;
use tidegate::lockfree::registry::Terms;
use tidegate::{Budget, Clock, MonotonicClock, SeededState};

use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{BURST, Spread, chunks, keys, sequence};

const SERVICES: usize = 10_000;
const TTL: Duration = Duration::from_secs(3_600);

type Ours = Registry<u64, u64, u64, ()>;
type Dash = dashmap::DashMap<u64, (u64, Instant), SeededState>;
type Scc = scc::HashMap<u64, (u64, Instant), SeededState>;

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut row: impl FnMut(Row)) {
    let (keys, hasher) = (keys(SERVICES), || SeededState::new(0x5eed));
    let builder = Registry::builder().services(Terms::new(TTL).hold_mass_expiry(TTL));
    let ours: Ours = builder.build(tidegate::domain(), hasher()).expect("memory");
    let face = tidegate::Registry::<u64, u64>::new();
    let (dash, scc) = (Dash::with_hasher(hasher()), Scc::with_hasher(hasher()));
    let (mut worker, clock) = (tidegate::domain().worker(), MonotonicClock::new());
    let end = Instant::now() + TTL;
    for &key in &keys {
        let now = clock.now();
        drop(ours.services().advertise(key, key, now, worker.quiescent(now)).expect("room"));
        drop(face.services().advertise(key, key).expect("room"));
        dash.insert(key, (key, end));
        _ = scc.insert_sync(key, (key, end));
    }
    worker.offline(|| ());
    let sequence = sequence(&keys, Spread::Uniform);
    for threads in [1, 2] {
        let resolve: [Contestant<'_>; 3] = [
            &|thread, from, operations| {
                let (mut worker, clock) = (tidegate::domain().worker(), MonotonicClock::new());
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let now = clock.now();
                    let guard = worker.quiescent(now);
                    for key in keys {
                        black_box(ours.services().resolve(key, now, guard));
                    }
                }
            },
            &|thread, from, operations| {
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let now = Instant::now();
                    for key in keys {
                        black_box(dash.get(key).filter(|it| it.1 > now).map(|it| it.0));
                    }
                }
            },
            &|thread, from, operations| {
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let now = Instant::now();
                    for key in keys {
                        black_box(scc.read_sync(key, |_, it| (it.1 > now).then_some(it.0)));
                    }
                }
            },
        ];
        let renew: [Contestant<'_>; 3] = [
            &|thread, from, operations| {
                let (mut worker, clock) = (tidegate::domain().worker(), MonotonicClock::new());
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let now = clock.now();
                    let guard = worker.quiescent(now);
                    for key in keys {
                        _ = black_box(ours.services().renew_any(key, now, guard));
                    }
                }
            },
            &|thread, from, operations| {
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let end = Instant::now() + TTL;
                    for key in keys {
                        _ = black_box(dash.get_mut(key).map(|mut it| it.1 = end));
                    }
                }
            },
            &|thread, from, operations| {
                for (_, keys) in chunks(&sequence, thread, from, operations) {
                    let end = Instant::now() + TTL;
                    for key in keys {
                        _ = black_box(scc.update_sync(key, |_, it| it.1 = end));
                    }
                }
            },
        ];
        let advertise: [Contestant<'_>; 3] = [
            &|thread, from, operations| {
                let domain = tidegate::domain();
                let (mut worker, mut collector) = (domain.worker(), domain.worker());
                let clock = MonotonicClock::new();
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    let now = clock.now();
                    let guard = worker.quiescent(now);
                    for &key in keys {
                        drop(ours.services().advertise(key, at, now, guard).expect("room"));
                    }
                    collector.collect(now, Budget::entries(8 * BURST));
                }
            },
            &|thread, from, operations| {
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    let end = Instant::now() + TTL;
                    for &key in keys {
                        dash.insert(key, (at, end));
                    }
                }
            },
            &|thread, from, operations| {
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    let end = Instant::now() + TTL;
                    for &key in keys {
                        _ = scc.upsert_sync(key, (at, end));
                    }
                }
            },
        ];
        // As a server does that keeps to the defaults: each call reads the clock, and pins for itself.
        let by_default: [Contestant<'_>; 3] = [
            &|thread, from, operations| {
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    for &key in keys {
                        drop(face.services().advertise(key, at).expect("room"));
                    }
                }
            },
            &|thread, from, operations| {
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    for &key in keys {
                        dash.insert(key, (at, Instant::now() + TTL));
                    }
                }
            },
            &|thread, from, operations| {
                for (at, keys) in chunks(&sequence, thread, from, operations) {
                    for &key in keys {
                        _ = scc.upsert_sync(key, (at, Instant::now() + TTL));
                    }
                }
            },
        ];
        for (case, contestants) in [
            ("resolve", resolve),
            ("renew by key", renew),
            ("advertise again", advertise),
            ("advertise again, by default", by_default),
        ] {
            let times = race(&contestants, threads, turns, 1 << 20);
            rows("registry", case, SERVICES, threads, &["dashmap", "scc::HashMap"], &times)
                .for_each(&mut row);
        }
    }
}
