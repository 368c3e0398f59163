//! Common Log Format and its relatives, as Apache, nginx and Traefik write them:
//!
//! ```text
//! 203.0.113.9 - alice [17/May/2015:10:05:03 +0000] "GET /cart HTTP/1.1" 200 2326 "-" "agent"
//! www.example.org:443 203.0.113.9 - alice [17/May/2015:10:05:03 +0000] "GET /cart HTTP/1.1" 200 9
//! 203.0.113.9 - [203.0.113.9] - alice [17/May/2015:10:05:03 +0000] "GET /cart HTTP/1.1" 200 2326
//! ```
//!
//! What stands before the timestamp is verified, and what stands after it is taken as it comes.

use std::borrow::Cow;

use super::super::entry::{Entry, Reason, Stamp, Wanted};
use super::super::stamp::{self, Stamps};
use super::Format;
use super::client::{client, has_port, is_address, is_host, is_list, split_client};
use super::quoted::{quote, split_quoted};
use super::request::split_request;
use super::value;

/// A relative of Common Log Format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Common {
    /// Client, user, time, request, status, bytes.
    Plain,
    /// With referrer and agent, and more quoted fields if there are any.
    Combined,
    /// With the virtual host before the client.
    Vhost,
    /// With Traefik's number of the request, its names and the time that the request took.
    Traefik,
}

/// The longest text that is looked at as a timestamp.
const LONGEST_STAMP: usize = 48;

impl Format for Common {
    fn name(&self) -> String {
        let name = match self {
            Self::Plain => "common",
            Self::Combined => "combined",
            Self::Vhost => "vhost_combined",
            Self::Traefik => "traefik",
        };
        name.to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        let (head, time, tail) = split_at_stamp(line, stamps)?;
        let head = if *self == Self::Vhost { split_vhost(head)?.1 } else { head };
        let (client, user) = split_head(head)?;
        let mut entry = Entry { time, client: Cow::Borrowed(client), ..Entry::default() };
        if wanted.user {
            entry.user = Cow::Borrowed(user);
        }
        if wanted.request || wanted.status || wanted.bytes || wanted.forwarded {
            read_tail(tail, wanted, &mut entry);
        }
        Ok(Some(entry))
    }

    fn recognizes(&self, line: &[u8], stamps: &mut Stamps) -> bool {
        let Ok((head, _, tail)) = split_at_stamp(line, stamps) else { return false };
        let head = match (self, split_vhost(head)) {
            (Self::Vhost, Ok((vhost, head))) if !is_address(vhost) || has_port(vhost) => head,
            (Self::Vhost, _) => return false,
            _ => head,
        };
        // A head of the client alone is of another format, HAProxy's for one. After a virtual host
        // that could be a client, there must be all three fields.
        let (_, rest) = split_client(head.trim_ascii_end());
        let is_whole = !rest.is_empty() && (*self != Self::Vhost || rest.contains(&b' '));
        // An address at the beginning of a user's name is rather the client, behind something else.
        // One line among others is no reason to think so: clients choose the names that they try.
        let Ok((_, user)) = split_head(head) else { return false };
        if !is_whole || is_address(user.split(|&byte| byte == b' ').next().unwrap_or(user)) {
            return false;
        }
        let Some((_, after)) = tail.strip_prefix(b"\"").and_then(split_quoted) else {
            return false;
        };
        let [status, bytes, more] = split_response(after);
        let begins = value::status(status).is_some() && value::bytes(bytes).is_some();
        begins
            && match self {
                Self::Plain | Self::Vhost => true,
                Self::Combined => more.starts_with(b"\""),
                Self::Traefik => is_tail_of_traefik(more),
            }
    }
}

/// Splits a line into what stands before the timestamp, the time, and what stands after it.
fn split_at_stamp<'a>(
    line: &'a [u8],
    stamps: &mut Stamps,
) -> Result<(&'a [u8], Stamp, &'a [u8]), Reason> {
    // The timestamp is the last one before the request: a user's name may hold brackets, even with
    // a time in them, but no raw quote.
    let quote = quote(line).unwrap_or(line.len());
    let mut wrong = None;
    let mut end = quote;
    while let Some(bracket) = memchr::memrchr(b'[', &line[..end]) {
        if let Some(text) = stamp_at(line, bracket) {
            match stamps.read(text, stamp::bracketed) {
                Ok(time) => {
                    let tail = &line[bracket + text.len() + 2..];
                    return Ok((&line[..bracket], time, tail.trim_ascii_start()));
                }
                Err(reason) => wrong = Some(reason),
            }
        }
        end = bracket;
    }
    Err(wrong.unwrap_or_else(|| match memchr::memrchr(b'[', &line[..quote]) {
        Some(bracket) if is_open(line, bracket) => "no end of the timestamp",
        _ => "no timestamp",
    }))
}

