//! Numbers the keys for all threads.

use std::hash::BuildHasher;
use std::sync::Mutex;

use hashbrown::HashTable;
use tidegate::SeededState;

use crate::failure::Failure;
use crate::replay::keys::{Address, Keys, LISTS, List};
use crate::replay::traffic::Request;

/// The parts of the interner, each behind a lock of its own. A thread takes each lock once a block.
const SHARDS: usize = LISTS;

/// Gives each key a number. There is one interner for all threads: one for each would keep most
/// keys as often as there are threads.
pub(super) struct Interner {
    state: SeededState,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    /// The places of the keys.
    table: HashTable<u32>,
    keys: List,
}

/// The keys of the requests of one block, in order.
#[derive(Default)]
pub(super) struct Pending {
    keys: List,
    /// The hash of each key.
    hashes: Vec<u64>,
    /// The places of the keys in order of their shards.
    order: Vec<u32>,
}

impl Pending {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.hashes.clear();
    }

    /// Sorts the places of the keys by shard, and returns where each shard's end.
    fn sort(&mut self) -> [usize; SHARDS] {
        let mut ends = [0; SHARDS];
        for &hash in &self.hashes {
            ends[shard(hash)] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        // Each end is now where its shard begins, and moves to the end while the shard is filled.
        self.order.clear();
        self.order.resize(self.hashes.len(), 0);
        for (place, &hash) in self.hashes.iter().enumerate() {
            let end = &mut ends[shard(hash)];
            self.order[*end] = place as u32;
            *end += 1;
        }
        ends
    }
}

impl Interner {
    pub(super) fn new() -> Self {
        // The state is random: clients choose what is logged of them, and could choose keys that
        // collide.
        let state = tidegate::random_state();
        Self { state, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Adds a key to those of a block.
    pub(super) fn add(&self, key: &[u8], pending: &mut Pending) {
        pending.keys.push(key);
        pending.hashes.push(self.state.hash_one(key));
    }

    /// Gives the requests of a block the numbers of their keys, which are in the same order. The
    /// numbers hold until [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// Fails if there are more keys than numbers.
    pub(super) fn number(
        &self,
        pending: &mut Pending,
        requests: &mut [Request],
        worker: usize,
    ) -> Result<(), Failure> {
        let ends = pending.sort();
        for step in 0..SHARDS {
            // Threads begin at different shards, so that they do not follow each other.
            let number = (worker * 13 + step) % SHARDS;
            let start = number.checked_sub(1).map_or(0, |before| ends[before]);
            let places = &pending.order[start..ends[number]];
            if places.is_empty() {
                continue;
            }
            let mut shard = self.shards[number].lock().expect("no thread panics");
            for &place in places {
                let (key, hash) = (pending.keys.bytes(place), pending.hashes[place as usize]);
                let found = shard.place(hash, key, &self.state);
                let found =
                    found.ok_or_else(|| Failure::new("the logs", "too many keys to number"))?;
                requests[place as usize].key = Address::new(number, found).0;
            }
        }
        Ok(())
    }

    /// Numbers the keys anew in the order of the requests, so that the numbers do not depend on the
    /// threads, and returns the keys.
    pub(super) fn finish(self, requests: &mut [Request]) -> Keys {
        let lists: Vec<List> = self
            .shards
            .into_iter()
            .map(|shard| shard.into_inner().expect("no thread panics").keys)
            .collect();
        let mut starts = [0; SHARDS];
        let mut total = 0;
        for (start, list) in starts.iter_mut().zip(&lists) {
            *start = total;
            total += list.len();
        }
        let mut addresses = Vec::with_capacity(total);
        let mut numbers = vec![u32::MAX; total];
        for request in requests {
            let address = Address(request.key);
            let number = &mut numbers[starts[address.list()] + address.place() as usize];
            if *number == u32::MAX {
                *number = addresses.len() as u32;
                addresses.push(address);
            }
            request.key = *number;
        }
        Keys::new(lists, addresses)
    }
}

/// Returns the shard of a hash, by bits that the shards' tables do not use.
fn shard(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl Shard {
    /// Returns the place of a key, which is added if it is new. Returns `None` if it is new and the
    /// shard is full.
    fn place(&mut self, hash: u64, key: &[u8], state: &SeededState) -> Option<u32> {
        let Self { table, keys } = self;
        if let Some(&place) = table.find(hash, |&place| keys.bytes(place) == key) {
            return Some(place);
        }
        if keys.len() >= Address::MOST_PLACES {
            return None;
        }
        let place = keys.len() as u32;
        keys.push(key);
        table.insert_unique(hash, place, |&place| state.hash_one(keys.bytes(place)));
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::{Interner, Pending};
    use crate::replay::traffic::Request;

    #[test]
    fn equal_keys_of_any_threads_have_one_number_in_the_order_of_the_requests() {
        let mut random = fastrand::Rng::with_seed(0x1e57);
        let interner = Interner::new();
        let blocks: Vec<Vec<Vec<u8>>> = (0..20)
            .map(|_| {
                let key = |_| format!("key {}", random.u32(..3000)).into_bytes();
                (0..5000).map(key).chain([Vec::new()]).collect()
            })
            .collect();
        let numbered = std::thread::scope(|scope| {
            let number = |worker: usize| {
                let mut numbered = Vec::new();
                let mut pending = Pending::default();
                for block in blocks.iter().skip(worker).step_by(4) {
                    pending.clear();
                    block.iter().for_each(|key| interner.add(key, &mut pending));
                    let mut requests: Vec<Request> =
                        block.iter().map(|_| Request::new(0, 0, 1, &mut Vec::new())).collect();
                    interner.number(&mut pending, &mut requests, worker).expect("few keys");
                    numbered.push(requests);
                }
                numbered
            };
            let workers = [0, 1, 2, 3].map(|worker| scope.spawn(move || number(worker)));
            workers.map(|worker| worker.join().expect("no panic"))
        });
        let mut requests: Vec<Request> =
            (0..20).flat_map(|block| numbered[block % 4][block / 4].clone()).collect();
        let keys = interner.finish(&mut requests);

        let mut seen = Vec::new();
        let mut expected = std::collections::HashMap::new();
        for (key, request) in blocks.iter().flatten().zip(&requests) {
            let next = expected.len() as u32;
            let number = *expected.entry(key).or_insert_with(|| {
                seen.push(key);
                next
            });
            assert_eq!(request.key, number);
            assert_eq!(keys.bytes(number), key);
        }
        assert_eq!(keys.len(), seen.len());
    }
}
