//! A format and a choice for tests.

use std::borrow::Cow;
use std::sync::Arc;

use crate::replay::entry::{Entry, Reason, Stamp, Wanted};
use crate::replay::format::Format;
use crate::replay::select::{Select, Selected};
use crate::replay::stamp::Stamps;

/// Lines of a client, a time in seconds and a cost: `a 17.5 3`. A client of `-` is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    has_headers: bool,
    /// The time comes first; the header `#swap` changes that.
    is_swapped: bool,
}

impl Words {
    pub(super) fn with_headers() -> Self {
        Self { has_headers: true, is_swapped: false }
    }
}

impl Format for Words {
    fn name(&self) -> String {
        let name = match (self.has_headers, self.is_swapped) {
            (false, _) => "words",
            (true, false) => "headed",
            (true, true) => "swapped",
        };
        name.to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        _: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(None);
        }
        let mut words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        if self.is_swapped && words.len() > 1 {
            words.swap(0, 1);
        }
        let time = stamps.read(words.get(1).ok_or("no time")?, stamp)?;
        let bytes = match words.get(2) {
            Some(word) => std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()),
            None => Some(1),
        };
        let client = Cow::Borrowed(words[0]);
        Ok(Some(Entry { time, client, bytes, ..Entry::default() }))
    }

    fn has_headers(&self) -> bool {
        self.has_headers
    }

    fn after_header(&self, line: &[u8]) -> Option<Arc<dyn Format>> {
        let swapped = Self { is_swapped: !self.is_swapped, ..*self };
        (line == b"#swap").then(|| Arc::new(swapped) as Arc<dyn Format>)
    }
}

fn stamp(text: &[u8]) -> Result<Stamp, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| "a time that is no text")?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| "a time that is no number")?;
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| "a time that is no number")?;
    Ok(Stamp { nanos: seconds * 1_000_000_000 + nanos, places: fraction.len() as u8 })
}

/// Chooses by client, at the cost of the bytes. A client of `left` is left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByClient;

impl Select for ByClient {
    fn lacks(&self) -> &'static str {
        "client"
    }

    fn wanted(&self) -> Wanted {
        Wanted { bytes: true, ..Wanted::default() }
    }

    fn select(&self, entry: &Entry<'_>, key: &mut Vec<u8>) -> Result<Selected, Reason> {
        match &*entry.client {
            b"left" => Ok(Selected::LeftOut),
            b"-" => Ok(Selected::WithoutKey),
            client => {
                key.extend_from_slice(client);
                entry.bytes.map(Selected::Counts).ok_or("no size")
            }
        }
    }
}
