//! Classes of entries, each evicted in an order of its own.

/// What an entry is held in, or how expensive it is: one of eight classes. An eviction for want of
/// room takes an entry of the lowest tier that has a victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(u8);

impl Tier {
    /// How many tiers there are.
    pub const COUNT: usize = 8;
    /// The lowest tier, which an entry is in unless its insertion says otherwise.
    pub const LOWEST: Self = Self(0);

    /// Creates the tier of this number.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tier: `number` must be below [`COUNT`](Self::COUNT). In a `const`
    /// that is an error of compilation.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        assert!((number as usize) < Self::COUNT, "there are eight tiers, numbered from 0");
        Self(number)
    }

    /// Returns the tier's number.
    pub const fn number(self) -> u8 {
        self.0
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of tiers.
///
/// ```
/// use tidegate_core::{Tier, Tiers};
///
/// const MEMORY: Tier = Tier::new(0);
/// const DISK: Tier = Tier::new(7);
/// assert!(Tiers::of(&[MEMORY]).contains(MEMORY));
/// assert!(!Tiers::of(&[MEMORY]).contains(DISK));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiers(u8);

impl Tiers {
    /// Every tier.
    pub const ALL: Self = Self(u8::MAX);

    /// Creates a set of these tiers.
    #[must_use]
    pub const fn of(tiers: &[Tier]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < tiers.len() {
            set |= 1 << tiers[index].0;
            index += 1;
        }
        Self(set)
    }

    /// Returns whether a tier is in the set.
    pub const fn contains(self, tier: Tier) -> bool {
        self.0 & (1 << tier.0) != 0
    }

    /// Iterates over the tiers, from the lowest on.
    pub(super) fn iter(self) -> impl Iterator<Item = Tier> {
        (0..Tier::COUNT as u8).map(Tier).filter(move |&tier| self.contains(tier))
    }
}
