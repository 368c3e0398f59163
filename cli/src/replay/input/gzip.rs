//! Gzip: members one behind the other, and what follows the last.

use std::io::{self, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use super::parts::{Next, next};
use super::raw::Raw;

/// Returns whether a member begins like this.
pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b, 8])
}

/// Unpacks all members. A damaged one is an error: how much of the log it hides is not known.
pub(super) struct Gzip {
    /// `None` after the last member.
    member: Option<GzDecoder<Raw>>,
    pub(super) ends_in_garbage: bool,
}

impl Gzip {
    /// Begins with a member, which `raw` begins with.
    pub(super) fn new(raw: Raw) -> Self {
        Self { member: Some(GzDecoder::new(raw)), ends_in_garbage: false }
    }
}

impl Read for Gzip {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let read = member.read(target).map_err(explain)?;
            if read > 0 || target.is_empty() {
                self.member = Some(member);
                return Ok(read);
            }
            let mut raw = member.into_inner();
            match next(&mut raw, begins)? {
                Next::Part => self.member = Some(GzDecoder::new(raw)),
                Next::End => {}
                Next::Garbage => self.ends_in_garbage = true,
            }
        }
        Ok(0)
    }
}

fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::other("broken gzip: cut off"),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            io::Error::other(format!("broken gzip: {error}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::Gzip;
    use crate::replay::input::Progress;
    use crate::replay::input::raw::Raw;
    use crate::replay::input::testing::gzip as pack;

    /// Returns the content, and whether garbage follows it.
    fn unpack(packed: Vec<u8>) -> Result<(Vec<u8>, bool), String> {
        let mut gzip = Gzip::new(Raw::new(Box::new(Cursor::new(packed)), Progress::none()));
        let mut content = Vec::new();
        match gzip.read_to_end(&mut content) {
            Ok(_) => Ok((content, gzip.ends_in_garbage)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn members_are_read_one_behind_the_other() {
        let packed = [pack(b"a"), pack(b""), vec![0; 700], pack(b"b")].concat();
        assert_eq!(unpack(packed), Ok((b"ab".to_vec(), false)));
    }

    #[test]
    fn zeros_after_the_last_member_are_padding_and_the_rest_is_garbage() {
        for (tail, garbage) in [
            (vec![], false),
            (vec![0; 200_000], false),
            (b"\r\n".to_vec(), true),
            (b"\0\0\0x".to_vec(), true),
            (b"\x1f\x8b".to_vec(), true),
        ] {
            let packed = [pack(b"a\n"), tail.clone()].concat();
            assert_eq!(unpack(packed), Ok((b"a\n".to_vec(), garbage)), "{tail:?}");
        }
    }

    #[test]
    fn a_damaged_member_is_an_error() {
        let packed = pack(&vec![b'x'; 100_000]);
        for length in [3, 11, packed.len() / 2, packed.len() - 1] {
            let cut = packed[..length].to_vec();
            assert_eq!(unpack(cut), Err("broken gzip: cut off".to_owned()), "{length}");
        }
        let mut damaged = packed;
        let end = damaged.len() - 5;
        damaged[end] ^= 1;
        let reason = unpack(damaged).expect_err("a wrong checksum");
        assert!(reason.starts_with("broken gzip: "), "{reason}");
    }
}
