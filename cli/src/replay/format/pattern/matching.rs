//! Where the fields of a pattern lie in a line.

use std::ops::Range;

use memchr::memmem::Finder;

use super::super::part::Part;
use super::shape::{Extent, Shape};

/// A pattern as text and fields in turn.
#[derive(Debug)]
pub(super) struct Matching {
    before: Box<[u8]>,
    fields: Vec<Field>,
}

/// A field, and the text after it.
#[derive(Debug)]
pub(super) struct Field {
    shape: Shape,
    part: Option<Part>,
    after: Finder<'static>,
}

/// Where the parts lie in a line.
#[derive(Debug)]
pub(super) struct Found<'a> {
    line: &'a [u8],
    places: [Option<Range<usize>>; Part::COUNT],
}

/// A search in one line.
struct Search<'m, 'a> {
    fields: &'m [Field],
    found: Found<'a>,
    /// Whether the line must end with the pattern.
    whole: bool,
    /// The number of bytes that may still be looked at. A line may fit in many ways up to some
    /// field and in none from there on. Finding that out must not take longer than a few dozen
    /// readings of the line.
    left: usize,
}

/// The number of times that the bytes of a line may be looked at, on average.
const MOST_READINGS: usize = 64;
/// The number of bytes that may be looked at besides. It is enough for short lines with several
/// fields that may hold anything.
const MOST_BESIDES: usize = 16 * 1024;
/// The number of bytes that each attempt counts, beside those that it looks at.
const ATTEMPT: usize = 32;

impl Field {
    pub(super) fn new(shape: Shape, part: Option<Part>, after: &str) -> Self {
        Self { shape, part, after: Finder::new(after).into_owned() }
    }
}

impl<'a> Found<'a> {
    /// Returns what was found of a part.
    pub(super) fn get(&self, part: Part) -> Option<&'a [u8]> {
        Some(&self.line[self.places[part as usize].clone()?])
    }

    /// Returns all that was found.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Part, &'a [u8])> {
        Part::ALL.into_iter().filter_map(|part| Some((part, self.get(part)?)))
    }
}

impl Matching {
    /// Creates a pattern that begins with the text `before`.
    pub(super) fn new(before: &str, fields: Vec<Field>) -> Self {
        Self { before: before.as_bytes().into(), fields }
    }

    /// Finds the parts in a line that fits the pattern from its beginning on. Of several ways, it
    /// takes the one whose first field is the shortest, and so on.
    pub(super) fn find<'a>(&self, line: &'a [u8]) -> Option<Found<'a>> {
        let line = line.trim_ascii_end();
        if !line.starts_with(&self.before) {
            return None;
        }
        // A server may add fields to the end of its lines. That is tried last, because then some
        // earlier field may be found too short.
        [true, false].into_iter().find_map(|whole| {
            let found = Found { line, places: Default::default() };
            let left = line.len() * MOST_READINGS + MOST_BESIDES;
            let mut search = Search { fields: &self.fields, found, whole, left };
            search.fits(0, self.before.len()).then_some(search.found)
        })
    }
}

impl<'m> Search<'m, '_> {
    /// Returns whether the line fits from the field of this number on, which begins at `start`.
    fn fits(&mut self, number: usize, start: usize) -> bool {
        let line = self.found.line;
        let Some(field) = self.fields.get(number) else {
            let next = line.get(start);
            return next.is_none() || !self.whole && matches!(next, Some(b' ' | b'\t'));
        };
        let text = &line[start..];
        let is_last = number + 1 == self.fields.len();
        let after = self.text_after(number);
        let extent = field.shape.extent(text);
        self.look_at(match extent {
            _ if matches!(field.shape, Shape::Any | Shape::Query) => 0,
            Some(Extent::Exactly(length) | Extent::UpTo(length)) => length,
            None => text.len(),
        });
        let length = match extent {
            None => None,
            Some(Extent::Exactly(length)) => self.goes_on(number, start, length),
            Some(Extent::UpTo(most)) if is_last => {
                // The last field ends as far on as it can.
                let length = text.len().min(most + after.len()).checked_sub(after.len());
                length.and_then(|length| self.goes_on(number, start, length))
            }
            Some(Extent::UpTo(most)) => self.goes_on_somewhere(number, start, most),
        };
        let Some(length) = length else { return false };
        if let Some(part) = field.part {
            self.found.places[part as usize] = Some(start..start + length);
        }
        true
    }

    /// Returns the text after the field of this number. Blanks at the end of a line were cut off.
    fn text_after(&self, number: usize) -> &'m [u8] {
        let fields = self.fields;
        let after = fields[number].after.needle();
        if number + 1 == fields.len() { after.trim_ascii_end() } else { after }
    }

    /// Returns the smallest length of a field, up to `most`, with which the line fits.
    fn goes_on_somewhere(&mut self, number: usize, start: usize, most: usize) -> Option<usize> {
        let text = &self.found.line[start..];
        let mut length = 0;
        while length <= most && self.left > 0 {
            let next = self.fields[number].after.find(&text[length..]);
            self.look_at(next.unwrap_or(text.len() - length));
            length += next?;
            if length <= most && self.goes_on(number, start, length).is_some() {
                return Some(length);
            }
            length += 1;
        }
        None
    }

    /// Counts an attempt, and the bytes that it looks at.
    fn look_at(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes + ATTEMPT);
    }

    /// Returns the length if the text after a field of this length is that of the pattern, and the
    /// line fits from there on.
    fn goes_on(&mut self, number: usize, start: usize, length: usize) -> Option<usize> {
        let line = self.found.line;
        let after = self.text_after(number);
        let end = start + length;
        let fits = line[end..].starts_with(after) && self.fits(number + 1, end + after.len());
        fits.then_some(length)
    }
}
