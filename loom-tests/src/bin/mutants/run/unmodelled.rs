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

pub(super) const UNMODELLED: &[Unmodelled] = &[
    Unmodelled {
        file: "core/src/cache/queue.rs",
        function: "get",
        operation: "load",
        reason: "a hint of what to fetch, several slots ahead; a model's segment has two slots",
    },
    Unmodelled {
        file: "core/src/flight/slot.rs",
        function: "fmt",
        operation: "load",
        reason: "for `Debug` only",
    },
    Unmodelled {
        file: "core/src/map/read.rs",
        function: "fetch_entry",
        operation: "load",
        reason: "fetches what the hint above names, and reads nothing there",
    },
];
