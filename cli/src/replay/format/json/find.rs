//! Finding fields in a JSON object without building it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::super::entry::Wanted;
use super::super::part::Part;

/// A place where a part may be found: `request.client_ip`. A point leads into an object or is a
/// character of a name, whichever the line has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) part: Part,
    pub(super) names: Box<str>,
}

/// The most paths that are looked for at once.
pub(super) const MOST_PATHS: usize = 64;

/// The values found, by the number of their path.
#[derive(Debug)]
pub(super) struct Found<'a>([Option<&'a RawValue>; MOST_PATHS]);

impl Default for Found<'_> {
    fn default() -> Self {
        Self([None; MOST_PATHS])
    }
}

impl<'a> Found<'a> {
    /// Returns the parts that are strings, numbers or lists. Where several paths lead to one part,
    /// the first of them comes last.
    pub(super) fn iter(&self, paths: &[Path]) -> impl Iterator<Item = (Part, &'a RawValue)> {
        let parts = paths.iter().map(|path| path.part);
        parts
            .zip(self.0)
            .rev()
            .filter_map(|(part, value)| Some((part, value?)))
            .filter(|(_, value)| !value.get().starts_with(['n', 't', 'f', '{']))
    }
}

/// Finds the values of the wanted paths in the JSON object that `text` is.
///
/// # Errors
///
/// Fails if the text is not one JSON object.
pub(super) fn find<'a>(
    paths: &[Path],
    wanted: Wanted,
    text: &'a str,
    found: &mut Found<'a>,
) -> serde_json::Result<()> {
    let active = paths
        .iter()
        .enumerate()
        .filter(|(_, path)| path.part.is_in(wanted))
        .fold(0, |active, (number, _)| active | 1 << number);
    read(Level { paths, active, consumed: 0, found }, text)
}

fn read<'a>(level: Level<'_, 'a>, text: &'a str) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    level.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// An object that is being read: the paths that lead into it, as bits, and the length of their
/// beginnings that led here.
struct Level<'f, 'a> {
    paths: &'f [Path],
    active: u64,
    consumed: usize,
    found: &'f mut Found<'a>,
}

/// The paths that a name fits.
#[derive(Default)]
struct Fits {
    /// Those that end with it.
    ending: u64,
    /// Those that go on below it.
    below: u64,
    length: usize,
}

impl<'a> Level<'_, 'a> {
    /// Returns the paths that the name fits.
    fn fits(&self, name: &str) -> Fits {
        let mut fits = Fits { length: name.len(), ..Fits::default() };
        for number in bits(self.active) {
            match self.paths[number].names[self.consumed..].strip_prefix(name) {
                Some("") => fits.ending |= 1 << number,
                Some(rest) if rest.starts_with('.') => fits.below |= 1 << number,
                _ => {}
            }
        }
        fits
    }

    /// Returns the level below a name that fits.
    fn below(&mut self, fits: &Fits) -> Level<'_, 'a> {
        Level {
            paths: self.paths,
            active: fits.below,
            consumed: self.consumed + fits.length + 1,
            found: self.found,
        }
    }
}

/// Returns the numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(number)
    })
}

impl<'a> DeserializeSeed<'a> for Level<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Level<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(fits) = map.next_key_seed(Name(&self))? {
            if fits.ending != 0 {
                let value: &'a RawValue = map.next_value()?;
                for number in bits(fits.ending) {
                    self.found.0[number] = Some(value);
                }
                if fits.below != 0 {
                    let below = self.below(&fits);
                    read(below, value.get()).map_err(serde::de::Error::custom)?;
                }
            } else if fits.below != 0 {
                map.next_value_seed(self.below(&fits))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    // A path that leads below something other than an object finds nothing.

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a name of a field as the paths that it fits.
struct Name<'l, 'f, 'a>(&'l Level<'f, 'a>);

impl<'a> DeserializeSeed<'a> for Name<'_, '_, '_> {
    type Value = Fits;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Fits, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_, '_> {
    type Value = Fits;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Fits, E> {
        Ok(self.0.fits(name))
    }
}
