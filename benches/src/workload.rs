//! Keys, and the order in which they come.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// Which keys come how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each as often as any other.
    Uniform,
    /// The i-th in proportion to i^-0.99.
    Zipf,
}

impl Spread {
    /// The word for it in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

/// So many operations are done with one guard and one reading of the clock.
pub const BURST: usize = 32;

/// `count` random 64-bit keys. Consecutive integers would flatter tables: hashes spread them evenly.
pub fn keys(count: usize) -> Vec<u64> {
    let mut random = StdRng::seed_from_u64(0x7164_6761_7465);
    (0..count).map(|_| random.random()).collect()
}

/// A long sequence of keys, in which each turns up: a round begins where the last one ended, so
/// that what one round has warmed is cold again when its turn comes.
pub fn sequence(keys: &[u64], spread: Spread) -> Vec<u64> {
    let length = keys.len().next_power_of_two().clamp(1 << 16, 1 << 23);
    let mut random = StdRng::seed_from_u64(0x5e9_0001);
    match spread {
        Spread::Uniform => (0..length).map(|_| keys[random.random_range(0..keys.len())]).collect(),
        Spread::Zipf => {
            let mut by_rank = keys.to_vec();
            by_rank.shuffle(&mut random);
            let zipf = Zipf::new(keys.len() as f64, 0.99).expect("a valid exponent");
            (0..length).map(|_| by_rank[zipf.sample(&mut random) as usize - 1]).collect()
        }
    }
}

/// One turn's part of a sequence, in chunks: from a place that depends on the thread. With each the
/// position of its first operation, which no other turn or thread has.
pub fn chunks(
    sequence: &[u64],
    thread: usize,
    from: usize,
    operations: usize,
) -> impl Iterator<Item = (u64, &[u64])> {
    let mask = sequence.len() - 1;
    let start = from + thread * sequence.len() / 2;
    (0..operations / BURST).map(move |chunk| {
        let at = (start + chunk * BURST) & mask & !(BURST - 1);
        (((thread << 40) + from + chunk * BURST) as u64, &sequence[at..at + BURST])
    })
}

/// A key for each position, and no position's twice: every step of it can be undone (splitmix64).
/// That it is one of the residents', which are random, is as good as impossible.
pub fn fresh(at: u64) -> u64 {
    let at = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let at = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let at = (at ^ (at >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    at ^ (at >> 31)
}
