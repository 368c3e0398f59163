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
        file: "core/src/bucket/shadow.rs",
        function: "count",
        operation: "load",
        reason: "a count of denials withheld; nothing depends on it",
    },
    Unmodelled {
        file: "core/src/bucket/shadow.rs",
        function: "add",
        operation: "fetch_add",
        reason: "as above",
    },
    Unmodelled {
        file: "core/src/bucket/shadow.rs",
        function: "take_back",
        operation: "fetch_sub",
        reason: "as above",
    },
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
    Unmodelled {
        file: "core/src/map/size.rs",
        function: "bound",
        operation: "store",
        reason: "a rule for what comes, set before the map is shared or at any later time",
    },
    Unmodelled {
        file: "core/src/map/size.rs",
        function: "bound",
        operation: "store",
        reason: "as above",
    },
    Unmodelled {
        file: "core/src/map/size.rs",
        function: "fit",
        operation: "load",
        reason: "a limit of the table's size; a model decides itself when a table is replaced",
    },
    Unmodelled {
        file: "core/src/map/size.rs",
        function: "fit",
        operation: "load",
        reason: "as above",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "is_ripe",
        operation: "load",
        reason: "a hint of whether a sweep goes on to free; no model sweeps above what a domain leaves alone",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "push_large",
        operation: "store",
        reason: "a table of 64 KiB or more, which no model can fill; a count",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "push_large",
        operation: "fetch_add",
        reason: "as above; a count",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "add_large",
        operation: "load",
        reason: "as above; only compared with",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "add_large",
        operation: "compare_exchange",
        reason: "as above; the exchange of `add`, which models execute, does the same for other lists",
    },
    Unmodelled {
        file: "core/src/reclaim/record.rs",
        function: "drop",
        operation: "fetch_sub",
        reason: "as above; a count (the one of large bytes)",
    },
];
