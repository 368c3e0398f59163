//! What one step of a sweep visits, in terms of sets.

use core::ops::Range;

/// The slots of one step, cut at the borders of sets: most are in whole sets, which can be judged
/// at a glance.
#[derive(Debug)]
pub(super) struct Portion {
    /// The sets of which every slot is visited.
    pub(super) whole: Range<usize>,
    /// A set's index, and its slots: the rest of the set in which the step before ended, and the
    /// beginning of the set in which this one ends. Either may be empty.
    parts: [(usize, Range<usize>); 2],
}

impl Portion {
    /// Cuts `slots`, of which `per_set` make a set.
    pub(super) fn of(slots: Range<usize>, per_set: usize) -> Self {
        let (first, last) = (slots.start.div_ceil(per_set), slots.end / per_set);
        let head = slots.start..slots.end.min(first * per_set);
        let tail = head.end.max(last * per_set)..slots.end;
        let part = |slots: Range<usize>| {
            let set = slots.start / per_set;
            (set, slots.start - set * per_set..slots.end - set * per_set)
        };
        Self { whole: first..last.max(first), parts: [part(head), part(tail)] }
    }

    /// The sets of which some slots are visited, and these slots.
    pub(super) fn parts(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.parts.iter().filter(|(_, slots)| !slots.is_empty()).cloned()
    }
}
