//! From a key to 64 keyed bits.
//!
//! Tables place keys by a hash that must depend on a secret. Otherwise an attacker that chooses the
//! keys also chooses which keys share a bucket. Without an operating system there is no randomness
//! to draw the secret from. So the caller supplies the seed: from a hardware generator, from a
//! value stored at provisioning, from `tidegate::random_state()` on a server. A replay uses a fixed
//! one.
//!
//! Every table is generic in [`BuildHasher`]. The default is quick and spreads well, but it is not
//! a cryptographic function. Against an adversary that can measure answers closely and at length,
//! use a keyed cryptographic one such as SipHash (`std::hash::RandomState` on a server).

use core::hash::BuildHasher;

use foldhash::quality::{FixedState, FoldHasher};

/// The default hasher: foldhash, seeded by the caller.
///
/// ```
/// use core::hash::BuildHasher;
/// use tidegate_core::SeededState;
///
/// let seed = 0x5eed; // from the hardware's random numbers
/// let state = SeededState::new(seed);
/// assert_eq!(state.hash_one("alice"), SeededState::new(seed).hash_one("alice"));
/// assert_ne!(state.hash_one("alice"), SeededState::new(seed + 1).hash_one("alice"));
/// ```
#[derive(Clone, Debug)]
pub struct SeededState(FixedState);

impl SeededState {
    /// Creates a state whose hashes depend on `seed`. Keep the seed secret and different in each
    /// process.
    pub const fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }
}

impl BuildHasher for SeededState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
