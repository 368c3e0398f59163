//! The counter's rate: looked after, taken back and refused, all at once.
//!
//! Each thread has a machine of its own, on which time passes when the model says so.

use tidegate::clock::TimeSource;
use tidegate::clock::counter::model::{Played, Rates, Reader};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "k01_two_threads_are_due_at_once",
        preemptions: 4,
        run: two_threads_are_due_at_once,
        outcomes: both(&["one looked"]),
    },
    Model {
        name: "k02_a_doubt_meets_a_correction",
        preemptions: 4,
        run: a_doubt_meets_a_correction,
        outcomes: both(&[
            "the old rate was doubted too late",
            "the old rate was taken back",
            "the new rate was taken back",
        ]),
    },
    Model {
        name: "k03_a_refusal_meets_an_anchor_that_ends",
        preemptions: 4,
        run: a_refusal_meets_an_anchor_that_ends,
        outcomes: both(&["one more anchor", "read the kernel at once"]),
    },
    Model {
        name: "k04_two_threads_doubt_what_a_third_corrects",
        preemptions: 3,
        run: two_threads_doubt_what_a_third_corrects,
        outcomes: both(&["taken back", "corrected"]),
    },
];

const MILLI: u64 = 1_000_000;
/// Ticks a millisecond.
const SPEED: u64 = 2_000_000;

/// A rate that is known at 100 ms, and looked after again at 1.1 s.
fn known() -> (Rates, Played) {
    let (rates, machine) = (Rates::new(), Played::default());
    for _ in 0..3 {
        rates.tend(&machine);
        machine.pass(50 * MILLI, 50 * SPEED);
    }
    assert_eq!(rates.source(), TimeSource::Counter);
    (rates, machine)
}

/// One of them takes the pair. A second one of the same moment would end an interval without length,
/// and the rate would be found later.
fn two_threads_are_due_at_once() -> String {
    let (rates, machine) = (Rates::new(), Played::default());
    rates.tend(&machine);
    machine.pass(50 * MILLI, 50 * SPEED);
    let tend = || -> Box<dyn FnOnce()> {
        let (rates, machine) = (rates.clone(), machine.clone());
        Box::new(move || rates.tend(&machine))
    };
    race(vec![tend(), tend()]);
    assert_eq!(machine.looks(), 2, "looks in all");
    machine.pass(50 * MILLI, 50 * SPEED);
    rates.tend(&machine);
    assert_eq!(rates.source(), TimeSource::Counter);
    "one looked".to_owned()
}

/// A doubt takes back the rate that it is about, and that stays away until two intervals have agreed
/// again.
fn a_doubt_meets_a_correction() -> String {
    let (rates, machine) = known();
    let old = rates.word().expect("a rate");
    machine.pass(1_000 * MILLI, 1_020 * SPEED);
    let (corrects, correcting, doubts) = (rates.clone(), machine.clone(), rates.clone());
    let seen = race(vec![
        Box::new(move || {
            corrects.tend(&correcting);
            corrects.word()
        }) as Box<dyn FnOnce() -> Option<u64>>,
        Box::new(move || {
            let seen = doubts.word().expect("nothing else takes it back");
            doubts.doubt(seen);
            let after = doubts.word();
            assert_ne!(after, Some(seen), "the rate is there after its doubt");
            after.or(Some(seen)).filter(|_| after.is_some() || seen != old)
        }),
    ]);
    let (corrected, doubted) = (seen[0], seen[1]);
    let outcome = match (doubted, rates.word()) {
        (None, word) => {
            assert_eq!(word, None, "a rate that was taken back is there");
            "the old rate was taken back"
        }
        (Some(new), None) => {
            assert!(corrected.is_none_or(|corrected| corrected == new));
            "the new rate was taken back"
        }
        (Some(_), Some(_)) => return "the old rate was doubted too late".to_owned(),
    };
    machine.pass(1_000 * MILLI, 1_000 * SPEED);
    rates.tend(&machine);
    assert_eq!(rates.word(), None, "one interval brought the rate back");
    outcome.to_owned()
}

/// A thread may make one more anchor while another finds the counter given up. After that it reads the
/// kernel.
fn a_refusal_meets_an_anchor_that_ends() -> String {
    let (rates, machine) = known();
    let (reader, reads) = (Reader::new(), machine.clone());
    reader.now(&reads, &rates);
    reads.pass(5 * MILLI, 5 * SPEED);
    machine.pass(1_000 * MILLI, 1_000 * SPEED);
    machine.give_up();
    let (refuses, read) = (rates.clone(), rates.clone());
    let outcomes = race(vec![
        Box::new(move || {
            refuses.tend(&machine);
            assert_eq!(refuses.word(), None);
            String::new()
        }) as Box<dyn FnOnce() -> String>,
        Box::new(move || {
            let before = reads.reads();
            assert_eq!(reader.now(&reads, &read), reads.nanos());
            // One read of the counter shows that the anchor has ended, and two more make another.
            let is_anchored = reads.reads() > before + 1;
            let outcome = if is_anchored { "one more anchor" } else { "read the kernel at once" };
            outcome.to_owned()
        }),
    ]);
    assert!(matches!(rates.source(), TimeSource::Kernel(_)));
    assert_eq!(rates.word(), None);
    outcomes.concat()
}

/// Whatever the order, the rate is the corrected one or none, and a doubt of the old one that comes after
/// the correction leaves the new one.
fn two_threads_doubt_what_a_third_corrects() -> String {
    let (rates, machine) = known();
    let old = rates.word().expect("a rate");
    machine.pass(1_000 * MILLI, 1_020 * SPEED);
    let doubt = || -> Box<dyn FnOnce() -> Option<u64>> {
        let rates = rates.clone();
        Box::new(move || {
            rates.doubt(old);
            rates.word()
        })
    };
    let (corrects, correcting) = (rates.clone(), machine.clone());
    let seen = race(vec![
        doubt(),
        doubt(),
        Box::new(move || {
            corrects.tend(&correcting);
            corrects.word()
        }),
    ]);
    assert!(!seen.contains(&Some(old)), "the old rate is there after its doubt");
    if let Some(new) = seen[2] {
        assert_eq!(rates.word(), Some(new), "a doubt of another rate took this one back");
        return "corrected".to_owned();
    }
    assert_eq!(rates.word(), None, "a rate that was taken back is there");
    "taken back".to_owned()
}
