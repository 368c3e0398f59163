//! A marker that threads share.

use super::super::gcra::Charge;
use super::plan::Word;
use super::{Colour, MarkerPlan};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// The state of one flow under two rates, shared by any number of threads: 16 bytes.
///
/// It colours packets as RFC 2698 does, blind to their colours ([`mark`](Self::mark)) or aware of
/// them ([`mark_aware`](Self::mark_aware)). A new marker's buckets are full.
/// [`LocalMarker`](super::LocalMarker) is the form for one owner. For flows that are known by key,
/// and not by a place in an array, [`bucket::mark`](super::mark) does the same on the tables.
///
/// # Guarantees
///
/// In every window, the green packets take at most the committed burst and what flows in at the
/// committed rate, and the green and yellow ones at most the peak burst and what flows in at the
/// peak rate. A packet is not green only if one of its buckets lacked its cost when it was asked.
/// The two buckets are charged one after another. So of two packets that race, either may be the
/// one that is yellow.
///
/// The plans of all calls on one marker must have one [`Unit`](crate::bucket::Unit): the words do
/// not know theirs, and a time in another is misread. Without that, the colours mean nothing.
///
/// # Progress
///
/// Lock-free: a compare-exchange for each bucket that is charged, repeated only if that of another
/// thread succeeded. A red packet writes nothing. Nothing allocates.
///
/// # Examples
///
/// A policer in bits and in packets. The second marker is aware of the first one's colours, so a
/// packet has the worse of both. A packet that is red by the second has been charged to the first.
///
/// ```
/// use tidegate_core::bucket::{Colour, Marker, MarkerPlan};
/// use tidegate_core::{Instant, Quota, QuotaError};
///
/// /// What an interface remembers of a flow.
/// #[derive(Default)]
/// struct Flow {
///     bits: Marker,
///     packets: Marker,
/// }
///
/// struct Policer {
///     bits: MarkerPlan,
///     packets: MarkerPlan,
/// }
///
/// impl Policer {
///     fn police(&self, flow: &Flow, bytes: u64, now: Instant) -> Colour {
///         let colour = flow.bits.mark(&self.bits, 8 * bytes, now);
///         flow.packets.mark_aware(&self.packets, 1, colour, now)
///     }
/// }
///
/// let mbit = |n: u64| Quota::per_second(n * 1_000_000)?.burst(8 * 3_000);
/// let policer = Policer {
///     bits: MarkerPlan::new(mbit(300)?, mbit(100)?)?,
///     packets: MarkerPlan::new(
///         Quota::per_second(50_000)?.burst(3)?,
///         Quota::per_second(10_000)?.burst(1)?,
///     )?,
/// };
/// let (flow, now) = (Flow::default(), Instant::from_secs(1));
/// let colours = [1_500, 64, 1_400, 64].map(|bytes| policer.police(&flow, bytes, now));
/// assert_eq!(colours, [Colour::Green, Colour::Yellow, Colour::Yellow, Colour::Red]);
/// # Ok::<(), QuotaError>(())
/// ```
#[derive(Debug)]
// So that both words are in one line.
#[repr(align(16))]
pub struct Marker {
    peak: AtomicU64,
    committed: AtomicU64,
}

impl Marker {
    /// Creates the marker of a flow that has not sent anything yet.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { peak: AtomicU64::new(0), committed: AtomicU64::new(0) }
    }

    /// Creates the marker of a flow that has not sent anything yet.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { peak: AtomicU64::new(0), committed: AtomicU64::new(0) }
    }

    /// Colours a packet of `cost` cells, whatever its colour was: the colour-blind mode.
    #[inline]
    pub fn mark(&self, plan: &MarkerPlan, cost: u64, now: Instant) -> Colour {
        self.mark_aware(plan, cost, Colour::Green, now)
    }

    /// Colours a packet of `cost` cells that came with the colour `before`: the colour-aware mode.
    /// The new colour is never better than that.
    #[inline]
    pub fn mark_aware(&self, plan: &MarkerPlan, cost: u64, before: Colour, now: Instant) -> Colour {
        plan.colour(cost, before, now, |word, asked| self.charge(word, asked))
    }

    /// Returns how many cells are left at `now`: of the peak bucket, and of the committed one. The
    /// two are not read at one instant.
    pub fn left(&self, plan: &MarkerPlan, now: Instant) -> (u64, u64) {
        // Relaxed, both: a question about this moment.
        let peak = self.peak.load(Ordering::Relaxed);
        plan.left(peak, self.committed.load(Ordering::Relaxed), now)
    }

    #[inline(always)]
    fn charge(&self, word: Word, asked: &Charge) -> bool {
        let word = match word {
            Word::Peak => &self.peak,
            Word::Committed => &self.committed,
        };
        // Relaxed: the exchange decides; and a word only grows, so what an older value denies is
        // denied by the newest one, too.
        let mut time = word.load(Ordering::Relaxed);
        while let Some(after) = asked.on(time) {
            if asked.cost() == 0 {
                return true;
            }
            // Relaxed, both: a word stands alone, and nothing is published through it.
            match word.compare_exchange(time, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => time = seen,
            }
        }
        false
    }
}

impl Default for Marker {
    fn default() -> Self {
        Self::new()
    }
}
