//! What the fields of a pattern look like, and so how far they reach.

use super::super::client::split_client;
use super::super::quoted::quote;
use super::super::value::digits;

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Anything.
    Any,
    /// Anything up to a quote that no backslash escapes.
    Quoted,
    /// Anything without a blank.
    Word,
    /// An address or a name, or a list of them.
    Clients,
    /// Digits, or a `-`.
    Number,
    /// Three digits, or a `-`.
    Status,
    /// `1431857103.123`
    Decimal,
    /// `17/May/2015:10:05:03 +0000`
    Clf,
    /// `2015-05-17T10:05:03+00:00`
    Iso,
    /// Nothing, or a `?` and anything.
    Query,
}

/// Where a field ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Exactly(usize),
    /// Somewhere in the text, up to this place: where the pattern goes on.
    UpTo(usize),
}

impl Shape {
    /// Returns where the field at the beginning of the text ends, or `None` if there is no field of
    /// this shape.
    pub(super) fn extent(self, text: &[u8]) -> Option<Extent> {
        let length = match self {
            Self::Any => return Some(Extent::UpTo(text.len())),
            Self::Word => {
                return Some(Extent::UpTo(memchr::memchr(b' ', text).unwrap_or(text.len())));
            }
            Self::Clients => return Some(Extent::UpTo(split_client(text).0.len())),
            Self::Query if text.first() == Some(&b'?') => return Some(Extent::UpTo(text.len())),
            Self::Query => 0,
            Self::Quoted => quote(text)?,
            Self::Number if text.first() == Some(&b'-') => 1,
            Self::Number => digits(text)?,
            Self::Status if text.first() == Some(&b'-') => 1,
            Self::Status => digits(text).filter(|&length| length == 3)?,
            Self::Decimal => {
                let whole = digits(text)?;
                let fraction = text[whole..].strip_prefix(b".")?;
                whole + 1 + digits(fraction)?
            }
            Self::Clf => clf(text)?,
            Self::Iso => text
                .iter()
                .take_while(|byte| {
                    byte.is_ascii_digit()
                        || matches!(byte, b'-' | b':' | b'T' | b'.' | b',' | b'+' | b'Z')
                })
                .count(),
        };
        Some(Extent::Exactly(length))
    }
}

/// Returns the length of a time of Common Log Format at the beginning of the text.
fn clf(text: &[u8]) -> Option<usize> {
    let is_of_time =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b':' | b'.' | b',');
    let time = text.iter().take_while(|byte| is_of_time(byte)).count();
    if !matches!(text, [b'0'..=b'9', b'/', ..] | [b'0'..=b'9', b'0'..=b'9', b'/', ..]) {
        return None;
    }
    let zone = text[time..].strip_prefix(b" ").unwrap_or(&text[time..]);
    let length = match zone.first() {
        Some(b'+' | b'-') => {
            1 + zone[1..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b':').count()
        }
        Some(b'Z') => 1,
        _ => return Some(time),
    };
    Some(text.len() - zone.len() + length)
}
