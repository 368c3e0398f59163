//! What a source of pressure says.

use core::fmt;

/// How much is used of how much, in whatever unit the source measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// That is known.
    Known {
        /// How much is used. It may be more than `total`, if that is not a bound but a budget.
        used: u64,
        /// How much there is: more than 0.
        total: u64,
    },
    /// It is not known.
    Unknown(Unknown),
}

/// Why a reading is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// There is such a source, and this process may not read it.
    Denied,
    /// There is no such source here, or none that can be understood.
    Unsupported,
    /// The source has no answer now: it failed, was too late, or said what cannot be.
    Stale,
}

impl Reading {
    /// A reading as it comes from outside, where no more can be used than there is: one of nothing, or of more
    /// than that, is not known.
    #[must_use]
    pub const fn new(used: u64, total: u64) -> Self {
        if total == 0 || used > total {
            Self::Unknown(Unknown::Stale)
        } else {
            Self::Known { used, total }
        }
    }

    /// The part that is used, in parts per million, of which there are no more than a million; `None` if that is
    /// not known.
    ///
    /// ```
    /// use tidegate_core::pressure::Reading;
    ///
    /// assert_eq!(Reading::new(42, 100).share(), Some(420_000));
    /// assert_eq!(Reading::new(42, 0).share(), None);
    /// ```
    #[must_use]
    pub fn share(self) -> Option<u32> {
        match self {
            Self::Known { used, total } if total > 0 => {
                Some((u128::from(used.min(total)) * 1_000_000 / u128::from(total)) as u32)
            }
            Self::Known { .. } | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Stale => "stale",
        })
    }
}
