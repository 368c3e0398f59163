//! The registry without a heap: the same cases, for one owner.

use std::time::Duration;

use tidegate_core::registry::{Departure, FixedError, LapsedError, WhenFull};
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
    let displaced = services.advertise(id, value, now).expect("room").displaced;
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
    assert_eq!((it.withdraw_any("a", after(300)), it.withdraw_any("a", NOW)), (None, Some(2)));
    assert_eq!((it.withdraw_any("a", NOW), it.is_empty()), (None, true), "M-C5");

    assert_eq!(it.advertise_for("z", 1, Duration::ZERO, NOW).expect("room").displaced, None);
    assert_eq!(it.resolve("z", NOW), None, "M-C7");
    let mut gone = Vec::new();
    assert_eq!(it.prune(|id, value| gone.push((id.to_owned(), value)), NOW), 1);
    assert_eq!((gone, it.prune(|_, _| (), NOW)), (vec![("z".to_owned(), 1)], 0));
}

/// M1: a renewal is in time or it is none.
#[test]
fn renewing() {
    let mut it = services(WhenFull::Refuse);
    assert_eq!(it.renew_any("a", NOW), Err(LapsedError));
    let lease = it.advertise("a", 1, NOW).expect("room").lease;
    assert_eq!(it.renew(&lease, after(299)), Ok(()));
    assert_eq!(it.renew_any("a", NOW), Ok(()), "an earlier one shortens nothing");
    assert_eq!(it.resolve("a", after(598)), Some(&1));
    assert_eq!(
        (it.renew(&lease, after(599)), it.renew_any("a", after(599))),
        (Err(LapsedError), Err(LapsedError))
    );
    let lease = it.advertise_for("b", 2, Ttl::Forever, NOW).expect("room").lease;
    assert_eq!(it.renew(&lease, NOW), Ok(()));
    assert_eq!(it.resolve("b", Instant::MAX), Some(&2));
}

/// A lease acts on its own entry, whatever its id stands for since.
#[test]
fn a_lease_that_has_lost_its_id_leaves_the_new_entry_alone() {
    let mut it = services(WhenFull::EvictSoonest);
    let old = it.advertise("mail", 25, NOW).expect("room").lease;
    let new = it.advertise("mail", 2525, after(10)).expect("room");
    assert_eq!(new.displaced.map(|gone| (gone.value, gone.cause)), Some((25, Departure::Replaced)));
    assert_eq!(it.renew(&old, after(290)), Err(LapsedError));
    assert_eq!(it.withdraw(old, after(12)), None);
    assert_eq!(it.resolve("mail", after(309)), Some(&2525), "neither removed");
    assert_eq!(it.resolve("mail", after(310)), None, "nor renewed");
    // Evicted and expired are lost as well; and what is withdrawn is withdrawn once.
    let brief = it.advertise_for("a", 1, Duration::from_secs(1), NOW).expect("room").lease;
    for id in ["b", "c", "d"] {
        put(&mut it, id, 1, after(310));
    }
    assert_eq!((it.renew(&brief, NOW), it.resolve("a", NOW)), (Err(LapsedError), None));
    let kept = it.advertise("b", 7, after(311)).expect("room").lease;
    assert_eq!(it.withdraw(kept, after(311)), Some(7));
    assert_eq!((it.resolve("b", after(311)), it.len()), (None, 2));
    assert_eq!(it.withdraw(new.lease, after(311)), None);
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
    let displaced = it.advertise("d", 7, NOW).expect("in another's place").displaced.expect("b");
    assert_eq!((displaced.id.as_str(), displaced.cause), ("b", Departure::Evicted));
}
