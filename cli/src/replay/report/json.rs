//! The outcome as JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

use crate::replay::outcome::Outcome;
use crate::shown::is_visible;

/// Returns the outcome as one JSON object.
///
/// A member of an object has a line of its own, and so has an object in an array; numbers and texts
/// in an array share a line. What a terminal would obey is escaped, and so are invisible
/// characters.
pub(crate) fn json(outcome: &Outcome) -> String {
    written(outcome)
}

fn written(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Layout::default());
    value.serialize(&mut serializer).expect("texts and numbers, and memory takes them");
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("JSON is text")
}

#[derive(Default)]
struct Layout {
    /// For each object and array that is open: whether its members are on lines of their own.
    open: Vec<bool>,
    /// An array has a value that is not yet begun, and this says whether it is the first.
    pending: Option<bool>,
}

impl Layout {
    /// Begins a value. Within an array, one with `line` begins a line.
    fn begin<W: Write + ?Sized>(&mut self, writer: &mut W, line: bool) -> io::Result<()> {
        let Some(first) = self.pending.take() else { return Ok(()) };
        if !first {
            writer.write_all(b",")?;
        }
        if line {
            if let Some(lines) = self.open.last_mut() {
                *lines = true;
            }
            self.break_line(writer)
        } else if first {
            Ok(())
        } else {
            writer.write_all(b" ")
        }
    }

    fn break_line<W: Write + ?Sized>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        self.open.iter().try_for_each(|_| writer.write_all(b"  "))
    }

    fn end<W: Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        if self.open.pop() == Some(true) {
            self.break_line(writer)?;
        }
        writer.write_all(bracket)
    }
}

impl Formatter for Layout {
    fn write_u8<W: Write + ?Sized>(&mut self, writer: &mut W, value: u8) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u64<W: Write + ?Sized>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        self.begin(writer, false)?;
        write!(writer, "{value}")
    }

    fn write_i64<W: Write + ?Sized>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        self.begin(writer, false)?;
        write!(writer, "{value}")
    }

    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        self.begin(writer, false)?;
        // Serializer asks only for numbers that are finite. `Display` writes no exponent.
        write!(writer, "{value}")
    }

    fn begin_string<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, false)?;
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        fragment.chars().try_for_each(|char| {
            if is_visible(char) {
                return write!(writer, "{char}");
            }
            let mut units = [0; 2];
            char.encode_utf16(&mut units)
                .iter()
                .try_for_each(|unit| write!(writer, "\\u{unit:04x}"))
        })
    }

    fn write_char_escape<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }

    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, true)?;
        self.open.push(false);
        writer.write_all(b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.pending = Some(first);
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, true)?;
        self.open.push(true);
        writer.write_all(b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.break_line(writer)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::written;
    use crate::replay::report::fixture::{HOSTILE, found, outcome};

    #[test]
    fn the_names_are_those_of_the_documentation() {
        let mut outcome = outcome();
        outcome.find = Some(found());
        let text = super::json(&outcome);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["runs"][0]["readings"][0]["denied"], 12);
        assert_eq!(value["find"]["periods"][0]["curve"][2], json!([5, 0.0009]));
        let documentation = include_str!("../../../../docs/replay.md");
        let mut names = Vec::new();
        collect(&value, &mut names);
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            assert!(documentation.contains(&format!("`{name}`")), "{name} is not documented");
        }
    }

    fn collect<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    names.push(name);
                    collect(value, names);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
            _ => {}
        }
    }

    #[test]
    fn numbers_share_a_line_and_objects_do_not() {
        let value =
            json!({"a": [], "b": [1, 2.5, "x"], "c": [{"d": -1}, {}], "e": [[1, 2], [3, 4]]});
        assert_eq!(
            written(&value),
            r#"{
  "a": [],
  "b": [1, 2.5, "x"],
  "c": [
    {
      "d": -1
    },
    {
    }
  ],
  "e": [
    [1, 2],
    [3, 4]
  ]
}
"#
        );
        assert_eq!(serde_json::from_str::<Value>(&written(&value)).expect("JSON"), value);
    }

    #[test]
    fn a_text_comes_back_as_it_was_and_commands_no_terminal() {
        let key = format!("{HOSTILE}\u{7f}\u{e0041}\\\"/\t");
        let text = written(&[key.as_str()]);
        assert_eq!(text.trim_end().chars().find(|char| char.is_control()), None);
        assert!(!text.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).expect("JSON"), [key]);
    }
}
