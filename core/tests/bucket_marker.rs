//! Two rates and three colours: RFC 2698 by hand, beside a rational model, and under races.

use core::cell::RefCell;
use core::time::Duration;
use std::thread;

use tidegate_core::bucket::{Colour, LocalMarker, LocalSet, Marker, MarkerPlan, Unit, mark};
use tidegate_core::{
    BucketTable, Instant, LocalBucketTable, ManualClock, Quota, QuotaError, SeededState,
};

use Colour::{Green, Red, Yellow};

fn at(millis: u64) -> Instant {
    Instant::from_secs(100) + Duration::from_millis(millis)
}

fn quota(cells: u64, period: Duration, burst: u64) -> Quota {
    Quota::new(cells, period).and_then(|quota| quota.burst(burst)).expect("a quota")
}

/// Bytes: PIR 2,000 a second, PBS 3,000, CIR 1,000 a second, CBS 2,000.
fn by_hand() -> MarkerPlan {
    let second = Duration::from_secs(1);
    MarkerPlan::new(quota(2_000, second, 3_000), quota(1_000, second, 2_000)).expect("a plan")
}

/// A packet: when it comes, its bytes and its colour, and then the colour and what is left in `Tp`
/// and `Tc`.
type Case = (u64, u64, Colour, Colour, (u64, u64));

/// What RFC 2698, section 3, says for packets that come uncoloured. `Tp` and `Tc` are worked out by
/// hand.
const BLIND: [Case; 14] = [
    (0, 1_500, Green, Green, (1_500, 500)),
    (0, 600, Green, Yellow, (900, 500)),
    (0, 500, Green, Green, (400, 0)),
    (0, 500, Green, Red, (400, 0)),
    (0, 400, Green, Yellow, (0, 0)),
    (0, 1, Green, Red, (0, 0)),
    // 250 ms bring 500 bytes to the peak bucket and 250 to the committed one.
    (250, 300, Green, Yellow, (200, 250)),
    (250, 200, Green, Green, (0, 50)),
    (500, 501, Green, Red, (500, 300)),
    (500, 300, Green, Green, (200, 0)),
    // Both are full again, and no fuller.
    (10_000, 3_001, Green, Red, (3_000, 2_000)),
    (10_000, 2_500, Green, Yellow, (500, 2_000)),
    (10_000, 500, Green, Green, (0, 1_500)),
    (10_000, 0, Green, Green, (0, 1_500)),
];

/// What it says for packets that come with a colour.
const AWARE: [Case; 9] = [
    (0, 100, Red, Red, (3_000, 2_000)),
    (0, 1_000, Yellow, Yellow, (2_000, 2_000)),
    (0, 1_500, Green, Green, (500, 500)),
    (0, 501, Green, Red, (500, 500)),
    (0, 501, Yellow, Red, (500, 500)),
    (0, 500, Yellow, Yellow, (0, 500)),
    (0, 400, Green, Red, (0, 500)),
    (400, 800, Green, Green, (0, 100)),
    (600, 301, Green, Yellow, (99, 300)),
];

#[test]
fn cases_worked_out_by_hand() {
    let plan = by_hand();
    for cases in [&BLIND[..], &AWARE[..]] {
        let (shared, mut local) = (Marker::new(), LocalMarker::new());
        for &(millis, bytes, before, after, left) in cases {
            let case = format!("{bytes} bytes, {before:?}, at {millis} ms");
            let now = at(millis);
            assert_eq!(shared.mark_aware(&plan, bytes, before, now), after, "{case}");
            assert_eq!(local.mark_aware(&plan, bytes, before, now), after, "{case}");
            assert_eq!(shared.left(&plan, now), left, "{case}");
            assert_eq!(local.left(&plan, now), left, "{case}");
        }
    }
    let (shared, mut local) = (Marker::new(), LocalMarker::new());
    for (millis, bytes, _, after, _) in BLIND {
        assert_eq!(shared.mark(&plan, bytes, at(millis)), after);
        assert_eq!(local.mark(&plan, bytes, at(millis)), after);
    }
}

