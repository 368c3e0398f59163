//! A decision as the fields of an HTTP response.

use core::fmt;
use core::time::Duration;

use super::decision::Decision;

/// The largest integer that a structured field can hold (RFC 9651, 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// The fields of an HTTP response that tell a client its limits: see [`Decision::headers`].
///
/// They are those of the IETF's draft "RateLimit header fields for HTTP", revision 11, and
/// `Retry-After` (RFC 9110). Each value is plain data and writes itself by [`Display`](fmt::Display);
/// nothing is allocated.
///
/// | field | value | present |
/// |---|---|---|
/// | `RateLimit-Policy` | `"name";q=20;w=20`: `q` cells in `w` seconds | always; `w` is absent if the quota is [closed](crate::Quota::closed) |
/// | `RateLimit` | `"name";r=7;t=13`: `r` cells remain, and all `q` are there again in `t` seconds | always |
/// | `Retry-After` | `2`: seconds | if the request was denied for now |
///
/// # What the figures mean
///
/// * `q` is the burst: the cells that a client may spend at once. `w` is the time in which an empty
///   bucket fills, so `q` in `w` seconds is also the rate. For 60 a minute with a burst of 20 they are
///   20 in 20 seconds, and not 60 in 60: a client that spent 60 at once would be denied.
/// * Seconds are rounded up. So a client that waits for `t` finds a full bucket, and the same request
///   passes after `Retry-After`, if no other took the cells meanwhile. A rate above `q` a second is
///   shown as `q` a second, on which a client can rely.
/// * A request that no wait would admit has no `Retry-After`. Where a full table denied a new key, a
///   slot may come free after `Retry-After`, and may not.
///
/// ```
/// use tidegate_core::{BucketTable, Instant, Quota, SeededState};
///
/// let quota = Quota::per_minute(60)?.burst(20)?;
/// let table = BucketTable::boxed(quota, 1_000, SeededState::new(0x5eed))?;
/// let plan = table.plan(quota)?;
///
/// let admitted = table.check_n("alice", &plan, 13, Instant::ORIGIN).headers();
/// assert_eq!(admitted.policy().to_string(), r#""default";q=20;w=20"#);
/// assert_eq!(admitted.rate_limit().to_string(), r#""default";r=7;t=13"#);
/// assert_eq!(admitted.retry_after(), None);
///
/// let denied = table.check_n("alice", &plan, 9, Instant::ORIGIN).headers();
/// let denied = denied.named("per client")?;
/// let fields: Vec<_> = denied.fields().map(|(name, value)| format!("{name}: {value}")).collect();
/// assert_eq!(fields, [
///     r#"ratelimit-policy: "per client";q=20;w=20"#,
///     r#"ratelimit: "per client";r=7;t=13"#,
///     "retry-after: 2",
/// ]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    policy: RateLimitPolicy<'a>,
    rate_limit: RateLimit<'a>,
    retry_after: Option<RetryAfter>,
}

/// The value of a `RateLimit-Policy` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy<'a> {
    name: &'a str,
    quota: u64,
    window: Option<u64>,
}

/// The value of a `RateLimit` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit<'a> {
    name: &'a str,
    remaining: u64,
    reset: u64,
}

/// The value of a `Retry-After` field, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(u64);

/// The value of any of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// That of `RateLimit-Policy`.
    Policy(RateLimitPolicy<'a>),
    /// That of `RateLimit`.
    RateLimit(RateLimit<'a>),
    /// That of `Retry-After`.
    RetryAfter(RetryAfter),
}

/// Says that the name of a policy holds a character that a structured field's string cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyNameError {
    at: usize,
}

impl Decision {
    /// Returns the fields of an HTTP response to this request, for a policy of the name "default".
    pub const fn headers(&self) -> Headers<'static> {
        let name = "default";
        let retry_after = match self.retry_after() {
            Some(wait) if !self.is_admitted() => Some(RetryAfter(at_least_one(seconds(wait)))),
            _ => None,
        };
        let window = match self.fills_in() {
            Duration::ZERO => None,
            time => Some(at_least_one(seconds(time))),
        };
        Headers {
            policy: RateLimitPolicy { name, quota: at_most(self.limit()), window },
            rate_limit: RateLimit {
                name,
                remaining: at_most(self.remaining()),
                reset: seconds(self.reset_after()),
            },
            retry_after,
        }
    }
}

