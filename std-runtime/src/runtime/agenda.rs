//! Which of many tasks is to be looked at next.

use std::collections::{BTreeMap, BTreeSet};

/// Items with a time each, in two orders: that in which they were added, and that of their times.
///
/// Adding, removing, changing a time and finding the first take O(log n) comparisons. An ordered set does that
/// as well as a heap, and unlike a heap it also removes from its middle.
pub(crate) struct Agenda<K, T> {
    items: BTreeMap<u64, (T, Option<Window<K>>)>,
    /// By `latest`; those that wait for something else than a time are missing.
    order: BTreeSet<(K, u64)>,
    /// The number of the next item.
    next: u64,
}

/// When an item is to be taken: not before `due`, and as soon as `latest` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window<K> {
    pub(crate) due: K,
    pub(crate) latest: K,
}

impl<K, T> Default for Agenda<K, T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), order: BTreeSet::new(), next: 0 }
    }
}

impl<K: Ord + Copy, T> Agenda<K, T> {
    /// Adds the item that `make` makes of its number. It has no time yet.
    pub(crate) fn add(&mut self, make: impl FnOnce(u64) -> T) -> &T {
        let number = self.next;
        self.next += 1;
        &self.items.entry(number).or_insert((make(number), None)).0
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.items.get(&number).map(|(item, _)| item)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.items.get_mut(&number).map(|(item, _)| item)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let (item, window) = self.items.remove(&number)?;
        if let Some(window) = window {
            self.order.remove(&(window.latest, number));
        }
        Some(item)
    }

    /// All items, in the order in which they were added.
    pub(crate) fn items(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(|(item, _)| item)
    }

    /// Gives every item the time that `window` says, or none.
    pub(crate) fn set_all(&mut self, mut window: impl FnMut(&T) -> Option<Window<K>>) {
        self.order.clear();
        for (&number, (item, place)) in &mut self.items {
            *place = window(item);
            self.order.extend(place.map(|window| (window.latest, number)));
        }
    }

    /// Gives an item another time, or none. Does nothing for one that was removed.
    pub(crate) fn set(&mut self, number: u64, window: Option<Window<K>>) {
        let Some((_, place)) = self.items.get_mut(&number) else { return };
        if let Some(before) = std::mem::replace(place, window) {
            self.order.remove(&(before.latest, number));
        }
        self.order.extend(window.map(|window| (window.latest, number)));
    }

    /// Returns the time of the item whose `latest` is the first.
    pub(crate) fn first(&self) -> Option<Window<K>> {
        let (_, number) = self.order.first()?;
        self.items.get(number)?.1
    }

    /// Takes the time of the first item that is due, and returns the item.
    pub(crate) fn take_due(&mut self, now: K) -> Option<&T> {
        let &(_, number) = self.order.first()?;
        let (item, place) = self.items.get_mut(&number)?;
        place.take_if(|window| window.due <= now)?;
        self.order.pop_first();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// A time that counts how often it is compared.
    #[derive(Clone, Copy, Debug)]
    struct At(u64);

    impl Ord for At {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for At {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for At {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for At {}

    fn compared<R>(f: impl FnOnce() -> R) -> (u64, R) {
        let before = COMPARED.get();
        let result = f();
        (COMPARED.get() - before, result)
    }

    fn at(time: u64) -> Option<Window<At>> {
        Some(Window { due: At(time), latest: At(time + 3) })
    }

    /// An agenda of `n` items whose times are spread over 0..n in no order.
    fn spread(n: u64) -> Agenda<At, u64> {
        let mut agenda = Agenda::default();
        for place in 0..n {
            let number = *agenda.add(|number| number);
            agenda.set(number, at(place.wrapping_mul(0x9e37_79b9) % n));
        }
        agenda
    }

    #[test]
    fn every_operation_compares_a_number_of_times_that_grows_as_the_logarithm() {
        let most = |n: u64| {
            let mut agenda = spread(n);
            let (mut most, mut now) = (0, 0);
            for number in 0..1_000 {
                let (added, _) = compared(|| {
                    let number = *agenda.add(|number| number);
                    agenda.set(number, at(n / 2));
                });
                let (moved, ()) = compared(|| agenda.set(number, at(n - number)));
                let (found, taken) = compared(|| {
                    now = agenda.first().expect("it is not empty").due.0;
                    agenda.take_due(At(now)).copied()
                });
                let (put_back, ()) =
                    compared(|| agenda.set(taken.expect("it is due"), at(now + n)));
                let (removed, _) = compared(|| agenda.remove(n + number));
                most = most.max(added).max(moved).max(found).max(put_back).max(removed);
            }
            most
        };
        let (few, many) = (most(64), most(64 * 64));
        // Twice the logarithm. A node of the tree is looked through from its front, so that there is some play.
        assert!(many <= 4 * few, "{few} comparisons at most of 64, {many} of 4,096");
    }

    #[test]
    fn items_come_by_their_latest_times_and_none_before_it_is_due() {
        let mut agenda = Agenda::default();
        let window = |due, latest| Some(Window { due, latest });
        for (item, due, latest) in [("loose", 10, 90), ("strict", 50, 51), ("later", 60, 61)] {
            let mut number = 0;
            agenda.add(|its| {
                number = its;
                (item, its)
            });
            agenda.set(number, window(due, latest));
        }
        let name = |item: Option<&(&'static str, u64)>| item.map(|(name, _)| *name);
        assert_eq!(agenda.first().map(|first| first.latest), Some(51));
        // The first of the order decides, though another could be taken already.
        assert_eq!(name(agenda.take_due(49)), None);
        assert_eq!(name(agenda.take_due(60)), Some("strict"));
        assert_eq!(name(agenda.take_due(60)), Some("later"));
        assert_eq!(name(agenda.take_due(60)), Some("loose"));
        assert_eq!((name(agenda.take_due(u64::MAX)), agenda.first()), (None, None));
    }

    #[test]
    fn what_was_removed_is_never_taken_and_its_number_never_used_again() {
        let mut agenda = Agenda::default();
        let first = *agenda.add(|number| number);
        agenda.set(first, Some(Window { due: 1, latest: 1 }));
        assert_eq!(agenda.remove(first), Some(first));
        assert_eq!(agenda.remove(first), None);
        agenda.set(first, Some(Window { due: 1, latest: 1 }));
        assert_eq!((agenda.first(), agenda.take_due(9)), (None, None));
        assert_ne!(*agenda.add(|number| number), first);
        agenda.set_all(|_| Some(Window { due: 2, latest: 2 }));
        assert_eq!(agenda.first(), Some(Window { due: 2, latest: 2 }));
        agenda.set_all(|_| None);
        assert_eq!((agenda.first(), agenda.items().count()), (None, 1));
    }
}
