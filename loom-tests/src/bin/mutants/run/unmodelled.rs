//! The atomic operations that no model executes, each with the reason.

/// Such an operation: one entry for each call.
pub(super) struct Unmodelled {
    /// The source, from the root of the workspace.
    pub(super) file: &'static str,
    /// The function it is in.
    pub(super) function: &'static str,
    /// The method or function that is called.
    pub(super) operation: &'static str,
    /// Why no model executes it.
    pub(super) reason: &'static str,
}

pub(super) const UNMODELLED: &[Unmodelled] = &[];