#[test]
fn cases_worked_out_by_hand_on_tables() {
    let plan = by_hand();
    let unit = Unit::NANOSECOND;
    let plan_here = {
        let second = Duration::from_secs(1);
        MarkerPlan::in_unit(unit, quota(2_000, second, 3_000), quota(1_000, second, 2_000))
    };
    assert_eq!(plan_here, Ok(plan));
    let clock = ManualClock::new();
    for cases in [&BLIND[..], &AWARE[..]] {
        let quota = Quota::per_second(1_000).expect("a quota");
        let shared = BucketTable::boxed(quota, 100, SeededState::new(1)).expect("a table");
        let sets = vec![LocalSet::new(); 4];
        let local = LocalBucketTable::over(sets.into_boxed_slice(), unit, SeededState::new(1));
        let local = RefCell::new(local);
        for &(millis, bytes, before, after, left) in cases {
            let now = at(millis);
            // One table may hold both of a flow's buckets, under keys of their own.
            let colour = mark(
                &shared.limit(&("flow", 'p'), plan.peak(), bytes, now, &clock),
                &shared.limit(&("flow", 'c'), plan.committed(), bytes, now, &clock),
                before,
            );
            let by_local = mark(
                &LocalBucketTable::limit(&local, &1, plan.peak(), bytes, now, &clock),
                &LocalBucketTable::limit(&local, &2, plan.committed(), bytes, now, &clock),
                before,
            );
            assert_eq!((colour, by_local), (after, after), "{bytes} bytes at {millis} ms");
            let peak = shared.peek(&("flow", 'p'), plan.peak(), now).remaining();
            let committed = shared.peek(&("flow", 'c'), plan.committed(), now).remaining();
            assert_eq!((peak, committed), left);
            let mut local = local.borrow_mut();
            let peak = local.peek(&1, plan.peak(), now).remaining();
            assert_eq!((peak, local.peek(&2, plan.committed(), now).remaining()), left);
        }
    }
}

/// A token bucket as the RFC describes it, over the rationals: its tokens are a numerator over the
/// period in nanoseconds.
struct Tokens {
    numerator: u128,
    /// Tokens a period.
    cells: u128,
    period: u128,
    burst: u128,
}

impl Tokens {
    fn new(quota: &Quota) -> Self {
        let (period, burst) = (quota.period().as_nanos(), u128::from(quota.burst_cells()));
        Self { numerator: burst * period, cells: quota.cells().into(), period, burst }
    }

    fn flow(&mut self, nanos: u64) {
        let full = self.burst * self.period;
        self.numerator = (self.numerator + u128::from(nanos) * self.cells).min(full);
    }

    fn take(&mut self, cost: u64) -> bool {
        match self.numerator.checked_sub(u128::from(cost) * self.period) {
            Some(rest) => {
                self.numerator = rest;
                true
            }
            None => false,
        }
    }

    fn left(&self) -> u64 {
        (self.numerator / self.period) as u64
    }
}

/// The marker of the RFC.
struct Model {
    peak: Tokens,
    committed: Tokens,
}

impl Model {
    fn mark(&mut self, cost: u64, before: Colour) -> Colour {
        if before == Red || !self.peak.take(cost) {
            return Red;
        }
        if before == Yellow || !self.committed.take(cost) { Yellow } else { Green }
    }
}

/// Bits and packets, even and uneven rates.
fn pairs() -> Vec<(Quota, Quota)> {
    let second = Duration::from_secs(1);
    let bits = 8 * 1_500;
    vec![
        (quota(300_000_000, second, 6 * bits), quota(100_000_000, second, 3 * bits)),
        (quota(1_000_000_000, second, 20 * bits), quota(1_000_000_000, second, 4 * bits)),
        (quota(10_000_000, second, 3 * bits), quota(3_000_000, second, bits)),
        (quota(7_000_000, Duration::from_millis(7), 9_001), quota(64_000, second, 12_001)),
        (quota(3, Duration::from_nanos(10_007), 7), quota(1, Duration::from_nanos(10_007), 3)),
        (quota(20_000, second, 32), quota(10_000, second, 8)),
        (quota(2, Duration::from_micros(77), 5), quota(1, Duration::from_micros(91), 4)),
        (quota(1, Duration::from_nanos(333), 2), quota(1, Duration::from_nanos(999), 1)),
    ]
}

#[test]
fn a_million_random_packets_are_coloured_as_by_a_rational_model() {
    let mut random = fastrand::Rng::with_seed(2_698);
    let (mut packets, mut seen) = (0, [0_u32; 3]);
    for (peak, committed) in pairs() {
        let plan = MarkerPlan::new(peak, committed).expect("a plan");
        assert!(plan.is_exact(), "{peak:?} {committed:?}");
        let (shared, mut local) = (Marker::new(), LocalMarker::new());
        let mut model = Model { peak: Tokens::new(&peak), committed: Tokens::new(&committed) };
        let largest = peak.burst_cells().min(12_000);
        // A packet of this size comes in this time by the peak rate.
        let pace =
            |cells: u64| u128::from(cells) * peak.period().as_nanos() / u128::from(peak.cells());
        let mut now = Instant::from_secs(1);
        for _ in 0..125_000 {
            let cost = random.u64(1..=largest);
            let nanos = match random.u8(0..8) {
                0..=2 => 0,
                3..=6 => random.u64(0..=2 * pace(cost) as u64),
                _ => random.u64(0..=3 * pace(peak.burst_cells()) as u64),
            };
            now = now + Duration::from_nanos(nanos);
            model.peak.flow(nanos);
            model.committed.flow(nanos);
            let before = [Green, Green, Yellow, Red][random.usize(0..4)];
            let expected = model.mark(cost, before);
            assert_eq!(shared.mark_aware(&plan, cost, before, now), expected);
            assert_eq!(local.mark_aware(&plan, cost, before, now), expected);
            let left = (model.peak.left(), model.committed.left());
            assert_eq!((shared.left(&plan, now), local.left(&plan, now)), (left, left));
            packets += 1;
            seen[expected as usize] += u32::from(before == Green);
        }
    }
    assert_eq!(packets, 1_000_000);
    assert!(seen.iter().all(|&count| count > 20_000), "{seen:?}");
}