/// Returns what stands between the bracket at this place and the next one, if it may be a time.
fn stamp_at(line: &[u8], bracket: usize) -> Option<&[u8]> {
    let text = &line[bracket + 1..line.len().min(bracket + 1 + LONGEST_STAMP)];
    let may_be = matches!(
        text,
        [b'0'..=b'9', b'/', ..] | [b'0'..=b'9', b'0'..=b'9', b'/' | b'0'..=b'9', ..]
    );
    let end = if may_be { memchr::memchr(b']', text)? } else { return None };
    Some(&text[..end])
}

/// Returns whether no bracket closes the one at this place.
fn is_open(line: &[u8], bracket: usize) -> bool {
    memchr::memchr(b']', &line[bracket..]).is_none()
}

/// Splits off the virtual host, with or without a port.
fn split_vhost(head: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let blank = memchr::memchr(b' ', head).ok_or("no client after the virtual host")?;
    let (vhost, rest) = (&head[..blank], &head[blank + 1..]);
    if vhost == b"-" || vhost == b"_" || is_host(vhost) {
        Ok((vhost, rest))
    } else {
        Err("the virtual host is neither a name nor an address")
    }
}

/// Splits what stands before the timestamp into the client and the user.
fn split_head(head: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let (field, rest) = split_client(head.strip_suffix(b" ").unwrap_or(head));
    if field.is_empty() {
        return Err("no client");
    }
    let client = client(field)?;
    if rest == b"- -" {
        return Ok((client, b""));
    }
    let (identity, mut user) = match memchr::memchr(b' ', rest) {
        Some(blank) => (&rest[..blank], &rest[blank + 1..]),
        None => (rest, &b""[..]),
    };
    // The second field is what `identd` says, which is a `-` in all but the rarest of logs. Where
    // it is something else, the first field must be an address; otherwise it is a word of some
    // prefix.
    if is_address(identity) {
        return Err("two addresses where one client should be");
    }
    let is_word = identity.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':');
    if identity != b"-" && !rest.is_empty() && !(is_word && is_address(field)) {
        return Err("no client before the timestamp");
    }
    if identity != b"-" && user.split(|&byte| byte == b' ').any(is_address) {
        return Err("two addresses where one client should be");
    }
    // Old ingress controllers repeat the client in brackets.
    if let [b'[', inner @ ..] = user
        && let Some(end) = memchr::memchr(b']', inner)
        && inner[..end] == *field
        && let [b' ', b'-', b' ', user_after @ ..] = &inner[end + 1..]
    {
        user = user_after;
    }
    Ok((client, value::present(user.trim_ascii())))
}

/// Reads what stands after the timestamp into `entry`, as far as it is wanted and the line has it.
fn read_tail<'a>(tail: &'a [u8], wanted: Wanted, entry: &mut Entry<'a>) {
    let Some((request, after)) = tail.strip_prefix(b"\"").and_then(split_quoted) else { return };
    if wanted.request {
        let (method, target) = split_request(request);
        (entry.method, entry.target) = (Cow::Borrowed(method), Cow::Borrowed(target));
    }
    if !(wanted.status || wanted.bytes || wanted.forwarded) {
        return;
    }
    let [status, bytes, more] = split_response(after);
    entry.status = value::status(status);
    entry.bytes = value::bytes(bytes);
    if wanted.forwarded {
        entry.forwarded = Cow::Borrowed(forwarded(more));
    }
}

/// Splits what stands after the request into the status, the bytes and the rest. What the line
/// lacks is empty.
fn split_response(text: &[u8]) -> [&[u8]; 3] {
    let mut fields = text.trim_ascii_start().splitn(3, |&byte| byte == b' ');
    std::array::from_fn(|_| fields.next().unwrap_or(b""))
}

/// Returns the last quoted field after referrer and agent, if it lists clients.
fn forwarded(mut rest: &[u8]) -> &[u8] {
    let (mut fields, mut last) = (0, &b""[..]);
    while let Some(start) = memchr::memchr(b'"', rest)
        && let Some((field, after)) = split_quoted(&rest[start + 1..])
    {
        (fields, last, rest) = (fields + 1, field, after);
    }
    if fields > 2 && is_list(last) { value::present(last) } else { b"" }
}

/// Returns whether these fields are Traefik's: two quoted ones, a number, two quoted ones, `2ms`.
fn is_tail_of_traefik(rest: &[u8]) -> bool {
    let two_quoted = |rest: &[u8]| -> Option<usize> {
        let (_, after) = split_quoted(rest.strip_prefix(b"\"")?)?;
        let (_, after) = split_quoted(after.strip_prefix(b" \"")?)?;
        Some(rest.len() - after.len())
    };
    let Some(end) = two_quoted(rest) else { return false };
    let rest = rest[end..].trim_ascii_start();
    let number = value::digits(rest);
    let Some(rest) = number.and_then(|digits| rest[digits..].strip_prefix(b" ")) else {
        return false;
    };
    let Some(end) = two_quoted(rest) else { return false };
    let last = rest[end..].trim_ascii();
    last.strip_suffix(b"ms").is_some_and(|number| value::number(number).is_some())
}
