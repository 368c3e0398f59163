//! How many of the requests of a trace find what they ask for.

use std::num::NonZeroUsize;

use tidegate::SeededState;

use super::contenders::{Contender, MiniMoka, Moka, Ours, QuickCache, SccCache};
use super::synthetic::{rounds, scans, zipf};
use super::{BUDGET, BURST, Effort, RIVALS};
use crate::measure::Row;

/// Of so many keys.
const KEYS: usize = 100_000;
const REQUESTS: usize = 2_000_000;

/// The share of hits, in percent. What is not there is inserted.
fn hits<C: Contender>(entries: usize, trace: &[u64]) -> f64 {
    let cache = C::of(entries);
    let mut hand = cache.hand();
    let mut hits = 0_u32;
    for keys in trace.chunks(BURST) {
        let guard = cache.guard(&mut hand);
        for &key in keys {
            match cache.get(key, &guard) {
                Some(_) => hits += 1,
                None => cache.insert(key, key, &guard),
            }
        }
        drop(guard);
        cache.collect(&mut hand, BUDGET);
    }
    f64::from(hits) * 100.0 / trace.len() as f64
}

/// The same of the textbook's: the least recently used goes.
fn least_recently_used(entries: usize, trace: &[u64]) -> f64 {
    let entries = NonZeroUsize::new(entries).expect("some");
    let mut cache = lru::LruCache::with_hasher(entries, SeededState::new(0x5eed));
    let mut hits = 0_u32;
    for &key in trace {
        if cache.get(&key).is_some() {
            hits += 1;
        } else {
            cache.put(key, key);
        }
    }
    f64::from(hits) * 100.0 / trace.len() as f64
}

pub(super) fn hit_ratios(effort: Effort, row: &mut impl FnMut(Row)) {
    for entries in [KEYS / 100, KEYS / 10].into_iter().filter(|&entries| entries <= effort.keys) {
        for (name, trace) in [
            ("zipf 0.8", zipf(KEYS, 0.8, REQUESTS)),
            ("zipf 1.0", zipf(KEYS, 1.0, REQUESTS)),
            ("zipf 1.2", zipf(KEYS, 1.2, REQUESTS)),
            ("zipf 1.0 and scans", scans(KEYS, REQUESTS)),
            ("loop", rounds(entries * 3 / 2, REQUESTS)),
        ] {
            let ours = hits::<Ours>(entries, &trace);
            let theirs = [
                hits::<Moka>(entries, &trace),
                hits::<MiniMoka>(entries, &trace),
                hits::<QuickCache>(entries, &trace),
                hits::<SccCache>(entries, &trace),
                least_recently_used(entries, &trace),
            ];
            for (rival, theirs) in RIVALS.into_iter().chain(["lru"]).zip(theirs) {
                // Above 1, ours is better; none against none is as good.
                let ratio = if ours == theirs { 1.0 } else { ours / theirs };
                row(Row {
                    bench: "cache",
                    case: format!("hit-ratio {name}"),
                    keys: entries,
                    threads: 1,
                    ours_ns: ours,
                    rival,
                    rival_ns: theirs,
                    ratio,
                    unit: Some("%"),
                });
            }
        }
    }
}