impl<'a> Headers<'a> {
    /// The name of the field whose value is [`policy`](Self::policy), in small letters.
    pub const POLICY: &'static str = "ratelimit-policy";
    /// The name of the field whose value is [`rate_limit`](Self::rate_limit).
    pub const RATE_LIMIT: &'static str = "ratelimit";
    /// The name of the field whose value is [`retry_after`](Self::retry_after).
    pub const RETRY_AFTER: &'static str = "retry-after";

    /// Sets the name of the policy, by which a client tells several limits of a response apart.
    ///
    /// # Errors
    ///
    /// If the name holds anything but printable ASCII characters.
    pub fn named<'n>(self, name: &'n str) -> Result<Headers<'n>, PolicyNameError> {
        match name.bytes().position(|byte| !matches!(byte, b' '..=b'~')) {
            Some(at) => Err(PolicyNameError { at }),
            None => Ok(Headers {
                policy: RateLimitPolicy { name, ..self.policy },
                rate_limit: RateLimit { name, ..self.rate_limit },
                retry_after: self.retry_after,
            }),
        }
    }

    /// Returns the value of `RateLimit-Policy`.
    pub const fn policy(&self) -> RateLimitPolicy<'a> {
        self.policy
    }

    /// Returns the value of `RateLimit`.
    pub const fn rate_limit(&self) -> RateLimit<'a> {
        self.rate_limit
    }

    /// Returns the value of `Retry-After` if the request was denied for now.
    pub const fn retry_after(&self) -> Option<RetryAfter> {
        self.retry_after
    }

    /// Returns the name and the value of each field that the response should have.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, HeaderValue<'a>)> + use<'a> {
        let retry_after = self.retry_after.map(HeaderValue::RetryAfter);
        [
            Some((Self::POLICY, HeaderValue::Policy(self.policy))),
            Some((Self::RATE_LIMIT, HeaderValue::RateLimit(self.rate_limit))),
            retry_after.map(|value| (Self::RETRY_AFTER, value)),
        ]
        .into_iter()
        .flatten()
    }
}

impl RateLimitPolicy<'_> {
    /// Returns `q`: the cells that may be spent at once.
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// Returns `w`: the seconds in which an empty bucket fills, or `None` if it never does.
    pub const fn window(&self) -> Option<u64> {
        self.window
    }
}

impl RateLimit<'_> {
    /// Returns `r`: the cells that remain.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns `t`: the seconds until the bucket is full again.
    pub const fn reset(&self) -> u64 {
        self.reset
    }
}

impl RetryAfter {
    /// Returns the seconds after which the same request is admitted.
    pub const fn seconds(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for RateLimitPolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quota, window } = *self;
        write!(f, "{};q={quota}", Quoted(name))?;
        match window {
            Some(window) => write!(f, ";w={window}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RateLimit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, remaining, reset } = *self;
        write!(f, "{};r={remaining};t={reset}", Quoted(name))
    }
}

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HeaderValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(value) => value.fmt(f),
            Self::RateLimit(value) => value.fmt(f),
            Self::RetryAfter(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for PolicyNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name: the byte at {} is no printable ASCII character", self.at)
    }
}

impl core::error::Error for PolicyNameError {}

/// A string of a structured field (RFC 9651, 3.3.3).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

/// Returns whole seconds that are at least `time`.
const fn seconds(time: Duration) -> u64 {
    let more = (time.subsec_nanos() > 0) as u64;
    at_most(time.as_secs().saturating_add(more))
}

const fn at_most(figure: u64) -> u64 {
    if figure < LARGEST { figure } else { LARGEST }
}

const fn at_least_one(seconds: u64) -> u64 {
    if seconds > 0 { seconds } else { 1 }
}
