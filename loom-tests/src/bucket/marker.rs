//! Markers of two words: the peak word pays for what is green or yellow, the committed word for
//! what is green.

use std::sync::Arc;

use tidegate_core::bucket::{Colour, Marker, MarkerPlan, Unit, mark};
use tidegate_core::{Instant, OnFull, Quota};

use super::reserve::Still;
use super::{A, B, Charged, EARLY, Scene, thread};
use crate::race;

/// A cell lasts 1 ns under both plans.
fn plan(peak: u64, committed: u64) -> MarkerPlan {
    let rate = || Quota::per_second(1_000_000_000).expect("a rate");
    let quotas = (rate().burst(peak).expect("a burst"), rate().burst(committed).expect("a burst"));
    MarkerPlan::in_unit(Unit::NANOSECOND, quotas.0, quotas.1).expect("an exact plan")
}

/// Two threads mark a packet each, of a cost and a colour. Both words have paid for what they
/// should.
fn two_packets(plan: MarkerPlan, bursts: (u64, u64), packets: [(u64, Colour); 2]) -> String {
    let flow = Arc::new(Marker::new());
    let colours = race(
        packets
            .map(|(cost, before)| -> Box<dyn FnOnce() -> Colour> {
                let flow = Arc::clone(&flow);
                Box::new(move || flow.mark_aware(&plan, cost, before, EARLY))
            })
            .into(),
    );
    let paid = |worst: Colour| -> u64 {
        let paid = packets.iter().zip(&colours).filter(|&(_, &colour)| colour <= worst);
        paid.map(|((cost, _), _)| cost).sum()
    };
    let left = (bursts.0 - paid(Colour::Yellow), bursts.1 - paid(Colour::Green));
    assert_eq!(flow.left(&plan, EARLY), left, "{colours:?}");
    format!("{:?} {:?}", colours[0], colours[1])
}

/// There is room for both under the peak, and for one under the commitment.
pub(super) fn two_packets_for_one_green() -> String {
    two_packets(plan(3, 1), (3, 1), [(1, Colour::Green); 2])
}

/// There is room for one under the peak. The other charges nothing.
pub(super) fn two_packets_for_one_peak() -> String {
    two_packets(plan(1, 2), (1, 2), [(1, Colour::Green); 2])
}

/// A large packet and a small one, of which either may be the green one.
pub(super) fn large_packet_races_a_small_one() -> String {
    two_packets(plan(3, 2), (3, 2), [(2, Colour::Green), (1, Colour::Green)])
}

/// A packet that comes yellow takes nothing from the commitment.
pub(super) fn yellow_packet_races_another() -> String {
    two_packets(plan(2, 1), (2, 1), [(1, Colour::Green), (1, Colour::Yellow)])
}

/// A flow's two buckets in one table.
pub(super) fn two_packets_by_the_buckets_of_a_table() -> String {
    let scene = Scene::with(3, OnFull::Deny);
    for key in [A, B] {
        assert_eq!(scene.charge(key, Instant::ORIGIN), Charged::To(1));
    }
    let packet = |scene: &Scene| {
        let plan = plan(3, 1);
        let peak = scene.table.limit(&A, plan.peak(), 1, EARLY, &Still);
        mark(&peak, &scene.table.limit(&B, plan.committed(), 1, EARLY, &Still), Colour::Green)
    };
    let colours = race(vec![thread(&scene, packet), thread(&scene, packet)]);
    assert_eq!((scene.debt(A, EARLY), scene.debt(B, EARLY)), (2, 1), "{colours:?}");
    format!("{:?} {:?}", colours[0], colours[1])
}
