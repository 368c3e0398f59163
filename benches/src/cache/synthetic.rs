//! Traces made by rule, each of one kind of work that a cache does.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// The keys of traces that follow Zipf's law or shift.
const SET: usize = 4_000;

fn law(keys: usize, exponent: f64) -> impl FnMut(&mut StdRng) -> u64 {
    let zipf = Zipf::new(keys as f64, exponent).expect("a valid exponent");
    move |random| zipf.sample(random) as u64
}

/// Makes a trace by Zipf's law.
pub fn zipf(keys: usize, exponent: f64, requests: usize) -> Vec<u64> {
    let (mut random, mut draw) = (StdRng::seed_from_u64(7), law(keys, exponent));
    (0..requests).map(|_| draw(&mut random)).collect()
}

/// Makes a trace by Zipf's law, into which another reader reads 500 keys in a row that are never
/// asked for again.
pub fn scans(keys: usize, requests: usize) -> Vec<u64> {
    let (mut random, mut draw) = (StdRng::seed_from_u64(8), law(keys, 1.0));
    let mut cold = 1 << 40;
    let mut trace = Vec::with_capacity(requests);
    while trace.len() < requests {
        for _ in 0..random.random_range(500..1_500) {
            trace.push(draw(&mut random));
        }
        trace.extend(cold..cold + 500);
        cold += 500;
    }
    trace
}

/// Makes a trace that asks for the same keys round and round.
pub fn rounds(keys: usize, requests: usize) -> Vec<u64> {
    (0..requests as u64).map(|at| at % keys as u64).collect()
}

/// Makes a trace by Zipf's law over a set of keys that moves on by one key in `pace` requests.
pub fn drift(pace: u64, requests: usize) -> Vec<u64> {
    let (mut random, mut draw) = (StdRng::seed_from_u64(9), law(SET, 0.9));
    (0..requests as u64).map(|at| at / pace + draw(&mut random)).collect()
}

/// Makes a trace by Zipf's law over a set of keys that is replaced by another after `stay` requests.
pub fn shift(stay: u64, requests: usize) -> Vec<u64> {
    let (mut random, mut draw) = (StdRng::seed_from_u64(10), law(SET, 0.9));
    (0..requests as u64).map(|at| (at / stay) * SET as u64 + draw(&mut random)).collect()
}

/// Makes a trace of sequences of 50 keys, each of which is asked for twice, one after the other.
pub fn pairs(keys: usize, requests: usize) -> Vec<u64> {
    let mut random = StdRng::seed_from_u64(11);
    let mut trace = Vec::with_capacity(requests);
    while trace.len() < requests {
        let first = random.random_range(0..keys as u64);
        trace.extend((first..first + 50).chain(first..first + 50));
    }
    trace
}