#[test]
fn a_rate_that_rounds_admits_no_more_than_its_quotas() {
    let second = Duration::from_secs(1);
    let (peak, committed) =
        (quota(40_000_000_000, second, 64 * 12_000), quota(10_000_000_000, second, 16 * 12_000));
    let plan = MarkerPlan::new(peak, committed).expect("a plan");
    assert!(!plan.is_exact());
    let mut random = fastrand::Rng::with_seed(7);
    let (mut flow, start) = (LocalMarker::new(), Instant::from_secs(1));
    let (mut now, mut green, mut yellow) = (start, 0, 0);
    for _ in 0..200_000 {
        now = now + Duration::from_nanos(random.u64(0..300));
        let bits = 8 * random.u64(40..=1_500);
        match flow.mark(&plan, bits, now) {
            Green => green += bits,
            Yellow => yellow += bits,
            Red => {}
        }
        let nanos = now.since(start).as_nanos() as u64;
        // A unit early, at most.
        assert!(green <= plan.committed().limit() + 10 * (nanos + 1));
        assert!(green + yellow <= plan.peak().limit() + 40 * (nanos + 1));
    }
    assert!(green > 0 && yellow > 0);
}

#[test]
fn racing_threads_share_both_bursts_to_the_cell() {
    let second = Duration::from_secs(1);
    let plan = MarkerPlan::new(quota(2, second, 40_000), quota(1, second, 15_000)).expect("a plan");
    let flow = Marker::new();
    let counts = thread::scope(|scope| {
        let work = || {
            let mut counts = [0_u32; 3];
            while counts[Red as usize] < 100 {
                counts[flow.mark(&plan, 1, at(0)) as usize] += 1;
            }
            counts
        };
        let threads = [(); 4].map(|()| scope.spawn(work));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    let sum = |colour: Colour| counts.iter().map(|counts| counts[colour as usize]).sum::<u32>();
    assert_eq!((sum(Green), sum(Yellow)), (15_000, 25_000));
    assert_eq!(flow.left(&plan, at(0)), (0, 0));
}

#[test]
fn quotas_that_make_no_marker_are_refused() {
    let (fast, slow) = (Quota::per_second(2), Quota::per_minute(119));
    let (fast, slow) = (fast.expect("a quota"), slow.expect("a quota"));
    assert!(MarkerPlan::new(fast, slow).is_ok());
    assert_eq!(MarkerPlan::new(slow, fast), Err(QuotaError::PeakTooSlow));
    assert!(MarkerPlan::new(fast, fast).is_ok());
    assert_eq!(MarkerPlan::new(Quota::closed(), fast), Err(QuotaError::PeakTooSlow));
}

#[test]
fn what_is_closed_is_not_green_and_a_wait_is_left_out() {
    let peak = Quota::per_second(10).expect("a quota");
    let none = MarkerPlan::new(peak, Quota::closed()).expect("a plan");
    let mut flow = LocalMarker::new();
    assert_eq!(flow.mark(&none, 1, at(0)), Yellow);
    assert_eq!(flow.mark(&none, 0, at(0)), Yellow);
    let nothing = MarkerPlan::new(Quota::closed(), Quota::closed()).expect("a plan");
    assert_eq!(flow.mark(&nothing, 1, at(0)), Red);

    let waits = peak.shape(Duration::from_secs(60));
    assert_eq!(MarkerPlan::new(waits, waits), MarkerPlan::new(peak, peak));
}

#[test]
fn a_time_that_goes_back_makes_no_packet_better() {
    let plan = by_hand();
    let flow = Marker::new();
    assert_eq!(flow.mark(&plan, 2_000, at(1_000)), Green);
    assert_eq!(flow.mark(&plan, 1_000, at(0)), Red);
    assert_eq!(flow.mark(&plan, 1_000, at(1_000)), Yellow);
    // At the end of time nothing is admitted any more.
    assert_eq!(flow.mark(&plan, 1, Instant::MAX), Red);
}
