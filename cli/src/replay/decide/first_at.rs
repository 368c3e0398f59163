//! Finds requests by their times.

use super::super::traffic::Traffic;
use super::visit::Ticks;

/// How many requests share a column, on average, unless a column is a tick.
const A_COLUMN: usize = 8;

/// Finds the first request at or after a time.
///
/// Requests are counted by columns, each a power of two of ticks: half a byte a request. Where a
/// column is a tick, and no stamp is finer than that, the count is the answer. Otherwise a few
/// requests of one column are searched.
#[derive(Debug)]
pub(super) struct FirstAt {
    /// The first request of each column or of a later one, and at last the number of all.
    firsts: Vec<u32>,
    shift: u32,
    /// Every time is a multiple of this many nanoseconds, counted from the earliest.
    tick: u64,
    ticks: Ticks,
}

impl FirstAt {
    pub(super) fn new(traffic: &Traffic) -> Self {
        let ticks = Ticks::new(traffic);
        let nanos = || traffic.requests.iter().map(|request| ticks.nanos(request.time));
        let longest = u64::from(ticks.longest);
        let tick = if nanos().all(|nanos| nanos.is_multiple_of(longest)) { longest } else { 1 };
        let most = (traffic.requests.len() / A_COLUMN).max(1) as u64;
        let last = ticks.span / tick;
        let mut shift = 0;
        while last >> shift >= most {
            shift += 1;
        }
        let columns = (last >> shift) as usize + 1;
        let mut firsts = Vec::with_capacity(columns + 1);
        for (place, nanos) in (0..).zip(nanos()) {
            let column = ((nanos / tick) >> shift) as usize;
            while firsts.len() <= column {
                firsts.push(place);
            }
        }
        firsts.resize(columns + 1, traffic.requests.len() as u32);
        Self { firsts, shift, tick, ticks }
    }

    /// Returns the place of the first request at or after a time in nanoseconds since the earliest
    /// one, or `None` if all are before it.
    #[inline]
    pub(super) fn find(&self, traffic: &Traffic, nanos: u64) -> Option<u32> {
        if nanos > self.ticks.span {
            return None;
        }
        let tick = nanos.div_ceil(self.tick);
        let column = (tick >> self.shift) as usize;
        let first = self.firsts[column];
        if self.shift == 0 {
            return Some(first);
        }
        let column = &traffic.requests[first as usize..self.firsts[column + 1] as usize];
        let before = column.partition_point(|request| self.ticks.nanos(request.time) < nanos);
        Some(first + before as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::traffic;
    use super::FirstAt;

    #[test]
    fn a_request_is_found_as_by_a_search_of_all() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..400 {
            // Whole seconds, finer stamps among them, and nanoseconds.
            let (places, tick) = if round % 3 > 0 { (0, 1_000_000_000) } else { (9, 1) };
            let span = tick << random.u32(0..20);
            let mut times: Vec<i64> = (0..random.usize(1..200))
                .map(|_| {
                    -500 + random.i64(0..=span) / tick * tick
                        + i64::from(round % 3 == 2 && random.bool())
                })
                .collect();
            times.sort_unstable();
            let requests: Vec<_> = times.iter().map(|&time| (time, 0, 1)).collect();
            let traffic = traffic(places, &requests);
            let first_at = FirstAt::new(&traffic);
            for _ in 0..50 {
                let nanos = random.u64(0..=span as u64 + 2);
                let sought = times.iter().position(|time| time.abs_diff(times[0]) >= nanos);
                assert_eq!(first_at.find(&traffic, nanos).map(|place| place as usize), sought);
            }
        }
    }
}
