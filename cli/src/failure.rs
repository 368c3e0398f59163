//! What ends a command early.

/// One line that names what is wrong. The exit status is 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// Makes the line `subject: reason`.
    pub(crate) fn new(subject: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        Self(format!("{subject}: {reason}"))
    }
}
