//! A format behind what other programs write before its lines.

use std::sync::Arc;

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::Stamps;
use super::Format;
use super::prefix::Prefix;

/// A format as it is used. It drops the prefixes of a line, and what damage leaves at its head.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) prefixes: Prefixes,
    pub(super) inner: Arc<dyn Format>,
}

/// What stands before the lines of a log.
#[derive(Debug)]
pub(super) enum Prefixes {
    /// All of these, in this order.
    These(Vec<Prefix>),
    /// Any prefixes. They are looked for only if the line is not of the format without them.
    Any,
}

/// The most prefixes that a line may have.
pub(super) const MOST_PREFIXES: usize = 3;

impl Format for Behind {
    fn name(&self) -> String {
        let mut name = String::new();
        if let Prefixes::These(prefixes) = &self.prefixes {
            for prefix in prefixes {
                name = name + prefix.name() + " ";
            }
        }
        name + &self.inner.name()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        let mut line = clean(line);
        match &self.prefixes {
            Prefixes::These(prefixes) => {
                for prefix in prefixes {
                    if line.is_empty() {
                        break;
                    }
                    line = clean(prefix.strip(line).ok_or("not behind the prefix of the others")?);
                }
                match line {
                    b"" => Ok(None),
                    _ => self.inner.parse(line, wanted, stamps),
                }
            }
            Prefixes::Any => self.parse_behind_any(line, MOST_PREFIXES, wanted, stamps),
        }
    }

    fn has_headers(&self) -> bool {
        self.inner.has_headers()
    }

    fn after_header(&self, line: &[u8]) -> Option<Arc<dyn Format>> {
        let inner = self.inner.after_header(clean(line))?;
        Some(Arc::new(Self { prefixes: Prefixes::These(Vec::new()), inner }))
    }
}

impl Behind {
    /// Parses a line that has at most `depth` prefixes.
    fn parse_behind_any<'a>(
        &self,
        line: &'a [u8],
        depth: usize,
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        if line.is_empty() {
            return Ok(None);
        }
        let plain = self.inner.parse(line, wanted, stamps);
        if plain.is_ok() || depth == 0 {
            return plain;
        }
        Prefix::ALL
            .iter()
            .filter_map(|prefix| prefix.strip(line))
            .map(|rest| self.parse_behind_any(clean(rest), depth - 1, wanted, stamps))
            .find(Result::is_ok)
            .unwrap_or(plain)
    }
}

/// Drops a byte-order mark and NUL bytes at the head of a line, which are left where a file was
/// truncated while a server wrote to it; and a carriage return at its end.
pub(super) fn clean(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b"\0").or_else(|| line.strip_prefix(b"\xef\xbb\xbf")) {
        line = rest;
    }
    line.strip_suffix(b"\r").unwrap_or(line)
}
