//! The Extended Log File Format of the W3C, whose columns are named by a header, as IIS and
//! CloudFront write it:
//!
//! ```text
//! #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip
//! 2015-05-17 10:05:03 10.0.0.1 GET / - 80 - 192.0.2.1
//! ```
//!
//! Times are UTC.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::Stamps;
use super::Format;
use super::columns::{self, Between, Column};
use super::part::Part;

/// A log with the columns of its last header.
#[derive(Debug)]
pub(super) struct W3c {
    writer: Writer,
    columns: Vec<Column>,
}

/// The server that writes the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Blanks between columns, and `+` for blanks in them.
    Iis,
    /// Tabs between columns, and `%20` for blanks in them.
    CloudFront,
}

impl W3c {
    /// Creates the format of IIS, with the columns that IIS writes by default.
    pub(super) fn iis() -> Self {
        let header = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip \
                      cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";
        Self::new(Writer::Iis, header.as_bytes())
    }

    /// Creates the format of CloudFront, with the first columns of its standard logs.
    pub(super) fn cloudfront() -> Self {
        let header = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem \
                      sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) \
                      x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes \
                      time-taken x-forwarded-for";
        Self::new(Writer::CloudFront, header.as_bytes())
    }

    fn new(writer: Writer, names: &[u8]) -> Self {
        let names = names.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty());
        Self { writer, columns: names.map(column).collect() }
    }
}

/// Returns what stands in the column of this name.
fn column(name: &[u8]) -> Column {
    match &*name.to_ascii_lowercase() {
        b"date" => Column::Date,
        b"time" => Column::TimeOfDay,
        b"c-ip" => Column::Of(Part::Client),
        b"cs-username" => Column::Of(Part::User),
        b"cs-method" => Column::Of(Part::Method),
        b"cs-uri-stem" => Column::Of(Part::Target),
        b"sc-status" => Column::Of(Part::Status),
        b"sc-bytes" => Column::Of(Part::Bytes),
        b"x-forwarded-for" | b"cs(x-forwarded-for)" => Column::Of(Part::Forwarded),
        _ => Column::Other,
    }
}

impl Format for W3c {
    fn name(&self) -> String {
        let name = match self.writer {
            Writer::Iis => "iis",
            Writer::CloudFront => "cloudfront",
        };
        name.to_owned()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        if line.starts_with(b"#") {
            return Ok(None);
        }
        let between = match self.writer {
            Writer::Iis => Between::Blank,
            Writer::CloudFront => Between::Tab,
        };
        let mut entry = columns::parse(line, &self.columns, between, wanted, stamps)?;
        entry.forwarded = match self.writer {
            Writer::Iis => plus_as_blank(entry.forwarded),
            Writer::CloudFront => percent_decoded(entry.forwarded),
        };
        Ok(Some(entry))
    }

    fn has_headers(&self) -> bool {
        true
    }

    fn after_header(&self, line: &[u8]) -> Option<Arc<dyn Format>> {
        let names = line.strip_prefix(b"#Fields:")?;
        Some(Arc::new(Self::new(self.writer, names)))
    }
}

fn plus_as_blank(field: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', &field).is_none() {
        return field;
    }
    field.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()
}

fn percent_decoded(field: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', &field).is_none() {
        return field;
    }
    let digit = |place: usize| (*field.get(place)? as char).to_digit(16);
    let (mut decoded, mut place) = (Vec::with_capacity(field.len()), 0);
    while let Some(&byte) = field.get(place) {
        match (byte, digit(place + 1), digit(place + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                place += 3;
            }
            _ => {
                decoded.push(byte);
                place += 1;
            }
        }
    }
    Cow::Owned(decoded)
}
