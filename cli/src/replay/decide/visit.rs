//! When the requests of a key were made, by a reading of the stamps.
//!
//! A stamp says in which tick a request was made. By the reading `none` all requests of a tick are
//! made at its beginning. By `even` the i-th of the n requests that a key makes in a tick is made
//! i/n of the tick after it, counted from 0: a rational number, which is not rounded.
//!
//! A tick is as long as the coarsest stamp of the traffic says. Where finer stamps are mixed with
//! those, a stamp that is no beginning of a coarse tick is known to be finer, and its tick is the
//! longest decimal one that begins there. And a tick ends where the key's next stamp is, so that
//! the order of the times stays that of the stamps.

use super::super::outcome::Spread;
use super::super::traffic::Traffic;

/// How many requests of a key are brought into the cache at once.
const AHEAD: usize = 64;

/// The ticks of the stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// The earliest stamp.
    pub(super) start: i64,
    /// From there to the latest stamp, in nanoseconds.
    pub(super) span: u64,
    /// The longest tick in nanoseconds.
    pub(super) longest: u32,
}

/// A request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// The request's place in the traffic.
    pub(super) place: u32,
    /// The beginning of the tick, in nanoseconds since the earliest stamp.
    pub(super) nanos: u64,
    /// The request is made `part / parts` of `tick` nanoseconds after it.
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) tick: u32,
    /// The cost in cells.
    pub(super) cost: u64,
}

impl Ticks {
    pub(super) fn new(traffic: &Traffic) -> Self {
        let start = traffic.requests.first().map_or(0, |request| request.time);
        let end = traffic.requests.last().map_or(0, |request| request.time);
        let longest = 10_u32.pow(9 - u32::from(traffic.places.min(9)));
        Self { start, span: end.abs_diff(start), longest }
    }

    /// Returns whether a tick is longer than a nanosecond, so that a reading can spread it.
    pub(super) fn are_coarse(&self) -> bool {
        self.longest > 1
    }

    #[inline]
    pub(super) fn nanos(&self, time: i64) -> u64 {
        time.abs_diff(self.start)
    }

    /// Returns how long the tick is that begins at `time`.
    pub(super) fn tick(&self, time: i64) -> u32 {
        let mut tick = self.longest;
        while time.rem_euclid(i64::from(tick)) != 0 {
            tick /= 10;
        }
        tick
    }
}

/// Visits the requests of one key, whose places these are.
#[inline]
pub(crate) fn each_visit(
    traffic: &Traffic,
    ticks: &Ticks,
    spread: Option<Spread>,
    places: &[u32],
    mut visit: impl FnMut(&Visit),
) {
    let request = |at: usize| &traffic.requests[places[at] as usize];
    let is_even = spread == Some(Spread::Even);
    let (mut at, mut touched) = (0, 0);
    while at < places.len() {
        if at == touched {
            touched = places.len().min(at + AHEAD);
            touch(traffic, &places[at..touched]);
        }
        let time = request(at).time;
        let mut end = at + 1;
        while is_even && end < places.len() && request(end).time == time {
            end += 1;
        }
        let (parts, mut tick) = ((end - at) as u32, 1);
        if parts > 1 {
            tick = ticks.tick(time);
            if end < places.len() {
                let next = request(end).time.abs_diff(time);
                tick = u32::try_from(next).map_or(tick, |next| next.min(tick));
            }
        }
        let nanos = ticks.nanos(time);
        for (part, &place) in (0..).zip(&places[at..end]) {
            let cost = traffic.cost(&traffic.requests[place as usize]);
            visit(&Visit { place, nanos, part, parts, tick, cost });
        }
        at = end;
        touched = touched.max(at);
    }
}

/// Reads requests into the cache. They lie far from one another. The processor does many of these
/// reads at a time, because none waits for another; reads between decisions would wait.
#[inline]
fn touch(traffic: &Traffic, places: &[u32]) {
    let times = places.iter().map(|&place| traffic.requests[place as usize].time);
    std::hint::black_box(times.fold(0, |all, time| all ^ time));
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::Spread;
    use super::super::model::traffic;
    use super::{Ticks, each_visit};

    /// Returns where in its tick each of one key's requests is: nanoseconds, part, parts and tick.
    fn visits(places: u8, times: &[i64], spread: Spread) -> Vec<(u64, u32, u32, u32)> {
        let requests: Vec<_> = times.iter().map(|&time| (time, 0, 1)).collect();
        let traffic = traffic(places, &requests);
        let ticks = Ticks::new(&traffic);
        let all: Vec<_> = (0..times.len() as u32).collect();
        let mut visits = Vec::new();
        each_visit(&traffic, &ticks, Some(spread), &all, |visit| {
            visits.push((visit.nanos, visit.part, visit.parts, visit.tick));
        });
        visits
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn requests_of_a_tick_are_spread_over_it() {
        let times = [0, 0, 0, SECOND, 3 * SECOND, 3 * SECOND].map(|time| 7 * SECOND + time);
        let even = visits(0, &times, Spread::Even);
        let tick = 1_000_000_000;
        assert_eq!(even[..3], [(0, 0, 3, tick), (0, 1, 3, tick), (0, 2, 3, tick)]);
        assert_eq!(even[3], (1_000_000_000, 0, 1, 1));
        assert_eq!(even[5], (3_000_000_000, 1, 2, tick));
        assert!(visits(0, &times, Spread::None).iter().all(|visit| (visit.1, visit.2) == (0, 1)));
    }

    #[test]
    fn finer_stamps_have_shorter_ticks() {
        let times =
            [0, 0, SECOND / 2, SECOND / 2, SECOND / 2 + 1_000_000].map(|time| 7 * SECOND + time);
        let even = visits(0, &times, Spread::Even);
        // Up to the next stamp, and to the next tenth.
        assert_eq!((even[1].3, even[2].3), (500_000_000, 1_000_000));
        assert_eq!(visits(3, &times[2..4], Spread::Even)[1], (0, 1, 2, 1_000_000));
        let before = [-SECOND / 2, -SECOND / 2];
        assert_eq!(visits(0, &before, Spread::Even)[1], (0, 1, 2, 100_000_000));
    }
}
