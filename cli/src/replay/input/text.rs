//! The text of a log, without what may stand before its first line.

use std::io::{self, Read};

use super::identity::Identity;
use super::packed::Content;
use super::progress::Progress;
use super::raw::Raw;
use super::sources::Source;
use crate::failure::Failure;

/// The most bytes of a head.
const HEAD: usize = 64 * 1024;

/// The text of one log, opened.
pub(crate) struct Text {
    name: String,
    content: Content,
    identity: Option<Identity>,
    /// The beginning of the text.
    head: Vec<u8>,
    /// How many bytes of the head were read.
    at: usize,
    /// Whether the head is the whole text.
    is_whole: bool,
}

impl Text {
    /// Opens a log, and reads the beginning of its text. NUL bytes there are the hole that a log
    /// has when it was emptied while a server wrote it; they and a byte-order mark are passed over.
    ///
    /// # Errors
    ///
    /// Fails if the log cannot be read, if it is in UTF-16 or a tar archive, and if its lines end in
    /// carriage returns alone.
    pub(crate) fn open(source: &Source, progress: Progress) -> Result<Self, Failure> {
        let name = source.name();
        let begin = || {
            let (bytes, identity) = source.open()?;
            let mut content = Content::new(Raw::new(bytes, progress))?;
            let (head, is_whole) = head(&mut content)?;
            Ok((content, identity, head, is_whole))
        };
        let (content, identity, head, is_whole) =
            begin().map_err(|error: io::Error| Failure::new(&name, error))?;
        Ok(Self { name, content, identity, head, at: 0, is_whole })
    }

    /// Returns the whole lines of the head. If the head has none, returns the beginning of one.
    pub(crate) fn head(&self) -> &[u8] {
        match memchr::memrchr(b'\n', &self.head) {
            Some(end) if !self.is_whole => &self.head[..=end],
            _ => &self.head,
        }
    }

    /// Returns the file's identity, if it is a regular one, which can be opened again.
    pub(crate) fn regular(&self) -> Option<&Identity> {
        self.identity.as_ref().filter(|identity| identity.is_regular)
    }

    /// Returns what is to be said of the file, once all of it was read.
    pub(crate) fn warning(&self) -> Option<String> {
        self.content.warning().map(|text| format!("{}: {text}", self.name))
    }

    /// Names the file in an error that reading it gave.
    pub(crate) fn failure(&self, error: &io::Error) -> Failure {
        Failure::new(&self.name, error)
    }
}

impl Read for Text {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let held = &self.head[self.at..];
        if held.is_empty() {
            return self.content.read(target);
        }
        let taken = held.len().min(target.len());
        target[..taken].copy_from_slice(&held[..taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// Reads the first bytes of the text. Returns them, and whether they are all.
fn head(content: &mut impl Read) -> io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    let mut more = |head: &mut Vec<u8>| {
        let wanted = (HEAD - head.len()) as u64;
        Ok::<_, io::Error>((content.take(wanted).read_to_end(head)? as u64) < wanted)
    };
    let mut is_whole = more(&mut head)?;
    if is_utf16(&head) {
        return Err(io::Error::other("text in UTF-16; turn it into UTF-8 first"));
    }
    if ends_lines_in_cr(&head) {
        let reason = "lines that end in carriage returns alone; turn them into line feeds first";
        return Err(io::Error::other(reason));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(io::Error::other("a tar archive; take the logs out first"));
    }
    loop {
        let nuls = head.iter().take_while(|&&byte| byte == 0).count();
        if nuls == 0 {
            break;
        }
        head.drain(..nuls);
        if !is_whole {
            is_whole = more(&mut head)?;
        }
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    Ok((head, is_whole))
}

/// Returns whether text has carriage returns between its lines, and no line feed.
fn ends_lines_in_cr(head: &[u8]) -> bool {
    let text = head.trim_ascii_end();
    memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', text).is_some()
}

/// Returns whether text begins with a byte-order mark of UTF-16, or with Latin letters in it.
fn is_utf16(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    let (pairs, _) = head.get(..16).unwrap_or_default().as_chunks::<2>();
    let all = |low: usize| {
        !pairs.is_empty() && pairs.iter().all(|pair| pair[low] != 0 && pair[1 - low] == 0)
    };
    all(0) || all(1)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::{HEAD, head};

    /// Returns the text of a file, and whether the head is all of it.
    fn text(bytes: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let mut content = Cursor::new(bytes);
        let (mut text, is_whole) = head(&mut content).map_err(|error| error.to_string())?;
        content.read_to_end(&mut text).expect("memory");
        Ok((text, is_whole))
    }

    #[test]
    fn nul_bytes_and_a_mark_before_the_first_line_are_passed_over() {
        let line = b"192.0.2.1 - -\n";
        for start in ["", "\0", "\u{feff}", "\0\0\0\u{feff}"] {
            let bytes = [start.as_bytes(), line].concat();
            assert_eq!(text(&bytes), Ok((line.to_vec(), true)), "{start:?}");
        }
        assert_eq!(text(b""), Ok((Vec::new(), true)));
        assert_eq!(text(&[0; 3]), Ok((Vec::new(), true)));
    }

    #[test]
    fn a_hole_larger_than_what_is_looked_at_is_passed_over() {
        for nuls in [HEAD - 1, HEAD, 3 * HEAD + 7] {
            let bytes = [vec![0; nuls], b"line\n".repeat(HEAD / 5 + 9)].concat();
            let expected = (b"line\n".repeat(HEAD / 5 + 9), false);
            assert!(text(&bytes) == Ok(expected), "{nuls}");
        }
    }

    #[test]
    fn text_of_another_kind_is_an_error_that_names_it() {
        let wide = |order: fn(u16) -> [u8; 2], text: &str| {
            text.encode_utf16().flat_map(order).collect::<Vec<u8>>()
        };
        for bytes in [
            wide(u16::to_le_bytes, "\u{feff}a"),
            wide(u16::to_be_bytes, "\u{feff}a"),
            wide(u16::to_le_bytes, "192.0.2.1 - -"),
            wide(u16::to_be_bytes, "192.0.2.1 - -"),
        ] {
            let reason = text(&bytes).expect_err("no bytes");
            assert!(reason.contains("UTF-16"), "{reason}");
        }
        assert!(text(b"a\rb\rc").expect_err("one line").contains("carriage returns"));
        for lines in ["a\r", "a\r\n", "a\rb\n"] {
            assert_eq!(text(lines.as_bytes()), Ok((lines.as_bytes().to_vec(), true)));
        }
        let mut archive = vec![b'a'; 600];
        archive[257..262].copy_from_slice(b"ustar");
        assert!(text(&archive).expect_err("an archive").contains("tar"));
    }
}
