//! Formats that are given as a pattern: nginx's `log_format`, or Apache's `LogFormat`.

mod apache;
mod nginx;

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::{self, Stamps};
use super::Format;
use super::part::{Part, Parts};

/// A pattern that whole lines fit.
#[derive(Debug)]
pub(super) struct Pattern {
    words: String,
    regex: Regex,
    /// The groups of the expression that are parts.
    groups: Vec<(Part, usize)>,
}

/// A piece of a pattern.
#[derive(Debug)]
enum Piece {
    Text(String),
    Field {
        /// What stands there, and which of several fields for one part is taken: that of the lowest
        /// rank.
        part: Option<(Part, u8)>,
        /// What it looks like, as a regular expression. `None` if it may be anything.
        shape: Option<&'static str>,
    },
}

/// The longest pattern. Real ones stay below a thousand bytes.
const LONGEST: usize = 4_096;
/// A time as `$time_local` and `%t` write it.
const CLF: &str =
    r"\d{1,2}/[A-Za-z]{3}/\d{4}[: ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:[+-]\d\d:?\d\d|Z))?";
/// An address or a name, or a list of them.
const CLIENTS: &str = r"\S+?(?:, *\S+?)*?";
const STATUS: &str = r"\d{3}|-";
const NUMBER: &str = r"\d+|-";
/// A word: method, protocol, port.
const WORD: &str = r"\S*?";

/// Returns whether the words are a pattern.
pub(super) fn is_pattern(words: &str) -> bool {
    words.contains(['$', '%'])
}

impl Pattern {
    /// Creates the format of a pattern.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong in the words.
    pub(super) fn new(words: &str) -> Result<Self, String> {
        if words.len() > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let pieces =
            if words.contains('$') { nginx::pieces(words) } else { apache::pieces(words)? };
        let mut best: Vec<(Part, u8, usize)> = Vec::new();
        let mut expression = "^".to_owned();
        let mut groups = 0;
        for (place, piece) in pieces.iter().enumerate() {
            let (part, shape) = match piece {
                Piece::Text(text) => {
                    expression += &regex::escape(text);
                    continue;
                }
                Piece::Field { part, shape } => (part, shape),
            };
            let is_text = |place: Option<usize>, test: &dyn Fn(&str) -> bool| {
                let piece = place.and_then(|place| pieces.get(place));
                matches!(piece, Some(Piece::Text(text)) if test(text))
            };
            let is_quoted = is_text(place.checked_sub(1), &|text| text.ends_with('"'))
                && is_text(Some(place + 1), &|text| text.starts_with('"'));
            let shape = shape.unwrap_or(if is_quoted { r#"(?:[^"\\]|\\.)*?"# } else { ".*?" });
            let Some((part, rank)) = *part else {
                expression += &format!("(?:{shape})");
                continue;
            };
            groups += 1;
            expression += &format!("({shape})");
            match best.iter_mut().find(|(other, ..)| *other == part) {
                Some(other) if other.1 <= rank => {}
                Some(other) => *other = (part, rank, groups),
                None => best.push((part, rank, groups)),
            }
        }
        expression += r"\s*$";
        let group_of = |part| best.iter().find(|(other, ..)| *other == part).map(|best| best.2);
        // Behind a proxy, many log only whom it names.
        if let (None, Some(group)) = (group_of(Part::Client), group_of(Part::Forwarded)) {
            best.push((Part::Client, 0, group));
        }
        for (part, lack) in [
            (Part::Client, "no client in it, such as $remote_addr or %h"),
            (Part::Time, "no time in it, such as $time_local or %t"),
        ] {
            if !best.iter().any(|(other, ..)| *other == part) {
                return Err(lack.to_owned());
            }
        }
        let regex = RegexBuilder::new(&expression).unicode(false).build();
        Ok(Self {
            words: words.to_owned(),
            regex: regex.map_err(|error| error.to_string())?,
            groups: best.into_iter().map(|(part, _, group)| (part, group)).collect(),
        })
    }
}

impl Format for Pattern {
    fn name(&self) -> String {
        self.words.clone()
    }

    fn parse<'a>(
        &self,
        line: &'a [u8],
        wanted: Wanted,
        stamps: &mut Stamps,
    ) -> Result<Option<Entry<'a>>, Reason> {
        let captures = self.regex.captures(line).ok_or("not of the pattern of --log-format")?;
        let mut parts = Parts::default();
        let mut time = None;
        for &(part, group) in &self.groups {
            let Some(field) = captures.get(group) else { continue };
            match part {
                Part::Time => time = Some(field.as_bytes()),
                _ if part.is_in(wanted) => parts.set(part, Cow::Borrowed(field.as_bytes())),
                _ => {}
            }
        }
        let time = stamps.read(time.ok_or("no timestamp")?, stamp::any)?;
        parts.into_entry(time).map(Some)
    }
}
