//! The loop: a burst is read, decided and counted before the next one.

use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use tidegate::lockfree::bucket::Colour;
use tidegate::{Clock, Instant, MonotonicClock};

use crate::BURST;
use crate::frame::{self, Frame};
use crate::police::Police;
use crate::source::Source;

/// Times of bursts are told apart to three digits, up to ten seconds.
const LONGEST: u64 = 10_000_000_000;

/// What a worker has done.
#[derive(Clone, Debug)]
pub struct Done {
    /// Frames of each [`Colour`], and their bits: green, yellow and red.
    pub coloured: [(u64, u64); 3],
    /// Frames that carry no IP packet. They pass.
    pub others: u64,
    /// Nanoseconds from the beginning of a burst to that of the next, of bursts that had a frame.
    pub bursts: Histogram<u64>,
    /// The nanoseconds of the whole.
    pub nanos: u64,
}

impl Done {
    /// Nothing is done yet. Allocates what is counted in.
    pub fn nothing() -> Self {
        let bursts = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds in order");
        Self { coloured: [(0, 0); 3], others: 0, bursts, nanos: 0 }
    }

    /// Returns how many frames there were.
    pub fn frames(&self) -> u64 {
        self.coloured.iter().map(|(frames, _)| frames).sum::<u64>() + self.others
    }

    fn count(&mut self, frame: &Frame, colour: Colour) {
        let (frames, bits) = &mut self.coloured[colour as usize];
        *frames += 1;
        *bits += frame.bits;
    }
}

/// Runs until the source ends, or `stop` says so. Reads the clock once a burst.
///
/// Allocates nothing and calls nothing of the system, unless the source does.
pub fn run(
    source: &mut impl Source,
    police: &mut impl Police,
    clock: &MonotonicClock,
    stop: &AtomicBool,
    done: &mut Done,
) {
    let mut frames = [Frame::NONE; BURST];
    let mut colours = [Colour::Red; BURST];
    let start = clock.now();
    let mut now = start;
    // Relaxed, with no partner: only says when to end.
    while !stop.load(Ordering::Relaxed) {
        let (mut read, mut others) = (0, 0);
        let burst = source.burst(|bytes, bits| match frame::read(bytes, bits) {
            Some(frame) if read < BURST => {
                frames[read] = frame;
                read += 1;
            }
            _ => others += 1,
        });
        let Some(count) = burst else { break };
        police.decide(&frames[..read], now, &mut colours[..read]);
        frames[..read].iter().zip(&colours).for_each(|(frame, &colour)| done.count(frame, colour));
        done.others += others;
        police.sweep(now);
        let next = clock.now();
        if count > 0 {
            done.bursts.saturating_record(nanos(now, next).max(1));
        }
        now = next;
    }
    done.nanos = nanos(start, now);
}

fn nanos(from: Instant, to: Instant) -> u64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}
