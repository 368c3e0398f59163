//! Formats that the user gives as a pattern: nginx's `log_format`, or Apache's `LogFormat`.

mod apache;
mod matching;
mod nginx;
mod shape;

use std::borrow::Cow;

use self::matching::{Field, Matching};
use self::shape::Shape;
use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::{self, Stamps};
use super::Format;
use super::part::{Part, Parts};

/// A pattern that whole lines fit.
#[derive(Debug)]
pub(super) struct Pattern {
    words: String,
    matching: Matching,
    /// Whether the pattern has no client but the one that a proxy names.
    client_is_forwarded: bool,
}

/// A piece of a pattern.
#[derive(Debug)]
enum Piece {
    Text(String),
    Field {
        /// The part that the field holds, and its rank. Of several fields for one part, the one of
        /// the lowest rank is taken.
        part: Option<(Part, u8)>,
        shape: Shape,
    },
}

/// The length of the longest pattern. Real patterns stay below a thousand bytes.
const LONGEST: usize = 4_096;

impl Piece {
    /// Takes the text that was gathered so far as a piece, unless it is empty.
    fn take_text(text: &mut String) -> Option<Self> {
        (!text.is_empty()).then(|| Self::Text(std::mem::take(text)))
    }
}

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
        let rank_of = |wanted: Part| {
            let ranks = pieces.iter().filter_map(|piece| match piece {
                Piece::Field { part: Some((part, rank)), .. } if *part == wanted => Some(*rank),
                _ => None,
            });
            ranks.min()
        };
        // Behind a proxy, many servers log only the clients that the proxy names.
        let client_is_forwarded =
            rank_of(Part::Client).is_none() && rank_of(Part::Forwarded).is_some();
        if rank_of(Part::Client).is_none() && !client_is_forwarded {
            return Err("no client in it, such as $remote_addr or %h".to_owned());
        }
        if rank_of(Part::Time).is_none() {
            return Err("no time in it, such as $time_local or %t".to_owned());
        }
        let mut before = "";
        let mut fields: Vec<Field> = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            let Piece::Field { part, shape } = piece else { continue };
            let text_at = |place: Option<usize>| match place.and_then(|place| pieces.get(place)) {
                Some(Piece::Text(text)) => text.as_str(),
                _ => "",
            };
            let (text_before, after) = (text_at(place.checked_sub(1)), text_at(Some(place + 1)));
            if fields.is_empty() {
                before = text_before;
            }
            let is_quoted = text_before.ends_with('"') && after.starts_with('"');
            let shape = match shape {
                Shape::Any | Shape::Word | Shape::Clients if is_quoted => Shape::Quoted,
                shape => *shape,
            };
            let part = part.filter(|&(part, rank)| rank_of(part) == Some(rank));
            fields.push(Field::new(shape, part.map(|(part, _)| part), after));
        }
        Ok(Self {
            words: words.to_owned(),
            matching: Matching::new(before, fields),
            client_is_forwarded,
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
        let found = self.matching.find(line).ok_or("not of the pattern of --log-format")?;
        let mut parts = Parts::default();
        for (part, field) in found.iter() {
            if part.is_in(wanted) {
                parts.set(part, Cow::Borrowed(field));
            }
        }
        if self.client_is_forwarded
            && let Some(forwarded) = found.get(Part::Forwarded)
        {
            parts.set(Part::Client, Cow::Borrowed(forwarded));
        }
        let time = found.get(Part::Time).ok_or("no timestamp")?;
        parts.into_entry(stamps.read(time, stamp::any)?).map(Some)
    }
}
