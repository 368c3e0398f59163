//! The registry without a heap: the same cases, for one owner.

use std::time::Duration;

use tidegate_core::registry::{Departure, FixedError, Lapsed, WhenFull};
use tidegate_core::{FixedRegistry, Instant, Ttl};

type Services = FixedRegistry<u32, 3, 8>;

const NOW: Instant = Instant::from_secs(1_000);
const TTL: Duration = Duration::from_secs(300);

fn after(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

fn services(when_full: WhenFull) -> Services {
    FixedRegistry::new(TTL, when_full)
}

fn put(services: &mut Services, id: &str, value: u32, now: Instant) -> Option<(u32, Departure)> {
    let displaced = services.advertise(id, value, now).expect("room");
    displaced.map(|displaced| (displaced.value, displaced.cause))
}

#[test]
fn m_c5_m_c7_m_c8_entries_come_and_go() {
    let mut it = services(WhenFull::Refuse);
    assert_eq!(it.resolve("a", NOW), None);
    assert_eq!(put(&mut it, "a", 1, NOW), None);
    assert_eq!(put(&mut it, "a", 2, NOW), Some((1, Departure::Replaced)));
    assert_eq!(it.resolve("a", after(299)), Some(&2));
    assert_eq!(it.resolve("a", after(300)), None, "M-C8");
    assert_eq!((it.withdraw("a", after(300)), it.withdraw("a", NOW)), (None, Some(2)));
    assert_eq!((it.withdraw("a", NOW), it.is_empty()), (None, true), "M-C5");

    assert_eq!(it.advertise_for("z", 1, Duration::ZERO, NOW), Ok(None));
    assert_eq!(it.resolve("z", NOW), None, "M-C7");
    let mut gone = Vec::new();
    assert_eq!(it.prune(NOW, |id, value| gone.push((id.to_owned(), value))), 1);
    assert_eq!((gone, it.prune(NOW, |_, _| ())), (vec![("z".to_owned(), 1)], 0));
}

/// M1: a renewal is in time or it is none.
#[test]
fn renewing() {
    let mut it = services(WhenFull::Refuse);
    assert_eq!(it.renew("a", NOW), Err(Lapsed));
    put(&mut it, "a", 1, NOW);
    assert_eq!(it.renew("a", after(299)), Ok(()));
    assert_eq!(it.renew("a", NOW), Ok(()), "an earlier one shortens nothing");
    assert_eq!(it.resolve("a", after(598)), Some(&1));
    assert_eq!(it.renew("a", after(599)), Err(Lapsed));
    assert_eq!(it.advertise_for("b", 2, Ttl::Forever, NOW), Ok(None));
    assert_eq!(it.renew("b", NOW), Ok(()));
    assert_eq!(it.resolve("b", Instant::MAX), Some(&2));
}

/// M9: what becomes of a newcomer.
#[test]
fn who_is_full_refuses_or_has_one_go() {
    let full = |when_full| {
        let mut it = services(when_full);
        for (id, seconds) in [("a", 10), ("b", 5), ("c", 20)] {
            it.advertise_for(id, 1, Duration::from_secs(seconds), NOW).expect("room");
        }
        it
    };
    let mut it = full(WhenFull::Refuse);
    assert_eq!(it.advertise("d", 7, NOW), Err(FixedError::Full(7)));
    assert_eq!(it.advertise("too long an id", 8, NOW), Err(FixedError::IdTooLong(8)));
    assert_eq!(put(&mut it, "a", 2, NOW), Some((1, Departure::Replaced)), "in its own place");
    assert_eq!(put(&mut it, "d", 7, after(5)), Some((1, Departure::Expired)), "b had ended");
    let mut ids: Vec<_> = it.iter(after(5)).map(|(id, _)| id.to_owned()).collect();
    ids.sort_unstable();
    assert_eq!((ids, it.len()), (vec!["a".to_owned(), "c".to_owned(), "d".to_owned()], 3));

    let mut it = full(WhenFull::EvictSoonest);
    let displaced = it.advertise("d", 7, NOW).expect("in another's place").expect("b");
    assert_eq!((displaced.id.as_str(), displaced.cause), ("b", Departure::Evicted));
}
