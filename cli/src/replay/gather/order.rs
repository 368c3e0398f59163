//! Requests in the order of their times.

use crate::replay::traffic::Request;

/// How many requests that were added before may be sorted again with a block, for each of its own.
const AGAIN: usize = 8;
/// How many requests are looked at to find the middle of the times.
const SAMPLES: usize = 1000;
/// How many requests are moved by a sort, which takes memory for them.
const SMALL: usize = 4096;

/// Sorts requests while they are added, block by block. Servers write a request when it is
/// complete, or several write one log: most requests are only a little out of order, and near the
/// end. Those are put in their places at once. Requests that lie far apart, as in the logs of
/// several servers, stay in runs, and the runs are merged at the end.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Where the last run begins.
    run: usize,
}

impl Order {
    /// Sorts in the requests from `added` on. Those of one time stay in their order.
    pub(super) fn add(&mut self, requests: &mut [Request], added: usize) {
        let (before, block) = requests[self.run..].split_at(added - self.run);
        let Some(earliest) = block.iter().map(|request| request.time).min() else { return };
        let latest = before.last().map_or(i64::MIN, |request| request.time);
        let is_sorted = block.is_sorted_by_key(|request| request.time);
        if is_sorted && latest <= earliest {
            return;
        }
        let later = before.len() - before.partition_point(|request| request.time <= earliest);
        let start = if later <= AGAIN * block.len() {
            added - later
        } else {
            self.run = added;
            added
        };
        requests[start..].sort_by_key(|request| request.time);
    }

    /// Merges the runs.
    pub(super) fn finish(self, requests: &mut [Request]) {
        if self.run == 0 {
            return;
        }
        // A sort takes up to half of the memory of what it sorts. Two sorts, one after the other,
        // take up to a quarter. Each finds the runs by itself.
        let middle = split(requests, middle_time(requests));
        let (early, late) = requests.split_at_mut(middle);
        early.sort_by_key(|request| request.time);
        late.sort_by_key(|request| request.time);
    }
}

/// Returns a time that about half of the requests are not later than.
fn middle_time(requests: &[Request]) -> i64 {
    let step = requests.len().div_ceil(SAMPLES).max(1);
    let mut times: Vec<i64> = requests.iter().step_by(step).map(|request| request.time).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

/// Moves the requests that are not later than `time` before the others, in place. Both keep their
/// order. Returns how many they are.
fn split(requests: &mut [Request], time: i64) -> usize {
    if requests.len() <= SMALL {
        requests.sort_by_key(|request| request.time > time);
        return requests.partition_point(|request| request.time <= time);
    }
    let half = requests.len() / 2;
    let (left, right) = requests.split_at_mut(half);
    let (left, right) = (split(left, time), split(right, time));
    requests[left..half + right].rotate_left(half - left);
    left + right
}

#[cfg(test)]
mod tests {
    use super::{Order, SMALL, middle_time, split};
    use crate::replay::traffic::Request;

    /// Adds the blocks, and returns the times and the place that each request had before, which is
    /// its key, and whether there were several runs.
    fn sort(blocks: &[Vec<i64>]) -> (Vec<(i64, u32)>, bool) {
        let (mut order, mut requests) = (Order::default(), Vec::new());
        for block in blocks {
            let added = requests.len();
            for &time in block {
                requests.push(Request::new(time, requests.len() as u32, 1, &mut Vec::new()));
            }
            order.add(&mut requests, added);
        }
        let several = order.run > 0;
        order.finish(&mut requests);
        (requests.iter().map(|request| (request.time, request.key)).collect(), several)
    }

    fn sorted(blocks: &[Vec<i64>]) -> Vec<(i64, u32)> {
        let mut expected: Vec<(i64, u32)> = blocks.concat().into_iter().zip(0..).collect();
        expected.sort();
        expected
    }

    #[test]
    fn what_is_a_little_out_of_order_is_mended_at_once() {
        let mut random = fastrand::Rng::with_seed(0x0de5);
        for spread in [1, 5, 40] {
            let block =
                |start: i64| (0..100).map(|i| start + i / 3 + random.i64(0..spread)).collect();
            let blocks: Vec<Vec<i64>> = (0..50).map(|block| block * 33).map(block).collect();
            assert!(sort(&blocks) == (sorted(&blocks), false), "{spread}");
        }
    }

    #[test]
    fn logs_of_the_same_time_are_merged_in_their_order() {
        let log = |blocks: i64| (0..blocks).map(|block| (block * 10..block * 10 + 10).collect());
        let blocks: Vec<Vec<i64>> = log(40).chain(log(60)).chain(log(20)).collect();
        assert!(sort(&blocks) == (sorted(&blocks), true));
    }

    #[test]
    fn requests_are_split_in_place_and_keep_their_order() {
        let mut random = fastrand::Rng::with_seed(0x5b117);
        for length in [0, 1, SMALL, SMALL + 1, 10 * SMALL + 7] {
            let mut requests: Vec<Request> = (0..length as u32)
                .map(|key| Request::new(random.i64(0..100), key, 1, &mut Vec::new()))
                .collect();
            let time = middle_time(&requests);
            let (early, late): (Vec<Request>, Vec<Request>) =
                requests.iter().partition(|request| request.time <= time);
            assert_eq!(split(&mut requests, time), early.len());
            assert!(requests == [early, late].concat(), "{length}");
            assert!(length < SMALL || (30..70).contains(&time), "{time}");
        }
    }

    #[test]
    fn any_order_is_sorted() {
        let mut random = fastrand::Rng::with_seed(0xa11);
        for _ in 0..200 {
            let (most, range) = (random.usize(1..40), random.i64(1..3000));
            let block = |_| {
                let length = random.usize(..most);
                (0..length).map(|_| random.i64(0..range)).collect()
            };
            let blocks: Vec<Vec<i64>> = (0..30).map(block).collect();
            assert!(sort(&blocks).0 == sorted(&blocks));
        }
        let backwards: Vec<Vec<i64>> = (0..50).map(|i| vec![-i, -i]).collect();
        assert!(sort(&backwards).0 == sorted(&backwards));
    }
}
