//! Detects the format of a log from its first lines.

use std::sync::Arc;

use super::super::stamp::Stamps;
use super::Format;
use super::behind::{Behind, MOST_PREFIXES, Prefixes, clean};
use super::common::Common;
use super::json;
use super::names;
use super::prefix::Prefix;
use super::w3c::W3c;

/// The most bytes of a log that are looked at.
const LONGEST_HEAD: usize = 64 * 1024;
/// The most lines that are looked at.
const MOST_LINES: usize = 256;

/// Returns the format that matches most of the first lines of a log. Of formats that match equally
/// many, it is the most specific one. If none matches, it is one whose errors say what the lines
/// lack.
pub(crate) fn detect(head: &[u8]) -> Arc<dyn Format> {
    let head = &head[..head.len().min(LONGEST_HEAD)];
    // Only whole lines count, unless there is only a part of one.
    let whole = memchr::memrchr(b'\n', head).map_or(head, |end| &head[..end]);
    let lines: Vec<&[u8]> = whole
        .split(|&byte| byte == b'\n')
        .map(clean)
        .filter(|line| !line.trim_ascii().is_empty())
        .take(MOST_LINES)
        .collect();
    let mut best = Best { matched: 0, found: None };
    best.search(&names::all(), &lines, &mut Vec::new());
    let (prefixes, inner) = best.found.unwrap_or_else(|| (Prefixes::Any, likeliest(&lines)));
    Arc::new(Behind { prefixes, inner })
}

/// Returns the format that the lines seem to be meant to be of.
fn likeliest(lines: &[&[u8]]) -> Arc<dyn Format> {
    match lines.first() {
        Some([b'{', ..]) => Arc::new(json::known()),
        Some([b'#', ..]) => Arc::new(W3c::iis()),
        _ => Arc::new(Common::Combined),
    }
}

/// The format that has matched most lines so far.
struct Best {
    matched: usize,
    found: Option<(Prefixes, Arc<dyn Format>)>,
}

impl Best {
    /// Tries every format on the lines, and then what is left of them behind each prefix.
    fn search(&mut self, formats: &[Arc<dyn Format>], lines: &[&[u8]], behind: &mut Vec<Prefix>) {
        for format in formats {
            let matched = count(format, lines);
            if matched > 0 && matched >= self.matched {
                self.matched = matched;
                self.found = Some((Prefixes::These(behind.clone()), Arc::clone(format)));
            }
        }
        if behind.len() == MOST_PREFIXES {
            return;
        }
        for prefix in Prefix::ALL {
            let rest: Vec<_> =
                lines.iter().filter_map(|line| prefix.strip(line)).map(clean).collect();
            if rest.len() > self.matched || (rest.len() == self.matched && !rest.is_empty()) {
                behind.push(prefix);
                self.search(formats, &rest, behind);
                behind.pop();
            }
        }
    }
}

/// Counts the lines that are surely of a format.
fn count(format: &Arc<dyn Format>, lines: &[&[u8]]) -> usize {
    let mut format = Arc::clone(format);
    let mut stamps = Stamps::default();
    let mut matched = 0;
    for line in lines {
        if format.has_headers()
            && line.starts_with(b"#")
            && let Some(after) = format.after_header(line)
        {
            format = after;
        } else {
            matched += usize::from(format.recognizes(line, &mut stamps));
        }
    }
    matched
}
