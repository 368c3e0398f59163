//! What a source of pressure says.

use core::fmt;

/// How much is used of how much, in the unit of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The source has measured.
    Known {
        /// How much is used. It may be more than `total`, if that is a budget and not a bound.
        used: u64,
        /// How much there is; more than 0.
        total: u64,
    },
    /// The reading is not known.
    Unknown(Unknown),
}

/// Why a reading is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// There is such a source, but this process may not read it.
    Denied,
    /// There is no such source here, or none that can be understood.
    Unsupported,
    /// The source has no answer now: it failed, was too late, or gave impossible figures.
    Stale,
}

impl Reading {
    /// Creates a reading from outside figures, where no more can be used than there is. A reading
    /// of a total of 0, or of more used than that, is unknown.
    #[must_use]
    pub const fn new(used: u64, total: u64) -> Self {
        if total == 0 || used > total {
            Self::Unknown(Unknown::Stale)
        } else {
            Self::Known { used, total }
        }
    }

    /// Returns the part that is used, in parts per million and at most a million, or `None` if it
    /// is unknown.
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
