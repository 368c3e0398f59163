//! Lines that are JSON objects.

mod find;
mod names;

use std::borrow::Cow;

use serde_json::value::RawValue;

pub(super) use self::names::{caddy, json, known, nginx, traefik};

use self::find::{Found, Path};
use super::super::entry::{Entry, Reason, Stamp, Wanted};
use super::super::stamp::{self, Stamps};
use super::Format;
use super::part::{Part, Parts};

/// JSON lines with fields in these places.
#[derive(Debug)]
pub(super) struct Json {
    name: &'static str,
    /// The places of the parts. Of several places of one part, the first that the line has is read.
    paths: Vec<Path>,
    zeros: Zeros,
}

/// Whether the program that wrote the log keeps the zeros at the end of a fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    Kept,
    /// Zeros are kept in strings; floating point numbers are printed as short as possible.
    KeptInStrings,
    Dropped,
}

impl Format for Json {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err("no JSON object");
        }
        match std::str::from_utf8(line) {
            Ok(text) => self.read(text, wanted, stamps).map(Some),
            Err(_) => Ok(Some(owned(self.read(&as_text(line), wanted, stamps)?))),
        }
    }
}

impl Json {
    fn read<'a>(
        &self,
        text: &'a str,
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Entry<'a>, Reason> {
        let mut found = Found::default();
        find::find(&self.paths, wanted, text, &mut found).map_err(|_| "no valid JSON object")?;
        let mut time = None;
        let mut parts = Parts::default();
        for (part, raw) in found.iter(&self.paths) {
            match part {
                Part::Time => time = Some(raw),
                _ => parts.set(part, value(raw)),
            }
        }
        let time = time.ok_or("no timestamp")?;
        // The quotes of a string are part of what is remembered: a number may be read in another
        // way.
        let time = stamps.read(time.get().as_bytes(), |_| self.time(time))?;
        parts.into_entry(time)
    }

    fn time(&self, raw: &RawValue) -> Result<Stamp, Reason> {
        let is_string = raw.get().starts_with('"');
        match self.zeros {
            Zeros::Dropped => stamp::float(&value(raw), stamp::any),
            Zeros::KeptInStrings if !is_string => stamp::float(&value(raw), stamp::any),
            Zeros::Kept | Zeros::KeptInStrings => stamp::any(&value(raw)),
        }
    }
}

/// Returns a value as text: a string without its quotes and escapes, a number as it is written, and
/// a list of strings with commas between them. Another list is empty.
fn value(raw: &RawValue) -> Cow<'_, [u8]> {
    let text = raw.get();
    match text.as_bytes() {
        [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_none() => Cow::Borrowed(inner),
        // What has escapes that stand for nothing is left as it is.
        [b'"', inner @ .., b'"'] => serde_json::from_str::<String>(text)
            .map_or(Cow::Borrowed(inner), |text| Cow::Owned(text.into_bytes())),
        [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(text.as_bytes()),
        [b'[', ..] => serde_json::from_str::<Vec<String>>(text)
            .map_or(Cow::Borrowed(b""), |items| Cow::Owned(items.join(", ").into_bytes())),
        _ => Cow::Borrowed(b""),
    }
}

/// Returns bytes that are no UTF-8 as text. Each stray byte becomes the character of its number, so
/// that different lines stay different.
fn as_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().copied().map(char::from));
    }
    text
}

fn owned(entry: Entry<'_>) -> Entry<'static> {
    let owned = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
    Entry {
        time: entry.time,
        client: owned(entry.client),
        forwarded: owned(entry.forwarded),
        user: owned(entry.user),
        method: owned(entry.method),
        target: owned(entry.target),
        status: entry.status,
        bytes: entry.bytes,
    }
}
