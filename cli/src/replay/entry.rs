//! What a line of a log says.

use std::borrow::Cow;

/// Why a line cannot be used.
pub(crate) type Reason = &'static str;

/// The parts of a line, as the log has them. A part that the line lacks, or that it writes as `-`,
/// is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) time: Stamp,
    /// The peer: an address or a name, with or without a port.
    pub(crate) client: Cow<'a, [u8]>,
    /// The clients that a proxy names, as `X-Forwarded-For` lists them.
    pub(crate) forwarded: Cow<'a, [u8]>,
    pub(crate) user: Cow<'a, [u8]>,
    pub(crate) method: Cow<'a, [u8]>,
    /// What was asked for: a path or a whole URL, with its query if both are one field of the log.
    pub(crate) target: Cow<'a, [u8]>,
    pub(crate) status: Option<u16>,
    /// The bytes sent. `None` if the line does not say, or says what is no number; a `-` is 0.
    pub(crate) bytes: Option<u64>,
}

/// When a request was made, as exactly as the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since 1970, of the beginning of the tick.
    pub(crate) nanos: i64,
    /// The decimal places of the seconds: 0, 3, 6 and so on, at most 9. A tick is `10^(9 - places)`
    /// ns.
    pub(crate) places: u8,
}

/// Which parts of a line are needed, besides the time and the client: the others may be left empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) forwarded: bool,
    pub(crate) user: bool,
    /// The method and the target.
    pub(crate) request: bool,
    pub(crate) status: bool,
    pub(crate) bytes: bool,
}

impl Wanted {
    /// Every part.
    pub(crate) const ALL: Self =
        Self { forwarded: true, user: true, request: true, status: true, bytes: true };
}
