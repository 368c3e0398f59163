//! From the fates of requests to what is shown.

use std::cmp::Reverse;

use super::super::outcome::{Spread, Tally, Timeline, Top};
use super::fates::Fates;
use super::{Detail, Replay};

/// A key that was denied.
#[derive(Clone, Copy, Debug)]
struct Denied {
    key: u32,
    requests: u32,
    denied: u32,
}

/// Sums up what became of the requests.
pub(super) fn tally(
    replay: &Replay<'_>,
    spread: Option<Spread>,
    fates: &Fates,
    peak_live_keys: u64,
    detail: Detail,
) -> Tally {
    let requests = replay.traffic.requests.len() as u64;
    let denied = fates.denied.count();
    let columns = Columns::new(replay, detail.columns);
    let (top, keys_denied) = most_denied(replay, fates, detail.top);
    let top = top.into_iter().map(|of| Top {
        key: replay.traffic.keys.get(of.key).into_owned(),
        requests: of.requests.into(),
        admitted: (of.requests - of.denied).into(),
        denied: of.denied.into(),
        timeline: columns.timeline(replay, fates, replay.by_key.of(of.key).iter().copied()),
    });
    Tally {
        spread,
        admitted: requests - denied,
        denied: denied - fates.no_slot,
        no_slot: fates.no_slot,
        keys_denied,
        denied_by: fates.denied_by.clone(),
        delayed: fates.delayed,
        longest_delay_nanos: fates.longest_wait,
        mean_delay_nanos: mean(fates.total_wait, fates.delayed),
        peak_live_keys,
        top: top.collect(),
        timeline: columns.timeline(replay, fates, 0..requests as u32),
    }
}

/// Returns the mean, rounded to the nearest whole number. It is 0 if nothing was counted.
fn mean(total: u128, count: u64) -> u64 {
    let count = u128::from(count.max(1));
    u64::try_from((total + count / 2) / count).unwrap_or(u64::MAX)
}

/// Returns the `most` keys that were denied most, and the number of all that were denied.
fn most_denied(replay: &Replay<'_>, fates: &Fates, most: usize) -> (Vec<Denied>, u64) {
    let (mut top, mut keys_denied) = (Vec::new(), 0);
    // The text decides at last, so that the order does not depend on the numbers of the keys.
    let sort = |top: &mut Vec<Denied>| {
        top.sort_unstable_by(|one, other| {
            let rank = |of: &Denied| Reverse((of.denied, of.requests));
            let text = |of: &Denied| replay.traffic.keys.bytes(of.key);
            rank(one).cmp(&rank(other)).then_with(|| text(one).cmp(text(other)))
        });
        top.truncate(most);
    };
    for key in replay.by_key.keys() {
        let places = replay.by_key.of(key);
        let denied = places.iter().filter(|&&place| fates.denied.get(place)).count() as u32;
        if denied > 0 {
            keys_denied += 1;
            top.push(Denied { key, requests: places.len() as u32, denied });
            if top.len() >= most.saturating_mul(2).saturating_add(1_024) {
                sort(&mut top);
            }
        }
    }
    sort(&mut top);
    (top, keys_denied)
}

/// The columns of a timeline, each of a whole number of ticks.
#[derive(Clone, Copy, Debug)]
struct Columns {
    count: usize,
    width: u64,
}

impl Columns {
    fn new(replay: &Replay<'_>, most: usize) -> Self {
        let tick = u64::from(replay.ticks.longest);
        let ticks = replay.ticks.span / tick + 1;
        let width = ticks.div_ceil(most.max(1) as u64);
        Self { count: ticks.div_ceil(width) as usize, width: width * tick }
    }

    /// Counts in each column the requests at these places, which are in the order of their times.
    fn timeline(
        &self,
        replay: &Replay<'_>,
        fates: &Fates,
        places: impl Iterator<Item = u32>,
    ) -> Timeline {
        let (mut admitted, mut denied) = (vec![0; self.count], vec![0; self.count]);
        let (mut column, mut end) = (0, self.width);
        for place in places {
            let nanos = replay.ticks.nanos(replay.traffic.requests[place as usize].time);
            if nanos >= end {
                column = nanos / self.width;
                end = (column + 1) * self.width;
            }
            let of = if fates.denied.get(place) { &mut denied } else { &mut admitted };
            of[column as usize] += 1;
        }
        Timeline { width_nanos: self.width, admitted, denied }
    }
}
