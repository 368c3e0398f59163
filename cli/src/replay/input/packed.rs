//! Files that are packed, known by their content: logs are rotated, renamed and piped.

use std::io::{self, Read};

use super::gzip::{self, Gzip};
use super::raw::Raw;
use super::zstd::{self, Zstd};

/// The content of a file, unpacked.
pub(super) enum Content {
    Plain(Raw),
    Gzip(Gzip),
    Zstd(Box<Zstd>),
}

/// The formats that this tool does not unpack: their first bytes, their names, and the commands
/// that unpack them.
const OTHERS: [(&[u8], &str, &str); 4] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
];

impl Content {
    /// Finds out how `raw` is packed.
    ///
    /// # Errors
    ///
    /// Fails if it is packed with what this tool does not unpack.
    pub(super) fn new(mut raw: Raw) -> io::Result<Self> {
        let start = raw.peek(6)?;
        if gzip::begins(start) {
            return Ok(Self::Gzip(Gzip::new(raw)));
        }
        if zstd::begins(start) {
            return Ok(Self::Zstd(Box::new(Zstd::new(raw))));
        }
        for (magic, name, command) in OTHERS {
            if start.starts_with(magic) {
                let reason =
                    format!("packed with {name}; unpack it: {command} FILE | tidegate replay -");
                return Err(io::Error::other(reason));
            }
        }
        Ok(Self::Plain(raw))
    }

    /// Returns what is to be said of the file, once all of it was read.
    pub(super) fn warning(&self) -> Option<&'static str> {
        let garbage = match self {
            Self::Plain(_) => false,
            Self::Gzip(gzip) => gzip.ends_in_garbage,
            Self::Zstd(zstd) => zstd.ends_in_garbage,
        };
        garbage.then_some("bytes after the packed data are no packed log, and were left out")
    }
}

impl Read for Content {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(target),
            Self::Gzip(gzip) => gzip.read(target),
            Self::Zstd(zstd) => zstd.read(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{Content, OTHERS, Raw};
    use crate::replay::input::Progress;

    fn content(bytes: &[u8]) -> Result<Content, String> {
        let raw = Raw::new(Box::new(Cursor::new(bytes.to_vec())), Progress::none());
        Content::new(raw).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        assert!(matches!(content(b"\x1f\x8b\x08"), Ok(Content::Gzip(_))));
        assert!(matches!(content(b"\x28\xb5\x2f\xfd"), Ok(Content::Zstd(_))));
        assert!(matches!(content(b"\x50\x2a\x4d\x18"), Ok(Content::Zstd(_))));
        for plain in [&b""[..], b"\x1f\x8b", b"\x28\xb5\x2f", b"192.0.2.1 - -"] {
            assert!(matches!(content(plain), Ok(Content::Plain(_))), "{plain:?}");
        }
    }

    #[test]
    fn what_is_packed_otherwise_is_refused_with_the_command_that_unpacks_it() {
        for (magic, name, command) in OTHERS {
            let reason = content(&[magic, b"more"].concat()).err().expect("refused");
            assert!(reason.contains(name) && reason.contains(command), "{reason}");
        }
    }
}
