//! Traffic made by hand, and a model of what limits do to it: token buckets over big rationals, as
//! slow and as plain as can be.

use num_bigint::BigInt;
use num_rational::BigRational;

use crate::replay::limit::Limit;
use crate::replay::outcome::Spread;
use crate::replay::traffic::{Request, Traffic};

/// Makes traffic of requests, each a time, a key and a cost.
pub(in crate::replay) fn traffic(places: u8, requests: &[(i64, u32, u64)]) -> Traffic {
    let mut traffic = Traffic::default();
    traffic.places = places;
    let mut large = Vec::new();
    let one = |&(time, key, cost): &(i64, u32, u64)| Request::new(time, key, cost, &mut large);
    let requests: Vec<_> = requests.iter().map(one).collect();
    assert!(traffic.extend(&requests, &large));
    for key in 0..=requests.iter().map(|request| request.key).max().unwrap_or(0) {
        traffic.keys.push(format!("key {key}").as_bytes());
    }
    traffic
}

/// What became of all requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Modelled {
    pub(super) denied: Vec<bool>,
    pub(super) denied_by: Vec<u64>,
    pub(super) delayed: u64,
    pub(super) longest_wait: u64,
    pub(super) total_wait: u128,
    pub(super) peak: u64,
}

/// A token bucket.
#[derive(Clone)]
struct Bucket {
    rate: BigRational,
    burst: BigRational,
    /// What the tokens may fall short of.
    overdraft: BigRational,
    tokens: BigRational,
    time: BigRational,
}

fn whole(number: impl Into<BigInt>) -> BigRational {
    BigRational::from_integer(number.into())
}

impl Bucket {
    fn new(limit: &Limit) -> Self {
        let rate = BigRational::new(limit.cells.into(), limit.period.into());
        Self {
            burst: whole(limit.burst),
            overdraft: &rate * whole(limit.max_wait),
            tokens: whole(limit.burst),
            time: whole(0),
            rate,
        }
    }

    fn flow(&mut self, now: &BigRational) {
        let tokens = &self.tokens + (now - &self.time) * &self.rate;
        self.tokens = if tokens > self.burst { self.burst.clone() } else { tokens };
        self.time = now.clone();
    }

    /// Returns the time until this number of cells is admitted, or `None` if it never is.
    fn wait(&self, cost: &BigRational) -> Option<BigRational> {
        let short = cost - &self.tokens - &self.overdraft;
        (*cost <= &self.burst + &self.overdraft).then(|| short / &self.rate)
    }
}

fn rounded_up(nanos: &BigRational) -> u64 {
    u64::try_from(nanos.ceil().to_integer()).unwrap_or(u64::MAX)
}

/// Decides all requests in the order of the traffic.
pub(super) fn model(traffic: &Traffic, limits: &[Limit], spread: Option<Spread>) -> Modelled {
    let requests = &traffic.requests;
    let fresh: Vec<_> = limits.iter().map(Bucket::new).collect();
    let mut keys = vec![fresh; traffic.keys.len()];
    let mut modelled = Modelled { denied_by: vec![0; limits.len()], ..Modelled::default() };
    let tick = whole(10_u64.pow(9 - u32::from(traffic.places)));
    let start = requests[0].time;
    for of_tick in requests.chunk_by(|one, next| one.time == next.time) {
        let stamp = whole(of_tick[0].time) - whole(start);
        let mut live = vec![false; keys.len()];
        for (live, buckets) in live.iter_mut().zip(&mut keys) {
            buckets.iter_mut().for_each(|bucket| bucket.flow(&stamp));
            *live = buckets.iter().any(|bucket| bucket.tokens < bucket.burst);
        }
        for (at, request) in of_tick.iter().enumerate() {
            let count = |some: &[Request]| some.iter().filter(|one| one.key == request.key).count();
            let mut now = stamp.clone();
            if spread == Some(Spread::Even) {
                now +=
                    &tick * BigRational::new(count(&of_tick[..at]).into(), count(of_tick).into());
            }
            let buckets = &mut keys[request.key as usize];
            buckets.iter_mut().for_each(|bucket| bucket.flow(&now));
            let cost = whole(traffic.cost(request));
            let waits = buckets.iter().map(|bucket| bucket.wait(&cost)).enumerate();
            let denied =
                waits.filter(|(_, wait)| wait.as_ref().is_none_or(|wait| *wait > whole(0)));
            let longest = denied.max_by_key(|(_, wait)| {
                let wait = wait.as_ref().map(rounded_up);
                (wait.is_none(), wait)
            });
            modelled.denied.push(longest.is_some());
            if let Some((by, _)) = longest {
                modelled.denied_by[by] += 1;
                continue;
            }
            let mut delay = 0;
            for bucket in buckets {
                bucket.tokens -= &cost;
                if bucket.tokens < whole(0) {
                    delay = delay.max(rounded_up(&(-&bucket.tokens / &bucket.rate)));
                }
            }
            live[request.key as usize] |= traffic.cost(request) > 0;
            modelled.delayed += u64::from(delay > 0);
            modelled.longest_wait = modelled.longest_wait.max(delay);
            modelled.total_wait += u128::from(delay);
        }
        modelled.peak = modelled.peak.max(live.iter().filter(|&&live| live).count() as u64);
    }
    modelled
}
