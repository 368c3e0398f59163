//! HAProxy's lines of `option httplog`:
//!
//! ```text
//! 192.0.2.1:40000 [17/May/2015:10:05:03.678] front~ back/server 1/0/1/1/3 200 5 - - ---- \
//!     1/1/1/1/0 0/0 {host|agent} "GET / HTTP/1.1"
//! ```
//!
//! The time is that of the accepted request. It has no zone, and is taken for UTC.

use std::borrow::Cow;

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::{self, Stamps};
use super::Format;
use super::part::{Part, Parts};
use super::quoted::split_quoted;

/// HAProxy in HTTP mode.
#[derive(Debug)]
pub(super) struct HaProxy;

impl Format for HaProxy {
    fn name(&self) -> String {
        "haproxy".to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        let mut parts = Parts::default();
        let (client, rest) = split(line).ok_or("no timestamp")?;
        let rest = rest.strip_prefix(b"[").ok_or("no timestamp")?;
        let end = memchr::memchr(b']', rest).ok_or("no end of the timestamp")?;
        let time = stamps.read(&rest[..end], stamp::clf)?;
        // A line of TCP mode has fewer times, and one of an error has none.
        let fields = rest[end + 1..].strip_prefix(b" ").and_then(|rest| {
            let (_front, rest) = split(rest)?;
            let (server, rest) = split(rest)?;
            let (times, rest) = split(rest)?;
            let slashes = times.iter().filter(|&&byte| byte == b'/').count();
            let is_http = server.contains(&b'/')
                && slashes == 4
                && times.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'/' | b'-' | b'+'));
            if is_http { Some(rest) } else { None }
        });
        let (status, rest) = fields.and_then(split).ok_or("no request of HTTP")?;
        let (bytes, rest) = split(rest).unwrap_or((rest, b""));
        parts.set(Part::Client, Cow::Borrowed(client));
        parts.set(Part::Status, Cow::Borrowed(status));
        // With `option logasap` the bytes are those sent so far, after a `+`.
        parts.set(Part::Bytes, Cow::Borrowed(bytes.strip_prefix(b"+").unwrap_or(bytes)));
        if wanted.request
            && let Some(quote) = memchr::memchr(b'"', rest)
        {
            // The request may be cut, and then has no closing quote.
            let request = &rest[quote + 1..];
            let request = split_quoted(request).map_or(request, |(request, _)| request);
            parts.set(Part::Request, Cow::Borrowed(request));
        }
        parts.into_entry(time).map(Some)
    }
}

/// Splits at the first blank.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', text)?;
    Some((&text[..blank], &text[blank + 1..]))
}
