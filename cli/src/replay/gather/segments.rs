//! Where headers within a block rename the columns.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use crate::replay::format::Format;

/// Lines of a block that are of one format.
#[derive(Debug)]
pub(super) struct Segment {
    /// Where the lines are in the block.
    pub(super) lines: Range<usize>,
    pub(super) format: Arc<dyn Format>,
}

/// Splits a block before each header that renames the columns, and leaves in `format` the one of
/// the lines after the block.
pub(super) fn split(block: &[u8], format: &mut Arc<dyn Format>) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut start = 0;
    if format.has_headers() {
        let first = block.starts_with(b"#").then_some(0);
        let others = memmem::find_iter(block, b"\n#").map(|place| place + 1);
        for header in first.into_iter().chain(others) {
            let line = &block[header..];
            let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
            if let Some(next) = format.after_header(line.strip_suffix(b"\r").unwrap_or(line)) {
                let format = std::mem::replace(format, next);
                segments.push(Segment { lines: start..header, format });
                start = header;
            }
        }
    }
    segments.push(Segment { lines: start..block.len(), format: Arc::clone(format) });
    segments
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::split;
    use crate::replay::format::Format;
    use crate::replay::gather::testing::Words;

    fn splits(format: Words, block: &str) -> (Vec<(String, String)>, String) {
        let mut format: Arc<dyn Format> = Arc::new(format);
        let mut texts = Vec::new();
        for segment in split(block.as_bytes(), &mut format) {
            texts.push((segment.format.name(), block[segment.lines].to_owned()));
        }
        (texts, format.name())
    }

    #[test]
    fn a_block_is_split_before_headers_that_rename_the_columns() {
        let (texts, after) = splits(
            Words::with_headers(),
            "a 1\n#Version\nb 2\n#swap\r\n3 c\n4 d\n#swap\n#swap\ne 5 #swap\n",
        );
        let expected = [
            ("headed", "a 1\n#Version\nb 2\n"),
            ("swapped", "#swap\r\n3 c\n4 d\n"),
            ("headed", "#swap\n"),
            ("swapped", "#swap\ne 5 #swap\n"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!((&texts[..], &*after), (&expected[..], "swapped"));
    }

    #[test]
    fn a_header_may_begin_the_block_and_need_no_end() {
        let (texts, after) = splits(Words::with_headers(), "#swap");
        assert_eq!(texts[1], ("swapped".to_owned(), "#swap".to_owned()));
        assert_eq!((texts.len(), &*after), (2, "swapped"));
    }

    #[test]
    fn a_format_without_headers_takes_a_block_whole() {
        let (texts, after) = splits(Words::default(), "#swap\na 1\n");
        assert_eq!((texts.len(), &*after), (1, "words"));
    }
}
